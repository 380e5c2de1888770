package postgres

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/audit/internal/ledger"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// arrayLiteral writes {1,2,3}, PostgreSQL's text form of an array.
func arrayLiteral(indexes []uint16) string {
	dst := append(make([]byte, 0, 2+4*len(indexes)), '{')
	for i, x := range indexes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(x), 10)
	}
	return string(append(dst, '}'))
}

const selectEntry = `
select e.idx, e.event_id, e.tenant_id, e.env, e.action, e.actor, e.resource, e.outcome, e.correlation, e.causation,
       e.messages, e.occurred_at, e.received_at, e.leaf, e.leaf_hash
from entries e `

// List answers up to limit entries of one tenant and environment after an index, lowest first.
func (s *Store) List(ctx context.Context, q ledger.Query) ([]ledger.Stored, error) {
	sql, args := listSQL(q)
	var found []ledger.Stored
	err := s.db.InTenant(ctx, q.Tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, scanStored)
		return err
	})
	return found, err
}

// listSQL joins the parcel table only where a message or parcel is asked for.
func listSQL(q ledger.Query) (string, []any) {
	args := []any{q.Tenant, q.Env, q.After, q.Limit}
	arg := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	join, where := "", "where e.tenant_id = $1 and e.env = $2 and e.idx > $3"
	if q.Parcel != uuid.Nil {
		join = "join entry_parcels p on p.tenant_id = e.tenant_id and p.env = e.env and p.idx = e.idx and p.day = e.day "
		where += " and p.parcel_id = " + arg(q.Parcel)
	}
	if q.Index != nil {
		where += " and " + arg(int16(*q.Index)) + " = any(p.indexes)"
	}
	if q.Action != "" {
		where += " and e.action = " + arg(q.Action)
	}
	if !q.Start.IsZero() {
		where += " and e.received_at >= " + arg(q.Start) + " and e.day >= " + arg(q.Start.UTC()) + "::date"
	}
	if !q.End.IsZero() {
		where += " and e.received_at < " + arg(q.End) + " and e.day <= " + arg(q.End.UTC()) + "::date"
	}
	return selectEntry + join + where + " order by e.idx limit $4", args
}

// Get answers one entry; errs.NotFound when the tenant's log in that environment has none at the index.
func (s *Store) Get(ctx context.Context, tenant uuid.UUID, env string, index int64) (ledger.Stored, error) {
	var found ledger.Stored
	err := s.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, selectEntry+"where e.tenant_id = $1 and e.env = $2 and e.idx = $3", tenant, env, index)
		if err != nil {
			return err
		}
		found, err = pgx.CollectExactlyOneRow(rows, scanStored)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return found, errs.E(errs.NotFound, "AUDIT_EVENT_NOT_FOUND", "the tenant's log has no entry at this index", err)
	}
	return found, err
}

func scanStored(row pgx.CollectableRow) (ledger.Stored, error) {
	var s ledger.Stored
	var hash []byte
	err := row.Scan(&s.Index, &s.EventID, &s.Tenant, &s.Env, &s.Action, &s.Actor, &s.Resource, &s.Outcome,
		&s.Correlation, &s.Causation, &s.MessageCount, &s.OccurredAt, &s.ReceivedAt, &s.Leaf, &hash)
	copy(s.Hash[:], hash)
	s.OccurredAt, s.ReceivedAt = s.OccurredAt.In(time.UTC), s.ReceivedAt.In(time.UTC)
	return s, err
}
