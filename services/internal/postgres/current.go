package postgres

import (
	"context"
	"log/slog"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// retryOpen is the pause between tries to reach a database that is away.
const retryOpen = 2 * time.Second

// OpenCurrent is how a service opens its database: it waits, until ctx ends, for the server to answer and for the
// schema to hold every migration of sources, so that services, migrations and PostgreSQL may start in any order. An
// address that is malformed is an error at once.
func OpenCurrent(ctx context.Context, cfg Config, log *slog.Logger, sources ...Source) (*DB, error) {
	for {
		db, err := Open(ctx, cfg)
		if err == nil {
			if err = CheckCurrent(ctx, db.Worker, sources...); err == nil {
				return db, nil
			}
			db.Close()
		}
		if errs.KindOf(err) != errs.Unavailable {
			return nil, err
		}
		log.WarnContext(ctx, "waiting for the database", slog.String("error", err.Error()))
		if !wait(ctx, retryOpen) {
			return nil, ctx.Err()
		}
	}
}
