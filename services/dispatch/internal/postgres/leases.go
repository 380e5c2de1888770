package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
)

// Join implements delivery.Leases. All times of leases are PostgreSQL's: replicas need no common clock.
func (s *Store) Join(ctx context.Context, replica uuid.UUID, ttl time.Duration, binds map[string]int) error {
	var routes []string
	var numbers []int32
	for route, n := range binds {
		for i := range n {
			routes, numbers = append(routes, route), append(numbers, int32(i))
		}
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		var b pgx.Batch
		b.Queue(`INSERT INTO replicas (replica, expires_at) VALUES ($1, clock_timestamp() + $2)
			ON CONFLICT (replica) DO UPDATE SET expires_at = excluded.expires_at`, replica, ttl)
		b.Queue(`INSERT INTO bind_leases (route, bind_no)
			SELECT route, bind_no FROM unnest($1::text[], $2::int[]) AS u (route, bind_no) ORDER BY route, bind_no
			ON CONFLICT DO NOTHING`, routes, numbers)
		for route, n := range binds {
			b.Queue(`DELETE FROM bind_leases WHERE route = $1 AND bind_no >= $2 AND holder IS NULL`, route, n)
		}
		return tx.SendBatch(ctx, &b).Close()
	})
}

// Beat implements delivery.Leases.
func (s *Store) Beat(ctx context.Context, replica uuid.UUID, ttl time.Duration) (delivery.Standing, error) {
	var standing delivery.Standing
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE replicas SET expires_at = clock_timestamp() + $2 WHERE replica = $1`, replica, ttl)
		if err == nil && tag.RowsAffected() == 0 {
			return delivery.ErrFenced
		}
		return err
	})
	if err != nil {
		return standing, err
	}
	if err := s.takeOver(ctx, ttl); err != nil {
		return standing, err
	}
	return s.standing(ctx)
}

// takeOver ends replicas whose time is over. Not in the first moments of a server: they could not renew while it was
// away. One whose transaction is under way is passed over until that has ended.
func (s *Store) takeOver(ctx context.Context, ttl time.Duration) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT replica FROM replicas WHERE expires_at < clock_timestamp()
			AND pg_postmaster_start_time() < clock_timestamp() - $1::interval ORDER BY replica FOR UPDATE SKIP LOCKED`, ttl)
		if err != nil {
			return err
		}
		dead, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil || len(dead) == 0 {
			return err
		}
		return forget(ctx, tx, dead)
	})
}

// forget deletes replicas and frees what they held.
func forget(ctx context.Context, tx pgx.Tx, replicas []uuid.UUID) error {
	var b pgx.Batch
	b.Queue(`DELETE FROM replicas WHERE replica = ANY ($1)`, replicas)
	b.Queue(`UPDATE bind_leases SET holder = NULL WHERE holder = ANY ($1)`, replicas)
	b.Queue(`UPDATE queue SET owner = NULL, taken_at = clock_timestamp() WHERE owner = ANY ($1)`, replicas)
	return tx.SendBatch(ctx, &b).Close()
}

func (s *Store) standing(ctx context.Context) (delivery.Standing, error) {
	standing := delivery.Standing{Free: map[string]int{}}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM replicas`).Scan(&standing.Replicas); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT route, count(*) FROM bind_leases WHERE holder IS NULL GROUP BY route`)
		if err != nil {
			return err
		}
		var route string
		var n int
		_, err = pgx.ForEachRow(rows, []any{&route, &n}, func() error {
			standing.Free[route] = n
			return nil
		})
		return err
	})
	return standing, err
}

// Acquire implements delivery.Leases.
func (s *Store) Acquire(ctx context.Context, replica uuid.UUID, route string, n int) ([]delivery.Bind, error) {
	var binds []delivery.Bind
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := fence(ctx, tx, replica); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `UPDATE bind_leases SET holder = $1, epoch = epoch + 1
			WHERE route = $2 AND bind_no IN (SELECT bind_no FROM bind_leases WHERE route = $2 AND holder IS NULL
				ORDER BY bind_no LIMIT $3 FOR UPDATE SKIP LOCKED)
			RETURNING route, bind_no, epoch`, replica, route, n)
		if err != nil {
			return err
		}
		binds, err = pgx.CollectRows(rows, pgx.RowToStructByPos[delivery.Bind])
		return err
	})
	slices.SortFunc(binds, func(a, b delivery.Bind) int { return a.No - b.No })
	return binds, err
}

// Yield implements delivery.Leases.
func (s *Store) Yield(ctx context.Context, replica uuid.UUID, binds []delivery.Bind) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		var b pgx.Batch
		for _, bind := range binds {
			b.Queue(`UPDATE bind_leases SET holder = NULL WHERE route = $1 AND bind_no = $2 AND holder = $3 AND epoch = $4`,
				bind.Route, bind.No, replica, bind.Epoch)
		}
		return tx.SendBatch(ctx, &b).Close()
	})
}

// Leave implements delivery.Leases.
func (s *Store) Leave(ctx context.Context, replica uuid.UUID) error {
	return s.inTx(ctx, func(tx pgx.Tx) error { return forget(ctx, tx, []uuid.UUID{replica}) })
}
