package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/onlinesms/onlinesms/services/internal/service"
)

// maxAttempts bounds InTx: two rivals need two, more than five means a design fault that should be seen.
const maxAttempts = 5

// InTenant runs fn in a read-only transaction that sees the rows of tenant only. Errors of the database come back
// through Map, others as they are.
func (db *DB) InTenant(ctx context.Context, tenant uuid.UUID, fn func(pgx.Tx) error) error {
	// One round trip: begin and the setting go as one simple query. A UUID's text needs no quoting.
	begin := "BEGIN READ ONLY; SET LOCAL onlinesms.tenant = '" + tenant.String() + "'"
	return Map(pgx.BeginTxFunc(ctx, db.Tenant, pgx.TxOptions{BeginQuery: begin}, fn))
}

// InTx runs fn in a read-write transaction and commits when it returns nil. After a serialisation failure (40001) or a
// deadlock (40P01) it runs fn again, up to five times in all: fn must have no effect beside tx that it cannot have twice.
// Errors of the database come back through Map, others as they are.
func InTx(ctx context.Context, pool *pgxpool.Pool, fn func(pgx.Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := pgx.BeginFunc(ctx, pool, fn)
		if err == nil || attempt == maxAttempts || !rivalry(err) || !service.Pause(ctx, time.Duration(attempt*attempt)*5*time.Millisecond) {
			return Map(err)
		}
	}
}

// rivalry tells whether err was caused by a concurrent transaction and the transaction was rolled back whole.
func rivalry(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "40001" || pg.Code == "40P01")
}
