package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/webhook"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// Webhooks keeps endpoints and deliveries. It is webhook's Registry, Store, Shelf, Queue, Health and Log.
type Webhooks struct {
	db      *postgres.DB
	publish func(...eventbus.Parcel)
	newID   func() uuid.UUID
	now     func() time.Time
}

var (
	_ webhook.Registry = (*Webhooks)(nil)
	_ webhook.Store    = (*Webhooks)(nil)
	_ webhook.Shelf    = (*Webhooks)(nil)
	_ webhook.Queue    = (*Webhooks)(nil)
	_ webhook.Health   = (*Webhooks)(nil)
)

// NewWebhooks makes a store; publish is called after each commit with the parcels it holds.
func NewWebhooks(db *postgres.DB, publish func(...eventbus.Parcel), newID func() uuid.UUID, now func() time.Time) *Webhooks {
	return &Webhooks{db: db, publish: publish, newID: newID, now: now}
}

const endpointColumns = `endpoint_id, tenant_id, env, url, description, event_types, ed25519, status, disable_reason, secret,
	previous_secret, previous_until, public_key, previous_public, create_time, verify_time, failing_since, warned`

func scanEndpoint(row pgx.CollectableRow) (e webhook.Endpoint, err error) {
	var until, verified, failing *time.Time
	err = row.Scan(&e.ID, &e.Tenant, &e.Env, &e.URL, &e.Description, &e.Types, &e.Ed25519, &e.Status, &e.DisableReason, &e.Secret,
		&e.Previous, &until, (*[]byte)(&e.Public), (*[]byte)(&e.PreviousKey), &e.Created, &verified, &failing, &e.Warned)
	for _, t := range []struct {
		from *time.Time
		to   *time.Time
	}{{until, &e.PreviousUntil}, {verified, &e.Verified}, {failing, &e.FailingSince}} {
		if t.from != nil {
			*t.to = *t.from
		}
	}
	return e, err
}

// values are an endpoint's, in the order of endpointColumns.
func values(e *webhook.Endpoint) []any {
	types := e.Types
	if types == nil {
		types = []string{}
	}
	return []any{
		e.ID, e.Tenant, e.Env, e.URL, e.Description, types, e.Ed25519, e.Status, e.DisableReason, e.Secret,
		e.Previous, optional(e.PreviousUntil), []byte(e.Public), []byte(e.PreviousKey), e.Created, optional(e.Verified), optional(e.FailingSince), e.Warned,
	}
}

// optional is NULL for no time.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

var errNoEndpoint = errs.E(errs.NotFound, "WEBHOOK_ENDPOINT_NOT_FOUND", "There is no such webhook endpoint in this environment.", nil)

// Version implements webhook.Registry.
func (w *Webhooks) Version(ctx context.Context) (version int64, err error) {
	err = w.db.Worker.QueryRow(ctx, `SELECT version FROM webhook_version`).Scan(&version)
	return version, postgres.Map(err)
}

// Active implements webhook.Registry. The version is read first: what is newer than it is read again.
func (w *Webhooks) Active(ctx context.Context) (all []webhook.Endpoint, version int64, err error) {
	if version, err = w.Version(ctx); err != nil {
		return nil, 0, err
	}
	rows, err := w.db.Worker.Query(ctx, `SELECT `+endpointColumns+` FROM webhook_endpoints WHERE status = 'ACTIVE'`)
	if err != nil {
		return nil, 0, postgres.Map(err)
	}
	all, err = pgx.CollectRows(rows, scanEndpoint)
	return all, version, postgres.Map(err)
}

// raise makes all replicas read endpoints again. It comes last in a transaction: it is the one row all changes meet at.
func raise(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `UPDATE webhook_version SET version = version + 1`)
	return err
}

// Create implements webhook.Store.
func (w *Webhooks) Create(ctx context.Context, e *webhook.Endpoint, limit int) error {
	return postgres.InTx(ctx, w.db.Worker, func(tx pgx.Tx) error {
		var n int
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('webhook_endpoints' || $1::uuid::text || $2, 0))`, e.Tenant, e.Env); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM webhook_endpoints WHERE tenant_id = $1 AND env = $2`, e.Tenant, e.Env).Scan(&n); err != nil {
			return err
		}
		if n >= limit {
			return errs.E(errs.Exhausted, "WEBHOOK_ENDPOINT_LIMIT", "The tenant has as many webhook endpoints as it may; delete one.", nil)
		}
		_, err := tx.Exec(ctx, `INSERT INTO webhook_endpoints (`+endpointColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`, values(e)...)
		if err != nil {
			return err
		}
		return raise(ctx, tx)
	})
}

const oneEndpoint = ` FROM webhook_endpoints WHERE endpoint_id = $1 AND tenant_id = $2 AND env = $3`

// Endpoint implements webhook.Store.
func (w *Webhooks) Endpoint(ctx context.Context, at webhook.Place) (e webhook.Endpoint, err error) {
	err = w.db.InTenant(ctx, at.Tenant, func(tx pgx.Tx) error {
		e, err = endpoint(ctx, tx, at, "")
		return err
	})
	return e, err
}

func endpoint(ctx context.Context, tx pgx.Tx, at webhook.Place, lock string) (e webhook.Endpoint, err error) {
	rows, err := tx.Query(ctx, `SELECT `+endpointColumns+oneEndpoint+lock, at.Endpoint, at.Tenant, at.Env)
	if err != nil {
		return e, err
	}
	e, err = pgx.CollectExactlyOneRow(rows, scanEndpoint)
	if errors.Is(err, pgx.ErrNoRows) {
		return e, errNoEndpoint
	}
	return e, err
}

// Page answers up to limit endpoints older than the one at before (zero: from the newest), newest first.
func (w *Webhooks) Page(ctx context.Context, tenant uuid.UUID, env string, before uuid.UUID, limit int) (page []webhook.Endpoint, err error) {
	err = w.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+endpointColumns+` FROM webhook_endpoints
			WHERE tenant_id = $1 AND env = $2 AND ($3 = '00000000-0000-0000-0000-000000000000'::uuid OR endpoint_id < $3)
			ORDER BY endpoint_id DESC LIMIT $4`, tenant, env, before, limit)
		if err != nil {
			return err
		}
		page, err = pgx.CollectRows(rows, scanEndpoint)
		return err
	})
	return page, err
}

// Change implements webhook.Store.
func (w *Webhooks) Change(ctx context.Context, at webhook.Place, change func(*webhook.Endpoint) error) (e webhook.Endpoint, err error) {
	err = postgres.InTx(ctx, w.db.Worker, func(tx pgx.Tx) error {
		if e, err = endpoint(ctx, tx, at, " FOR UPDATE"); err != nil {
			return err
		}
		if err = change(&e); err != nil {
			return err
		}
		return save(ctx, tx, &e)
	})
	return e, err
}

func save(ctx context.Context, tx pgx.Tx, e *webhook.Endpoint) error {
	_, err := tx.Exec(ctx, `UPDATE webhook_endpoints SET (`+endpointColumns+`) =
		($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) WHERE endpoint_id = $1`, values(e)...)
	if err != nil {
		return err
	}
	return raise(ctx, tx)
}

// Remove implements webhook.Store. Deliveries that were made stay in the log.
func (w *Webhooks) Remove(ctx context.Context, at webhook.Place) error {
	return postgres.InTx(ctx, w.db.Worker, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE`+oneEndpoint, at.Endpoint, at.Tenant, at.Env)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return errNoEndpoint
		}
		if _, err := tx.Exec(ctx, `DELETE FROM webhook_deliveries WHERE endpoint_id = $1 AND state = 0`, at.Endpoint); err != nil {
			return err
		}
		return raise(ctx, tx)
	})
}
