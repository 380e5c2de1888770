package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/audit/internal/ledger"
)

const insertEntriesSQL = `
insert into entries (day, tenant_id, idx, event_id, env, action, actor, resource, outcome, correlation, causation,
                     messages, occurred_at, received_at, leaf, leaf_hash, reason, request_id)
select * from unnest($1::date[], $2::uuid[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::text[], $10::uuid[], $11::uuid[], $12::int[], $13::timestamptz[], $14::timestamptz[],
                     $15::bytea[], $16::bytea[], $17::text[], $18::text[])`

const insertFieldsSQL = `
insert into entry_fields (day, tenant_id, env, idx, name, salt, value, digest)
select * from unnest($1::date[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::bytea[], $7::bytea[],
                     $8::bytea[])`

// The indexes travel as text: unnest flattens an array of arrays, and their lengths differ.
const insertParcelsSQL = `
insert into entry_parcels (day, tenant_id, env, parcel_id, idx, indexes)
select d, t, e, p, i, x::smallint[]
from unnest($1::date[], $2::uuid[], $3::text[], $4::uuid[], $5::bigint[], $6::text[]) as r(d, t, e, p, i, x)`

// insert writes the three tables in one round trip.
func insert(ctx context.Context, tx pgx.Tx, records []ledger.Record, indexes []int64) error {
	var batch pgx.Batch
	queueEntries(&batch, records, indexes)
	queueFields(&batch, records, indexes)
	queueParcels(&batch, records, indexes)
	return tx.SendBatch(ctx, &batch).Close()
}

func queueEntries(batch *pgx.Batch, records []ledger.Record, indexes []int64) {
	n := len(records)
	days, tenants, events := make([]time.Time, n), make([]uuid.UUID, n), make([]uuid.UUID, n)
	envs, actions, actors := make([]string, n), make([]string, n), make([]string, n)
	resources, outcomes := make([]string, n), make([]string, n)
	reasons, requests := make([]string, n), make([]string, n)
	correlations, causations := make([]uuid.UUID, n), make([]uuid.UUID, n)
	counts := make([]int32, n)
	occurred, received := make([]time.Time, n), make([]time.Time, n)
	leaves, hashes := make([][]byte, n), make([][]byte, n)
	for i := range records {
		r := &records[i]
		days[i], tenants[i], events[i] = day(r), r.Tenant, r.EventID
		envs[i], actions[i], actors[i] = r.Env, r.Action, r.Actor
		resources[i], outcomes[i] = r.Resource, r.Outcome
		reasons[i], requests[i] = r.Reason, r.RequestID
		correlations[i], causations[i] = r.Correlation, r.Causation
		counts[i] = int32(r.Count())
		occurred[i], received[i] = r.OccurredAt, r.ReceivedAt
		leaves[i], hashes[i] = r.Leaf, r.Hash[:]
	}
	batch.Queue(insertEntriesSQL, days, tenants, indexes, events, envs, actions, actors, resources, outcomes,
		correlations, causations, counts, occurred, received, leaves, hashes, reasons, requests)
}

func queueFields(batch *pgx.Batch, records []ledger.Record, indexes []int64) {
	var days []time.Time
	var tenants []uuid.UUID
	var idx []int64
	var envs, names []string
	var salts, values, digests [][]byte
	for i := range records {
		r := &records[i]
		for j := range r.Fields {
			f := &r.Fields[j]
			days, tenants, idx = append(days, day(r)), append(tenants, r.Tenant), append(idx, indexes[i])
			envs, names, salts = append(envs, r.Env), append(names, f.Name), append(salts, f.Salt[:])
			values, digests = append(values, f.Value), append(digests, f.Digest)
		}
	}
	batch.Queue(insertFieldsSQL, days, tenants, envs, idx, names, salts, values, digests)
}

func queueParcels(batch *pgx.Batch, records []ledger.Record, indexes []int64) {
	var days []time.Time
	var tenants, parcels []uuid.UUID
	var idx []int64
	var envs, lists []string
	for i := range records {
		r := &records[i]
		for _, g := range r.Messages {
			days, tenants, envs = append(days, day(r)), append(tenants, r.Tenant), append(envs, r.Env)
			parcels, idx = append(parcels, g.Parcel), append(idx, indexes[i])
			lists = append(lists, arrayLiteral(g.Indexes))
		}
	}
	if len(days) > 0 {
		batch.Queue(insertParcelsSQL, days, tenants, envs, parcels, idx, lists)
	}
}
