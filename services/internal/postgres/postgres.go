package postgres

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/secret"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

const (
	// openDeadline bounds Open: long enough for a database that is just recovering from a crash.
	openDeadline = 15 * time.Second
	// tryDeadline bounds the trial of a new address.
	tryDeadline = 5 * time.Second
	// idleInTransaction ends the transaction of a frozen process, whose row locks would otherwise stop the others.
	idleInTransaction = "60000"
	// defaultMaxConns is what MaxConns 0 means.
	defaultMaxConns = 16
)

// Config is how a service reaches its database; embedded in each service's app.Config. Every address asks for
// sslmode=verify-full, or the service does not start. An address that changes, with a new password, say, is used for new
// connections once one has succeeded.
type Config struct {
	// URL connects as <service>_worker: work across tenants, under an explicit policy. Required to serve.
	URL secret.Ref `env:"POSTGRES_URL"`
	// TenantURL connects as <service>_tenant: sees only the rows of the tenant set by InTenant. Required to serve.
	TenantURL secret.Ref `env:"POSTGRES_TENANT_URL"`
	// OwnerURL connects as <service>_owner; used by migrate only.
	OwnerURL secret.Ref `env:"POSTGRES_OWNER_URL"`
	// TLS is verify-full (also when empty), or off: then a server on loopback may be reached in clear, for development.
	TLS string `env:"POSTGRES_TLS" envDefault:"verify-full"`
	// MaxConns bounds each of the two pools; 1 or more.
	MaxConns int32 `env:"POSTGRES_MAX_CONNS" envDefault:"16"`
}

// DB is a service's two pools.
type DB struct {
	Worker *pgxpool.Pool // role <service>_worker
	Tenant *pgxpool.Pool // role <service>_tenant; use it through InTenant
	stop   context.CancelFunc
}

// Open makes both pools, which follow their addresses until Close or the end of ctx, and waits up to 15 s until each has
// answered: errs.Unavailable after that, errs.Invalid when an address is missing, malformed or without TLS. Queries are
// traced with their SQL text; parameters are never logged or traced.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	following, stop := context.WithCancel(ctx)
	worker, err := newPool(following, cfg, cfg.URL, "POSTGRES_URL")
	if err != nil {
		stop()
		return nil, err
	}
	tenant, err := newPool(following, cfg, cfg.TenantURL, "POSTGRES_TENANT_URL")
	if err != nil {
		stop()
		worker.Close()
		return nil, err
	}
	db := &DB{Worker: worker, Tenant: tenant, stop: stop}
	if err := db.ping(ctx); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// Close ends both pools; it waits for connections that are in use.
func (db *DB) Close() {
	db.stop()
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

func newPool(ctx context.Context, of Config, url secret.Ref, variable string) (*pgxpool.Pool, error) {
	if url == "" {
		return nil, errs.E(errs.Invalid, "CONFIG_INVALID", variable+" is not set.", nil)
	}
	var current atomic.Pointer[pgx.ConnConfig]
	var pool *pgxpool.Pool
	err := secret.Follow(ctx, variable, url, func(text []byte) error {
		cfg, err := of.parsePool(string(text), variable)
		if err != nil {
			return err
		}
		if pool != nil {
			if err := try(ctx, cfg.ConnConfig); err != nil {
				return err
			}
			current.Store(cfg.ConnConfig)
			pool.Reset() // connections in use go on until they are given back
			return nil
		}
		current.Store(cfg.ConnConfig)
		cfg.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
			*c = *current.Load().Copy()
			return nil
		}
		pool, err = pgxpool.NewWithConfig(ctx, cfg)
		return err
	})
	return pool, err
}

// try connects once: an address that does not work must not replace one that does.
func try(ctx context.Context, cfg *pgx.ConnConfig) error {
	ctx, cancel := context.WithTimeout(ctx, tryDeadline)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return conceal(err)
	}
	return conn.Close(ctx)
}

func (of Config) parsePool(url, variable string) (*pgxpool.Config, error) {
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
	return cfg, nil
}

// Minted is the time in a UUIDv7 (RFC 9562 section 5.7), in UTC, to the millisecond.
func Minted(id uuid.UUID) time.Time {
	ms := int64(id[0])<<40 | int64(id[1])<<32 | int64(id[2])<<24 | int64(id[3])<<16 | int64(id[4])<<8 | int64(id[5])
	return time.UnixMilli(ms).UTC()
}

// Day is the partition of things keyed by a UUIDv7: the UTC day it was minted, as midnight UTC. The SQL function
// onlinesms_day answers the same.
func Day(id uuid.UUID) time.Time { return Minted(id).Truncate(day) }
