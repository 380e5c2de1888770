package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

const (
	// openDeadline bounds Open: long enough for a database that is just recovering from a crash.
	openDeadline = 15 * time.Second
	// idleInTransaction ends the transaction of a frozen process, whose row locks would otherwise stop the others.
	idleInTransaction = "60000"
	// defaultMaxConns is what MaxConns 0 means.
	defaultMaxConns = 16
)

// Config is how a service reaches its database; embedded in each service's app.Config. Every address asks for
// sslmode=verify-full, or the service does not start.
type Config struct {
	// URL connects as <service>_worker: work across tenants, under an explicit policy. Required to serve.
	URL string `env:"POSTGRES_URL"`
	// TenantURL connects as <service>_tenant: sees only the rows of the tenant set by InTenant. Required to serve.
	TenantURL string `env:"POSTGRES_TENANT_URL"`
	// OwnerURL connects as <service>_owner; used by migrate only.
	OwnerURL string `env:"POSTGRES_OWNER_URL"`
	// TLS is verify-full (also when empty), or off: then a server on loopback may be reached in clear, for development.
	TLS string `env:"POSTGRES_TLS" envDefault:"verify-full"`
	// MaxConns bounds each of the two pools; 1 or more.
	MaxConns int32 `env:"POSTGRES_MAX_CONNS" envDefault:"16"`
}

// DB is a service's two pools.
type DB struct {
	Worker *pgxpool.Pool // role <service>_worker
	Tenant *pgxpool.Pool // role <service>_tenant; use it through InTenant
}

// Open makes both pools and waits up to 15 s until each has answered: errs.Unavailable after that, errs.Invalid when an
// address is missing, malformed or without TLS. Queries are traced with their SQL text; parameters are never logged or traced.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	worker, err := newPool(ctx, cfg, cfg.URL, "POSTGRES_URL")
	if err != nil {
		return nil, err
	}
	tenant, err := newPool(ctx, cfg, cfg.TenantURL, "POSTGRES_TENANT_URL")
	if err != nil {
		worker.Close()
		return nil, err
	}
	db := &DB{Worker: worker, Tenant: tenant}
	if err := db.ping(ctx); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// Close ends both pools; it waits for connections that are in use.
func (db *DB) Close() {
	db.Worker.Close()
	db.Tenant.Close()
}

// ping repeats until both pools answer, because a database that has just been restarted refuses for a while.
func (db *DB) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openDeadline)
	defer cancel()
	for _, pool := range []*pgxpool.Pool{db.Worker, db.Tenant} {
		for {
			err := pool.Ping(ctx)
			if err == nil {
				break
			}
			if !service.Pause(ctx, 200*time.Millisecond) {
				return errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "The database does not answer.", conceal(err))
			}
		}
	}
	return nil
}

func newPool(ctx context.Context, of Config, url, variable string) (*pgxpool.Pool, error) {
	if url == "" {
		return nil, errs.E(errs.Invalid, "CONFIG_INVALID", variable+" is not set.", nil)
	}
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil { // err quotes it
		return nil, errs.E(errs.Invalid, "CONFIG_INVALID", variable+" is not a PostgreSQL address, or its sslrootcert cannot be read.", nil)
	}
	if err := of.checkTransport(&cfg.ConnConfig.Config, variable); err != nil {
		return nil, err
	}
	cfg.MaxConns = of.MaxConns
	if of.MaxConns < 1 {
		cfg.MaxConns = defaultMaxConns
	}
	cfg.ConnConfig.Tracer = tracer{}
	cfg.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = idleInTransaction
	cfg.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		registerUUID(conn.TypeMap())
		return nil
	}
	return pgxpool.NewWithConfig(ctx, cfg)
}

// Minted is the time in a UUIDv7 (RFC 9562 section 5.7), in UTC, to the millisecond.
func Minted(id uuid.UUID) time.Time {
	ms := int64(id[0])<<40 | int64(id[1])<<32 | int64(id[2])<<24 | int64(id[3])<<16 | int64(id[4])<<8 | int64(id[5])
	return time.UnixMilli(ms).UTC()
}

// Day is the partition of things keyed by a UUIDv7: the UTC day it was minted, as midnight UTC. The SQL function
// onlinesms_day answers the same.
func Day(id uuid.UUID) time.Time { return Minted(id).Truncate(day) }
