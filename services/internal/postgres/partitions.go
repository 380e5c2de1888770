package postgres

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

const (
	// partitionsAhead keeps three days in hand: a service that cannot reach its owner's function for two days goes on.
	partitionsAhead = 3
	// partitionsBehind reaches back to the oldest parcel a stream may still deliver: streams keep events for 72 hours
	// (design §5), and a service that was down for days, or is new, finds all of them.
	partitionsBehind = 4
	// partitionsEvery is so short for the process that was frozen for days: it finds nothing in hand when it wakes.
	partitionsEvery = time.Minute
	day             = 24 * time.Hour
)

// EnsurePartitions makes the partitions of four days before to three days after now, in UTC, of every table registered
// by onlinesms_partition_by_day. It is harmless when they exist and when several replicas call it at once.
func EnsurePartitions(ctx context.Context, pool *pgxpool.Pool, now time.Time) error {
	today := now.UTC().Truncate(day)
	_, err := pool.Exec(ctx, "SELECT onlinesms_ensure_partitions($1::date, $2::date)",
		today.Add(-partitionsBehind*day), today.Add(partitionsAhead*day))
	return Map(err)
}

// RunPartitions calls EnsurePartitions at once and every minute until ctx ends; then it returns nil. A database that is
// away is waited for; any other failure of the first call (a right that is missing) is returned, of a later one logged.
func RunPartitions(ctx context.Context, pool *pgxpool.Pool, now func() time.Time) error {
	for made := false; ; {
		err := EnsurePartitions(ctx, pool, now())
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			made = true
		case !made && errs.KindOf(err) != errs.Unavailable:
			return err
		default:
			slog.WarnContext(ctx, "partitions not ensured", slog.String("error", err.Error()))
		}
		if !wait(ctx, partitionsEvery) {
			return nil
		}
	}
}
