package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// record is one screened parcel as rows.
type record struct {
	source   uuid.UUID // the parcel it came from
	screened *screening.Screened
	decision decisionRow // without an id when no message is left to decide
	holds    []holdRow
	outgoing []eventbus.Parcel
	outcomes [3]int // messages by policy.Outcome
}

type decisionRow struct {
	row
	id, tenant uuid.UUID
}

type holdRow struct {
	id, tenant, parcel, correlation, accepted uuid.UUID
	env, lane, trace                          string
	due                                       time.Time
	scheduled                                 *time.Time
	round, messages                           int32
	payload                                   []byte
}

// write inserts everything that records say.
func write(ctx context.Context, tx pgx.Tx, records []record) error {
	var decisions []decisionRow
	var holds []holdRow
	var outgoing []eventbus.Parcel
	for _, r := range records {
		if r.decision.id != uuid.Nil {
			decisions = append(decisions, r.decision)
		}
		holds = append(holds, r.holds...)
		outgoing = append(outgoing, r.outgoing...)
	}
	var batch pgx.Batch
	if len(decisions) > 0 {
		queueDecisions(&batch, decisions)
	}
	if len(holds) > 0 {
		queueHolds(&batch, holds)
	}
	if batch.Len() > 0 {
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
			return err
		}
	}
	if len(outgoing) == 0 {
		return nil
	}
	return outbox.Append(ctx, tx, outgoing...)
}

func queueDecisions(batch *pgx.Batch, rows []decisionRow) {
	slices.SortFunc(rows, func(a, b decisionRow) int { return compare(a.id, b.id) })
	n := len(rows)
	days, times := make([]time.Time, n), make([]time.Time, n)
	tenants, parcels, ids := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]uuid.UUID, n)
	envs, packs, entries, cleared := make([]string, n), make([]string, n), make([][]byte, n), make([]*uuid.UUID, n)
	for i, r := range rows {
		days[i], tenants[i], parcels[i], ids[i] = postgres.Day(r.parcel), r.tenant, r.parcel, r.id
		envs[i], times[i], packs[i], entries[i], cleared[i] = r.env, r.at, r.pack, r.entries, r.cleared
	}
	batch.Queue(`INSERT INTO decisions (day, tenant_id, parcel_id, decision_id, env, decide_time, rule_pack, entries, cleared_id)
		SELECT * FROM unnest($1::date[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::timestamptz[], $7::text[], $8::bytea[],
			$9::uuid[])`, days, tenants, parcels, ids, envs, times, packs, entries, cleared)
}

func queueHolds(batch *pgx.Batch, rows []holdRow) {
	slices.SortFunc(rows, func(a, b holdRow) int { return compare(a.id, b.id) })
	n := len(rows)
	ids, tenants, parcels, correlations := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]uuid.UUID, n), make([]uuid.UUID, n)
	envs, lanes, traces := make([]string, n), make([]string, n), make([]string, n)
	due, rounds, messages, payloads := make([]time.Time, n), make([]int32, n), make([]int32, n), make([][]byte, n)
	accepted, scheduled := make([]uuid.UUID, n), make([]*time.Time, n)
	for i, r := range rows {
		ids[i], tenants[i], parcels[i], correlations[i] = r.id, r.tenant, r.parcel, r.correlation
		envs[i], lanes[i], traces[i] = r.env, r.lane, r.trace
		due[i], rounds[i], messages[i], payloads[i] = r.due, r.round, r.messages, r.payload
		accepted[i], scheduled[i] = r.accepted, r.scheduled
	}
	batch.Queue(`INSERT INTO holds (hold_id, tenant_id, env, lane, due_time, round, messages, parcel_id, correlation_id, trace, payload,
			accepted_id, schedule_time)
		SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::int[], $7::int[],
			$8::uuid[], $9::uuid[], $10::text[], $11::bytea[], $12::uuid[], $13::timestamptz[])`,
		ids, tenants, envs, lanes, due, rounds, messages, parcels, correlations, traces, payloads, accepted, scheduled)
}
