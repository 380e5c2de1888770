// Package postgres keeps compliance's registry, decisions and holds, and appends its outgoing parcels.
package postgres

import (
	"bytes"
	"context"
	"embed"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Sources are the migrations of compliance's database.
var Sources = []postgres.Source{outbox.Source, {Name: "compliance", FS: migrations}}

// Consumer is compliance's name on durables and in the inbox.
const Consumer = "compliance"

// Store is screening.Store and registry.Source on PostgreSQL.
type Store struct {
	db      *postgres.DB
	publish func(parcels ...eventbus.Parcel)
	newID   func() uuid.UUID
	now     func() time.Time
}

// NewStore makes a store. publish is given outgoing parcels after their commit and must not block; newID makes
// UUIDv7s.
func NewStore(db *postgres.DB, publish func(parcels ...eventbus.Parcel), newID func() uuid.UUID, now func() time.Time) *Store {
	return &Store{db, publish, newID, now}
}

var _ screening.Store = (*Store)(nil)

// Record implements screening.Store.
func (s *Store) Record(ctx context.Context, screened []screening.Screened) error {
	if len(screened) == 0 {
		return nil
	}
	records, err := s.encodeAll(screened)
	if err != nil {
		return err
	}
	ids := make([]uuid.UUID, len(records))
	for i, r := range records {
		ids[i] = r.source
	}
	var committed []record
	err = postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		fresh, err := outbox.Claim(ctx, tx, Consumer, ids)
		if err != nil {
			return err
		}
		committed = slices.DeleteFunc(slices.Clone(records), func(r record) bool { return !fresh[r.source] })
		if committed, err = s.withdraw(ctx, tx, committed); err != nil {
			return err
		}
		return write(ctx, tx, committed)
	})
	if err != nil {
		return err
	}
	s.done(ctx, committed)
	return nil
}

// Release implements screening.Store.
func (s *Store) Release(ctx context.Context, lane string, now time.Time, messages int, screen screening.Screen) (int, error) {
	var released int
	var committed []record
	err := postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		parcels, err := claimHolds(ctx, tx, lane, now, messages)
		if released = 0; err != nil || len(parcels) == 0 {
			return err
		}
		holds := make([]uuid.UUID, len(parcels))
		for i, p := range parcels {
			holds[i] = p.Hold
		}
		screened, err := screen(ctx, parcels)
		if err != nil {
			return err
		}
		if committed, err = s.encodeAll(screened); err != nil {
			return err
		}
		if committed, err = s.withdraw(ctx, tx, committed); err != nil {
			return err
		}
		done := make([]uuid.UUID, len(screened))
		for i, p := range screened {
			done[i] = p.Hold
			released += len(p.Messages)
		}
		if err := settle(ctx, tx, holds, done, now.Add(screening.PutOff)); err != nil {
			return err
		}
		return write(ctx, tx, committed)
	})
	if err != nil {
		return 0, err
	}
	s.done(ctx, committed)
	return released, nil
}

// settle removes the holds that are done and puts off the others.
func settle(ctx context.Context, tx pgx.Tx, holds, done []uuid.UUID, later time.Time) error {
	if _, err := tx.Exec(ctx, `DELETE FROM holds WHERE hold_id = ANY ($1::uuid[])`, done); err != nil || len(done) == len(holds) {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE holds SET due_time = $2 WHERE hold_id = ANY ($1::uuid[])`, holds, later)
	return err
}

// dueHolds chooses holds of a lane ($1) that are due ($2), of about so many messages ($3): of every tenant with a due hold
// its share, the longest due first; what the shares leave over goes to the longest due of all. The tenants are found by
// skipping through the index, one probe each, however much any of them holds for later.
const dueHolds = `
	WITH RECURSIVE holding AS (
		(SELECT tenant_id FROM holds WHERE lane = $1 AND EXISTS (SELECT FROM holds WHERE lane = $1 AND due_time <= $2)
			ORDER BY tenant_id LIMIT 1)
		UNION ALL
		SELECT (SELECT h.tenant_id FROM holds h WHERE h.lane = $1 AND h.tenant_id > w.tenant_id ORDER BY h.tenant_id LIMIT 1)
		FROM holding w WHERE w.tenant_id IS NOT NULL),
	tenants AS (
		SELECT tenant_id FROM holding w WHERE EXISTS (
			SELECT FROM holds h WHERE h.lane = $1 AND h.tenant_id = w.tenant_id AND h.due_time <= $2) LIMIT $3),
	share AS (SELECT greatest(1, $3 / greatest(1, count(*))) AS messages FROM tenants),
	fair AS (
		SELECT own.hold_id, own.messages FROM tenants t, share s, LATERAL (
			SELECT hold_id, messages, sum(messages) OVER (ORDER BY due_time, hold_id) - messages AS before FROM (
				SELECT hold_id, due_time, messages FROM holds
				WHERE lane = $1 AND tenant_id = t.tenant_id AND due_time <= $2
				ORDER BY due_time, hold_id LIMIT s.messages) first) own
		WHERE own.before < s.messages),
	rest AS (
		SELECT hold_id FROM (
			SELECT hold_id, sum(messages) OVER (ORDER BY due_time, hold_id) - messages AS before FROM (
				SELECT hold_id, due_time, messages FROM holds WHERE lane = $1 AND due_time <= $2
				ORDER BY due_time, hold_id LIMIT $3) longest
			WHERE hold_id NOT IN (SELECT hold_id FROM fair)) left_over
		WHERE before < $3 - (SELECT coalesce(sum(messages), 0) FROM fair))
	SELECT hold_id FROM fair UNION ALL SELECT hold_id FROM rest`

// claimHolds locks due holds of about so many messages and reads them.
func claimHolds(ctx context.Context, tx pgx.Tx, lane string, now time.Time, messages int) ([]screening.Parcel, error) {
	rows, err := tx.Query(ctx, `
		SELECT hold_id, tenant_id, env, lane, round, parcel_id, correlation_id, trace, payload FROM holds
		WHERE hold_id = ANY (ARRAY (`+dueHolds+`)) ORDER BY hold_id FOR UPDATE SKIP LOCKED`, lane, now, messages)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (screening.Parcel, error) {
		var p screening.Parcel
		var round uint32
		var payload []byte
		if err := row.Scan(&p.Hold, &p.Tenant, &p.Env, &p.Lane, &round, &p.ID, &p.Correlation, &p.Trace, &payload); err != nil {
			return p, err
		}
		p.Messages, err = decodeHold(payload, round)
		return p, err
	})
}

// Cleared implements screening.Store.
func (s *Store) Cleared(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]screening.Parcel, error) {
	loaded, err := outbox.Load(ctx, s.db.Worker, ids...)
	if err != nil {
		return nil, err
	}
	parcels := make(map[uuid.UUID]screening.Parcel, len(loaded))
	for _, p := range loaded {
		if parcels[p.ID], err = decodeCleared(p); err != nil {
			return nil, err
		}
	}
	if len(parcels) < len(ids) {
		return nil, errs.E(errs.NotFound, "PARCEL_NOT_FOUND", "a cleared parcel is not there", nil)
	}
	return parcels, nil
}

// done publishes what was committed and counts it.
func (s *Store) done(ctx context.Context, committed []record) {
	for _, r := range committed {
		s.publish(r.outgoing...)
		count(ctx, r)
	}
}

func compare(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }
