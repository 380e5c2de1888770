package postgres

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/webhook"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// putRows bounds one statement: some 3 MB of bodies.
const putRows = 5_000

// key tells a delivery.
type key struct{ endpoint, event uuid.UUID }

func compareKeys(a, b key) int {
	return cmp.Or(bytes.Compare(a.endpoint[:], b.endpoint[:]), bytes.Compare(a.event[:], b.event[:]))
}

// Put implements webhook.Shelf.
func (w *Webhooks) Put(ctx context.Context, jobs []*webhook.Job) (fresh []*webhook.Job, err error) {
	sorted := slices.Clone(jobs) // as every writer does: no deadlock
	slices.SortFunc(sorted, func(a, b *webhook.Job) int { return compareKeys(key{a.Endpoint, a.ID}, key{b.Endpoint, b.ID}) })
	sorted = slices.CompactFunc(sorted, func(a, b *webhook.Job) bool { return a.Endpoint == b.Endpoint && a.ID == b.ID })
	err = postgres.InTx(ctx, w.db.Worker, func(tx pgx.Tx) error {
		fresh = nil
		for chunk := range slices.Chunk(sorted, putRows) {
			taken, err := put(ctx, tx, chunk)
			if err != nil {
				return err
			}
			for _, j := range chunk {
				if taken[key{j.Endpoint, j.ID}] {
					fresh = append(fresh, j)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return fresh, nil
}

func put(ctx context.Context, tx pgx.Tx, jobs []*webhook.Job) (map[key]bool, error) {
	n := len(jobs)
	days, endpoints, events, tenants := make([]time.Time, n), make([]uuid.UUID, n), make([]uuid.UUID, n), make([]uuid.UUID, n)
	envs, types, messages, bodies := make([]string, n), make([]string, n), make([]uuid.UUID, n), make([][]byte, n)
	due, created := make([]time.Time, n), make([]time.Time, n)
	for i, j := range jobs {
		days[i], endpoints[i], events[i], tenants[i] = postgres.Day(j.ID), j.Endpoint, j.ID, j.Tenant
		envs[i], types[i], messages[i], bodies[i] = j.Env, j.Type, j.Message, j.Body
		due[i], created[i] = j.Due, j.Created
	}
	rows, err := tx.Query(ctx, `INSERT INTO webhook_deliveries
			(day, endpoint_id, event_id, tenant_id, env, event_type, message_id, body, due_at, create_time)
		SELECT * FROM unnest($1::date[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::uuid[], $8::bytea[],
			$9::timestamptz[], $10::timestamptz[])
		ON CONFLICT DO NOTHING RETURNING endpoint_id, event_id`,
		days, endpoints, events, tenants, envs, types, messages, bodies, due, created)
	if err != nil {
		return nil, err
	}
	taken := make(map[key]bool, n)
	var k key
	_, err = pgx.ForEachRow(rows, []any{&k.endpoint, &k.event}, func() error {
		taken[k] = true
		return nil
	})
	return taken, err
}

// Claim implements webhook.Queue. A row that another replica is just claiming is passed over; what it has claimed is not
// due any more. The number at the end is webhook.MaxClaim, written out: the planner, which cannot know e.most, would
// else take a tenth of the backlog for claimed and read all of it for the update.
func (w *Webhooks) Claim(ctx context.Context, want map[uuid.UUID]int, until time.Time) (jobs []*webhook.Job, err error) {
	ids, limits := make([]uuid.UUID, 0, len(want)), make([]int32, 0, len(want))
	for id, n := range want {
		ids, limits = append(ids, id), append(limits, int32(n))
	}
	err = postgres.InTx(ctx, w.db.Worker, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `WITH due AS (
				SELECT d.day, d.endpoint_id, d.event_id FROM unnest($1::uuid[], $2::int[]) AS e (id, most)
				CROSS JOIN LATERAL (SELECT day, endpoint_id, event_id FROM webhook_deliveries
					WHERE endpoint_id = e.id AND state = 0 AND due_at <= $3
					ORDER BY due_at LIMIT e.most FOR UPDATE SKIP LOCKED) d
				LIMIT 2000)
			UPDATE webhook_deliveries d SET due_at = $4 FROM due
			WHERE d.day = due.day AND d.endpoint_id = due.endpoint_id AND d.event_id = due.event_id
			RETURNING d.endpoint_id, d.tenant_id, d.env, d.event_id, d.message_id, d.event_type, d.body, d.attempts, d.replayed,
				d.create_time, d.due_at`, ids, limits, w.now(), until)
		if err != nil {
			return err
		}
		jobs, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*webhook.Job, error) {
			j := &webhook.Job{}
			return j, row.Scan(&j.Endpoint, &j.Tenant, &j.Env, &j.ID, &j.Message, &j.Type, &j.Body, &j.Attempts, &j.Before, &j.Created, &j.Due)
		})
		return err
	})
	return jobs, err
}

// Waiting implements webhook.Queue.
func (w *Webhooks) Waiting(ctx context.Context, endpoints []uuid.UUID) ([]uuid.UUID, error) {
	rows, err := w.db.Worker.Query(ctx, `SELECT e.id FROM unnest($1::uuid[]) AS e (id)
		WHERE EXISTS (SELECT FROM webhook_deliveries d WHERE d.endpoint_id = e.id AND d.state = 0 AND d.due_at <= $2)`, endpoints, w.now())
	if err != nil {
		return nil, postgres.Map(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	return found, postgres.Map(err)
}

// Record implements webhook.Queue. What was delivered meanwhile by another replica stays delivered.
func (w *Webhooks) Record(ctx context.Context, results []webhook.Result) error {
	sorted := slices.Clone(results)
	slices.SortStableFunc(sorted, func(a, b webhook.Result) int {
		return compareKeys(key{a.Endpoint, a.ID}, key{b.Endpoint, b.ID})
	})
	n := len(sorted)
	days, endpoints, events := make([]time.Time, n), make([]uuid.UUID, n), make([]uuid.UUID, n)
	states, attempts, statuses, reasons := make([]int16, n), make([]int16, n), make([]int16, n), make([]string, n)
	due, at := make([]time.Time, n), make([]*time.Time, n)
	for i := range sorted {
		r := &sorted[i]
		days[i], endpoints[i], events[i] = postgres.Day(r.ID), r.Endpoint, r.ID
		states[i], attempts[i], statuses[i], reasons[i] = int16(r.State), int16(r.Attempts), int16(r.Status), r.Error
		due[i], at[i] = r.Due, optional(r.At)
	}
	return postgres.InTx(ctx, w.db.Worker, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE webhook_deliveries d SET state = r.state, attempts = greatest(d.attempts, r.attempts), due_at = r.due,
				http_status = CASE WHEN r.at IS NULL THEN d.http_status ELSE r.status END,
				error = CASE WHEN r.at IS NULL THEN d.error ELSE r.error END, attempt_time = coalesce(r.at, d.attempt_time)
			FROM (SELECT DISTINCT ON (endpoint, event, day) * FROM unnest($1::date[], $2::uuid[], $3::uuid[], $4::int2[], $5::int2[],
					$6::int2[], $7::text[], $8::timestamptz[], $9::timestamptz[])
				AS u (day, endpoint, event, state, attempts, status, error, due, at) ORDER BY endpoint, event, day, attempts DESC) r
			WHERE d.day = r.day AND d.endpoint_id = r.endpoint AND d.event_id = r.event AND d.state <> 1`,
			days, endpoints, events, states, attempts, statuses, reasons, due, at)
		return err
	})
}
