package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/ingest/internal/limit"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// Lease grants units of shared limits; see limit.Leases. The table is not logged: the commit waits for no disk.
func (s *Store) Lease(ctx context.Context, asks []limit.Ask) ([]limit.Grant, error) {
	if len(asks) == 0 {
		return nil, nil
	}
	c := askColumns(asks)
	rows, err := s.db.Worker.Query(ctx, `SELECT granted, free, wait_ns FROM ingest_lease($1, $2, $3, $4, $5, $6, $7, $8)`,
		asks[0].Key.Tenant, asks[0].Key.Env, c.names, c.subjects, c.every, c.bursts, c.needs, c.wishes)
	if err != nil {
		return nil, postgres.Map(err)
	}
	grants, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (g limit.Grant, err error) {
		var wait int64
		err = row.Scan(&g.Units, &g.Free, &wait)
		g.Wait = time.Duration(wait)
		return g, err
	})
	if err == nil && len(grants) != len(asks) {
		return nil, fmt.Errorf("%d grants for %d asks", len(grants), len(asks))
	}
	return grants, postgres.Map(err)
}

// Return gives units back; see limit.Leases.
func (s *Store) Return(ctx context.Context, asks []limit.Ask) error {
	if len(asks) == 0 {
		return nil
	}
	c := askColumns(asks)
	_, err := s.db.Worker.Exec(ctx, `UPDATE limit_cells c SET full_ns = c.full_ns - u.every * u.units
		FROM unnest($3::text[], $4::bytea[], $5::bigint[], $6::bigint[]) AS u (name, subject, every, units)
		WHERE c.tenant_id = $1 AND c.env = $2 AND c.name = u.name AND c.subject = u.subject`,
		asks[0].Key.Tenant, asks[0].Key.Env, c.names, c.subjects, c.every, c.needs)
	return postgres.Map(err)
}

// PurgeLimits deletes at most n limits that have regained their burst an hour ago or longer, and tells how many.
func (s *Store) PurgeLimits(ctx context.Context, n int) (int64, error) {
	tag, err := s.db.Worker.Exec(ctx, `DELETE FROM limit_cells WHERE ctid = ANY (ARRAY(
		SELECT ctid FROM limit_cells WHERE full_ns < (extract(epoch FROM clock_timestamp() - interval '1 hour') * 1000000000)::bigint
		LIMIT $1 FOR UPDATE SKIP LOCKED))`, n)
	return tag.RowsAffected(), postgres.Map(err)
}

// columnsOfAsks are asks by column.
type columnsOfAsks struct {
	names                        []string
	subjects                     [][]byte
	every, bursts, needs, wishes []int64
}

func askColumns(asks []limit.Ask) (c columnsOfAsks) {
	for _, a := range asks {
		c.names, c.subjects = append(c.names, a.Key.Name), append(c.subjects, []byte(a.Key.Subject))
		c.every, c.bursts = append(c.every, int64(a.Rate.Every)), append(c.bursts, a.Rate.Burst)
		c.needs, c.wishes = append(c.needs, a.Need), append(c.wishes, a.Up)
	}
	return c
}
