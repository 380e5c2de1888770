package postgres

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// partitionsAhead keeps three days in hand: a service that cannot reach its owner's function for two days goes on.
	partitionsAhead = 3
	day             = 24 * time.Hour
)

// EnsurePartitions makes the partitions of yesterday (what crosses midnight in flight) to three days ahead of now, in
// UTC, of every table registered by onlinesms_partition_by_day. It is harmless when they exist and when several
// replicas call it at once.
func EnsurePartitions(ctx context.Context, pool *pgxpool.Pool, now time.Time) error {
	today := now.UTC().Truncate(day)
	_, err := pool.Exec(ctx, "SELECT onlinesms_ensure_partitions($1::date, $2::date)", today.Add(-day), today.Add(partitionsAhead*day))
	return Map(err)
}

// RunPartitions calls EnsurePartitions at once and every hour until ctx ends; then it returns nil. The first failure is
// returned (a service without today's partition cannot work), a later one is tried again after a minute: there are
// three days in hand.
func RunPartitions(ctx context.Context, pool *pgxpool.Pool, now func() time.Time) error {
	if err := EnsurePartitions(ctx, pool, now()); err != nil {
		return err
	}
	next := time.Hour
	for wait(ctx, next) {
		next = time.Hour
		if err := EnsurePartitions(ctx, pool, now()); err != nil {
			slog.WarnContext(ctx, "partitions not ensured", slog.String("error", err.Error()))
			next = time.Minute
		}
	}
	return nil
}
