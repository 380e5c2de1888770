package postgres

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

var (
	eventGap       = string((&ingestv1.ReconciliationGapFound{}).ProtoReflect().Descriptor().FullName())
	acceptedPrefix = eventAccepted + "."
)

// reconcileKey is a tenant's environment; the day is fixed.
type reconcileKey struct {
	tenant uuid.UUID
	env    string
}

// Reconciliation counts one tenant's day. Both sides are read of one snapshot.
func (s *Store) Reconciliation(ctx context.Context, tenant uuid.UUID, env string, day time.Time) (message.Reconciliation, error) {
	found := message.Reconciliation{Tenant: tenant, Env: env, Day: day}
	err := s.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`); err != nil {
			return err
		}
		counts, err := s.reconcile(ctx, tx, day, &tenant)
		if r := counts[reconcileKey{tenant, env}]; r != nil {
			found = *r
		}
		return err
	})
	return found, err
}

// Reconciliations counts a day for all tenants, in the order of their ids.
func (s *Store) Reconciliations(ctx context.Context, day time.Time) (list []message.Reconciliation, err error) {
	err = pgx.BeginTxFunc(ctx, s.db.Worker, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		counts, err := s.reconcile(ctx, tx, day, nil)
		for _, key := range slices.SortedFunc(maps.Keys(counts), func(a, b reconcileKey) int {
			return cmp.Or(bytes.Compare(a.tenant[:], b.tenant[:]), cmp.Compare(a.env, b.env))
		}) {
			list = append(list, *counts[key])
		}
		return err
	})
	return list, postgres.Map(err)
}

// reconcile counts a day's messages by tenant and environment; tenant nil counts all.
func (s *Store) reconcile(ctx context.Context, tx pgx.Tx, day time.Time, tenant *uuid.UUID) (map[reconcileKey]*message.Reconciliation, error) {
	counts := map[reconcileKey]*message.Reconciliation{}
	of := func(key reconcileKey) *message.Reconciliation {
		if counts[key] == nil {
			counts[key] = &message.Reconciliation{Tenant: key.tenant, Env: key.env, Day: day}
		}
		return counts[key]
	}
	stalled := s.now().Add(-message.StalledAfter)
	rows, err := tx.Query(ctx, `SELECT tenant_id, env, accept_time, standings FROM accepted_parcels
		WHERE day = $1 AND ($2::uuid IS NULL OR tenant_id = $2)`, day, tenant)
	if err != nil {
		return nil, err
	}
	var key reconcileKey
	var accepted time.Time
	var standings []byte
	if _, err = pgx.ForEachRow(rows, []any{&key.tenant, &key.env, &accepted, &standings}, func() error {
		of(key).Add(standings, accepted.Before(stalled))
		return nil
	}); err != nil {
		return nil, err
	}
	rows, err = tx.Query(ctx, `SELECT tenant_id, split_part(subject, '.', 5), sum(entries) FROM parcels
		WHERE day = $1 AND ($2::uuid IS NULL OR tenant_id = $2) AND starts_with(subject, $3) GROUP BY 1, 2`, day, tenant, acceptedPrefix)
	if err != nil {
		return nil, err
	}
	var told int64
	_, err = pgx.ForEachRow(rows, []any{&key.tenant, &key.env, &told}, func() error {
		of(key).Accepted = told
		return nil
	})
	return counts, err
}

// Republish puts parcels of a day that have stood undecided for long into the outbox again, and answers how many. A second
// publication changes nothing for who has seen the first.
func (s *Store) Republish(ctx context.Context, day time.Time) (int64, error) {
	tag, err := s.db.Worker.Exec(ctx, `INSERT INTO outbox (parcel_id, subject)
		SELECT p.parcel_id, p.subject FROM accepted_parcels a JOIN parcels p ON p.day = a.day AND p.parcel_id = a.parcel_id
		WHERE a.day = $1 AND a.accept_time < $2 AND a.states & $3 <> 0 AND starts_with(p.subject, $4)
		ORDER BY p.parcel_id LIMIT $5 ON CONFLICT DO NOTHING`,
		day, s.now().Add(-message.StalledAfter), message.SetOf(message.StateAccepted), acceptedPrefix, republishLimit)
	return tag.RowsAffected(), postgres.Map(err)
}

const republishLimit = 10_000 // parcels of a day and round

// TellGap publishes a gap, unless the same one was told before.
func (s *Store) TellGap(ctx context.Context, r *message.Reconciliation) (told bool, err error) {
	now := s.now()
	id, err := uuid.NewV7()
	if err != nil {
		return false, err
	}
	payload, err := proto.Marshal(&ingestv1.GapParcel{
		ParcelId: id[:], TenantId: r.Tenant[:], CorrelationId: id[:], Gaps: []*ingestv1.ReconciliationGap{{
			Day: r.Day.Format(time.DateOnly), AcceptedCount: r.Accepted, StandingCount: r.Standing(), TimeUs: now.UnixMicro(),
		}},
	})
	if err != nil {
		return false, err
	}
	parcel := eventbus.Parcel{
		ID: id, Tenant: r.Tenant, Subject: eventbus.Subject(eventGap, r.Env, eventbus.LaneControl), Entries: 1, Payload: payload,
	}
	err = postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `INSERT INTO reconciliation_gaps AS g (tenant_id, env, day, accepted, standing, tell_time)
			VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant_id, env, day) DO UPDATE SET
				accepted = excluded.accepted, standing = excluded.standing, tell_time = excluded.tell_time
			WHERE (g.accepted, g.standing) <> (excluded.accepted, excluded.standing)`,
			r.Tenant, r.Env, r.Day, r.Accepted, r.Standing(), now)
		if told = err == nil && tag.RowsAffected() > 0; !told {
			return err
		}
		return outbox.Append(ctx, tx, parcel)
	})
	if err == nil && told {
		s.publisher.Publish(parcel)
	}
	return told, err
}
