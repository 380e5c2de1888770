package outbox

import (
	"bytes"
	"context"
	"embed"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Source is the tables of this package: parcels, outbox, inbox, dead_letters.
var Source = postgres.Source{Name: "outbox", FS: migrations}

// Append makes parcels part of tx: their payloads and their places in the outbox, one round trip for all. Ids are
// UUIDv7 and new; entries 1..500. After the commit give the same parcels to the Publisher.
func Append(ctx context.Context, tx pgx.Tx, parcels ...eventbus.Parcel) error {
	if len(parcels) == 0 {
		return nil
	}
	c := columnsOf(parcels)
	var batch pgx.Batch
	batch.Queue(`INSERT INTO parcels (day, parcel_id, tenant_id, subject, entries, payload, trace)
		SELECT * FROM unnest($1::date[], $2::uuid[], $3::uuid[], $4::text[], $5::int[], $6::bytea[], $7::text[])`,
		c.days, c.ids, c.tenants, c.subjects, c.entries, c.payloads, c.traces)
	batch.Queue(`INSERT INTO outbox (parcel_id, subject) SELECT * FROM unnest($1::uuid[], $2::text[])`, c.ids, c.subjects)
	return postgres.Map(tx.SendBatch(ctx, &batch).Close())
}

// columns are parcels by column, sorted by id: rows with unique keys always go in in one order.
type columns struct {
	days             []time.Time
	ids, tenants     []uuid.UUID
	subjects, traces []string
	entries          []int32
	payloads         [][]byte
}

func columnsOf(parcels []eventbus.Parcel) columns {
	sorted := slices.Clone(parcels)
	slices.SortFunc(sorted, func(a, b eventbus.Parcel) int { return compare(a.ID, b.ID) })
	n := len(sorted)
	c := columns{
		days: make([]time.Time, n), ids: make([]uuid.UUID, n), tenants: make([]uuid.UUID, n),
		subjects: make([]string, n), traces: make([]string, n), entries: make([]int32, n), payloads: make([][]byte, n),
	}
	for i, p := range sorted {
		c.days[i], c.ids[i], c.tenants[i] = postgres.Day(p.ID), p.ID, p.Tenant
		c.subjects[i], c.traces[i], c.entries[i], c.payloads[i] = p.Subject, p.Trace, int32(p.Entries), p.Payload
	}
	return c
}

func compare(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

// Claim records in the inbox that consumer takes the parcels of ids (UUIDv7, in any order, repeats allowed) within tx,
// and answers the set of those nobody has taken before: their effects belong into tx, the others are done. It waits for
// transactions that are just claiming the same. Call it once in a transaction, before anything else locks rows: the
// sorted order of one call is what keeps two transactions from a deadlock.
func Claim(ctx context.Context, tx pgx.Tx, consumer string, ids []uuid.UUID) (fresh map[uuid.UUID]bool, err error) {
	sorted := slices.SortedFunc(slices.Values(ids), compare)
	sorted = slices.Compact(sorted)
	days := make([]time.Time, len(sorted))
	for i, id := range sorted {
		days[i] = postgres.Day(id)
	}
	rows, err := tx.Query(ctx, `INSERT INTO inbox (day, consumer, parcel_id)
		SELECT day, $1, parcel_id FROM unnest($2::date[], $3::uuid[]) AS u (day, parcel_id)
		ON CONFLICT DO NOTHING RETURNING parcel_id`, consumer, days, sorted)
	if err != nil {
		return nil, postgres.Map(err)
	}
	fresh = make(map[uuid.UUID]bool, len(sorted))
	var id uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
		fresh[id] = true
		return nil
	})
	return fresh, postgres.Map(err)
}

// Load reads parcels by id, payload included, sorted by id. Ids that are not there, or belong to another tenant than
// the one of a tenant transaction, are left out.
func Load(ctx context.Context, q postgres.Querier, ids ...uuid.UUID) ([]eventbus.Parcel, error) {
	rows, err := q.Query(ctx, `SELECT parcel_id, tenant_id, subject, entries, payload, trace FROM parcels
		WHERE day = ANY ($1::date[]) AND parcel_id = ANY ($2::uuid[])`, daysOf(ids), ids)
	if err != nil {
		return nil, postgres.Map(err)
	}
	parcels, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p eventbus.Parcel, err error) {
		err = row.Scan(&p.ID, &p.Tenant, &p.Subject, &p.Entries, &p.Payload, &p.Trace)
		return p, err
	})
	slices.SortFunc(parcels, func(a, b eventbus.Parcel) int { return compare(a.ID, b.ID) })
	return parcels, postgres.Map(err)
}

// daysOf are the distinct days of ids: the partitions to look into.
func daysOf(ids []uuid.UUID) []time.Time {
	days := make([]time.Time, len(ids))
	for i, id := range ids {
		days[i] = postgres.Day(id)
	}
	slices.SortFunc(days, time.Time.Compare)
	return slices.Compact(days)
}
