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
       e.messages, e.occurred_at, e.received_at, e.leaf, e.leaf_hash, e.reason, e.request_id
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
	for column, value := range map[string]string{"action": q.Action, "actor": q.Actor, "outcome": q.Outcome} {
		if value != "" {
			where += " and e." + column + " = " + arg(value)
		}
	}
	if !q.Start.IsZero() {
		where += " and e.received_at >= " + arg(q.Start) + " and e.day >= " + arg(q.Start.UTC()) + "::date"
	}
	if !q.End.IsZero() {
		where += " and e.received_at < " + arg(q.End) + " and e.day <= " + arg(q.End.UTC()) + "::date"
	}
	return selectEntry + join + where + " order by e.idx limit $4", args
}

// Get answers one entry with its fields; errs.NotFound when the tenant's log in that environment has none at the index.
func (s *Store) Get(ctx context.Context, tenant uuid.UUID, env string, index int64) (ledger.Stored, error) {
	var found ledger.Stored
	err := s.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, selectEntry+"where e.tenant_id = $1 and e.env = $2 and e.idx = $3", tenant, env, index)
		if err != nil {
			return err
		}
		if found, err = pgx.CollectExactlyOneRow(rows, scanStored); err != nil {
			return err
		}
		found.Fields, err = fields(ctx, tx, &found)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return found, errs.E(errs.NotFound, "AUDIT_EVENT_NOT_FOUND", "the tenant's log has no entry at this index", err)
	}
	return found, err
}

// fields reads what an entry commits to, sorted by name.
func fields(ctx context.Context, tx pgx.Tx, s *ledger.Stored) ([]ledger.Field, error) {
	rows, err := tx.Query(ctx, `select name, salt, value, digest from entry_fields
		where tenant_id = $1 and env = $2 and idx = $3 and day = $4 order by name`, s.Tenant, s.Env, s.Index, day(&s.Record))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (f ledger.Field, err error) {
		var salt []byte
		err = row.Scan(&f.Name, &salt, &f.Value, &f.Digest)
		copy(f.Salt[:], salt)
		return f, err
	})
}

func scanStored(row pgx.CollectableRow) (ledger.Stored, error) {
	var s ledger.Stored
	var hash []byte
	err := row.Scan(&s.Index, &s.EventID, &s.Tenant, &s.Env, &s.Action, &s.Actor, &s.Resource, &s.Outcome,
		&s.Correlation, &s.Causation, &s.MessageCount, &s.OccurredAt, &s.ReceivedAt, &s.Leaf, &hash, &s.Reason, &s.RequestID)
	copy(s.Hash[:], hash)
	s.OccurredAt, s.ReceivedAt = s.OccurredAt.In(time.UTC), s.ReceivedAt.In(time.UTC)
	return s, err
}
