package postgres

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// consumer is the name dispatch takes cleared parcels under, in the inbox and as durable.
const consumer = "dispatch"

// Enqueue implements delivery.Queue: inbox and queue rows in one transaction.
func (s *Store) Enqueue(ctx context.Context, replica uuid.UUID, parcels []*delivery.Parcel) ([]*delivery.Parcel, error) {
	ids := make([]uuid.UUID, len(parcels))
	for i, p := range parcels {
		ids[i] = p.ID
	}
	var fresh []*delivery.Parcel
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		unseen, err := outbox.Claim(ctx, tx, consumer, ids)
		if err != nil {
			return err
		}
		fresh = fresh[:0]
		for _, p := range parcels {
			if unseen[p.ID] {
				delete(unseen, p.ID) // the same parcel twice in one batch counts once
				fresh = append(fresh, p)
			}
		}
		if len(fresh) == 0 {
			return nil
		}
		if slices.ContainsFunc(fresh, func(p *delivery.Parcel) bool { return !p.HandedOver }) {
			if err := fence(ctx, tx, replica); err != nil {
				return err
			}
		}
		return insertQueue(ctx, tx, replica, fresh)
	})
	return fresh, err
}

func insertQueue(ctx context.Context, tx pgx.Tx, replica uuid.UUID, parcels []*delivery.Parcel) error {
	sorted := slices.SortedFunc(slices.Values(parcels), func(a, b *delivery.Parcel) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	n := len(sorted)
	days, ids, tenants := make([]time.Time, n), make([]uuid.UUID, n), make([]uuid.UUID, n)
	envs, lanes, routes := make([]string, n), make([]int16, n), make([]string, n)
	handed, traces, payloads := make([]bool, n), make([]string, n), make([][]byte, n)
	for i, p := range sorted {
		days[i], ids[i], tenants[i] = postgres.Day(p.ID), p.ID, p.Tenant
		envs[i], lanes[i], routes[i] = p.Env, int16(p.Lane), p.Route
		handed[i], traces[i], payloads[i] = p.HandedOver, p.Trace, p.Payload
	}
	_, err := tx.Exec(ctx, `INSERT INTO queue (day, parcel_id, tenant_id, env, lane, route, owner, trace, payload)
		SELECT day, parcel_id, tenant_id, env, lane, route, CASE WHEN handed THEN NULL ELSE $1::uuid END, trace, payload
		FROM unnest($2::date[], $3::uuid[], $4::uuid[], $5::text[], $6::smallint[], $7::text[], $8::bool[], $9::text[], $10::bytea[])
			AS u (day, parcel_id, tenant_id, env, lane, route, handed, trace, payload)`,
		replica, days, ids, tenants, envs, lanes, routes, handed, traces, payloads)
	return err
}

// Claim implements delivery.Queue.
func (s *Store) Claim(ctx context.Context, replica uuid.UUID, routes []string, orphaned time.Duration, limit int) ([]delivery.Claimed, error) {
	var waits bool // asked without a transaction: mostly nothing waits
	err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM queue WHERE owner IS NULL)`).Scan(&waits)
	if err != nil || !waits {
		return nil, postgres.Map(err)
	}
	var claimed []delivery.Claimed
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if err := fence(ctx, tx, replica); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `WITH c AS (SELECT day, parcel_id FROM queue
				WHERE owner IS NULL AND (route = ANY ($2) OR taken_at < clock_timestamp() - $3::interval)
				ORDER BY lane, taken_at LIMIT $4 FOR UPDATE SKIP LOCKED)
			UPDATE queue q SET owner = $1 FROM c WHERE q.day = c.day AND q.parcel_id = c.parcel_id
			RETURNING q.parcel_id, q.tenant_id, q.env, q.lane, q.route, q.trace, q.payload`, replica, routes, orphaned, limit)
		if err != nil {
			return err
		}
		claimed, err = pgx.CollectRows(rows, scanClaimed)
		if err != nil || len(claimed) == 0 {
			return err
		}
		return marks(ctx, tx, claimed)
	})
	slices.SortFunc(claimed, func(a, b delivery.Claimed) int { return bytes.Compare(a.Parcel.ID[:], b.Parcel.ID[:]) })
	return claimed, err
}

// Stray implements delivery.Queue.
func (s *Store) Stray(ctx context.Context, replica uuid.UUID, age time.Duration, known func(uuid.UUID) bool) (disowned int, err error) {
	rows, err := s.pool.Query(ctx, `SELECT parcel_id FROM queue WHERE owner = $1 AND taken_at < clock_timestamp() - $2::interval`, replica, age)
	if err != nil {
		return 0, postgres.Map(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return 0, postgres.Map(err)
	}
	ids = slices.DeleteFunc(ids, known)
	if len(ids) == 0 {
		return 0, nil
	}
	tag, err := s.pool.Exec(ctx, `UPDATE queue SET owner = NULL, taken_at = clock_timestamp() WHERE parcel_id = ANY ($2) AND owner = $1`, replica, ids)
	return int(tag.RowsAffected()), postgres.Map(err)
}

func scanClaimed(row pgx.CollectableRow) (delivery.Claimed, error) {
	p := &delivery.Parcel{}
	var lane int16
	err := row.Scan(&p.ID, &p.Tenant, &p.Env, &lane, &p.Route, &p.Trace, &p.Payload)
	p.Lane = delivery.Lane(lane)
	return delivery.Claimed{Parcel: p}, err
}

// marks loads what stands about the messages of claimed parcels.
func marks(ctx context.Context, tx pgx.Tx, claimed []delivery.Claimed) error {
	byID := make(map[uuid.UUID]*delivery.Claimed, len(claimed))
	ids := make([]uuid.UUID, len(claimed))
	days := map[time.Time]bool{}
	for i := range claimed {
		id := claimed[i].Parcel.ID
		byID[id], ids[i] = &claimed[i], id
		days[postgres.Day(id)] = true
	}
	for day := range days {
		rows, err := tx.Query(ctx, `SELECT parcel_id, 0::smallint, route, indexes FROM intents WHERE day = $1 AND parcel_id = ANY ($2)
			UNION ALL SELECT parcel_id, kind, '', indexes FROM results WHERE day = $1 AND parcel_id = ANY ($2)`, day, ids)
		if err != nil {
			return err
		}
		var id uuid.UUID
		var kind int16
		var route string
		var indexes []byte
		_, err = pgx.ForEachRow(rows, []any{&id, &kind, &route, &indexes}, func() error {
			c, mark := byID[id], delivery.Mark{Kind: delivery.Kind(kind), Indexes: unpackIndexes(indexes)}
			if kind == 0 {
				c.Intents, c.Routes = append(c.Intents, mark), append(c.Routes, route)
			} else {
				c.Results = append(c.Results, mark)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
