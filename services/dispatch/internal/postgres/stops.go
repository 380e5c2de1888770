package postgres

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
)

// KeepStops keeps changes of kill switches; what is older than what it has of the same one it passes over. The version makes repeats and events in another order harmless.
func (s *Store) KeepStops(ctx context.Context, changes []delivery.StopChange) error {
	changes = latest(changes)
	n := len(changes)
	tenants, scopes, objects := make([]uuid.UUID, n), make([]string, n), make([]string, n)
	versions, on := make([]int64, n), make([]bool, n)
	for i, c := range changes {
		tenants[i], scopes[i], objects[i], versions[i], on[i] = c.Tenant, c.Scope, c.Object, c.Version, c.On
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO sending_stops AS s (tenant_id, scope, object_id, version, stopped)
			SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::boolean[])
			ON CONFLICT (tenant_id, scope, object_id) DO UPDATE SET version = excluded.version, stopped = excluded.stopped
			WHERE s.version < excluded.version`, tenants, scopes, objects, versions, on)
		return err
	})
}

// latest leaves the last change of each switch, in the order of the key.
func latest(changes []delivery.StopChange) []delivery.StopChange {
	last := map[delivery.Stop]delivery.StopChange{}
	for _, c := range changes {
		if known, ok := last[c.Stop]; !ok || known.Version < c.Version {
			last[c.Stop] = c
		}
	}
	kept := make([]delivery.StopChange, 0, len(last))
	for _, c := range last {
		kept = append(kept, c)
	}
	slices.SortFunc(kept, func(a, b delivery.StopChange) int {
		return cmp.Or(bytes.Compare(a.Tenant[:], b.Tenant[:]), cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Object, b.Object))
	})
	return kept
}

// Stops answers the kill switches that are on, of all tenants.
func (s *Store) Stops(ctx context.Context) ([]delivery.Stop, error) {
	rows, err := s.pool.Query(ctx, `SELECT tenant_id AS tenant, scope, object_id AS object FROM sending_stops WHERE stopped`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[delivery.Stop])
}
