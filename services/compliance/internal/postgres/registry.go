package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

var _ registry.Source = (*Store)(nil)

// Versions implements registry.Source.
func (s *Store) Versions(ctx context.Context) (map[uuid.UUID]registry.Versions, error) {
	rows, err := s.db.Worker.Query(ctx, `SELECT tenant_id, coalesce(r.version, 0), coalesce(p.version, 0)
		FROM registry_versions r FULL JOIN registry_stop_versions p USING (tenant_id)`)
	if err != nil {
		return nil, postgres.Map(err)
	}
	all := map[uuid.UUID]registry.Versions{}
	var tenant uuid.UUID
	var v registry.Versions
	_, err = pgx.ForEachRow(rows, []any{&tenant, &v.Registry, &v.Stops}, func() error {
		all[tenant] = v
		return nil
	})
	return all, postgres.Map(err)
}

// Rows implements registry.Source.
func (s *Store) Rows(ctx context.Context, tenant uuid.UUID, since int64, only []registry.Key) (r registry.Rows, err error) {
	err = s.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		// The version first: a change between the statements makes the rows newer than it says, and is read again.
		err := tx.QueryRow(ctx, `SELECT coalesce((SELECT version FROM registry_versions), 0)`).Scan(&r.Version)
		if err != nil {
			return err
		}
		if len(only) > 0 {
			kinds, ids := columnsOf(only)
			r.Objects, err = queryObjects(ctx, tx, `o.tenant_id = $1 AND o.version > $2 AND (o.kind, o.object_id) IN (SELECT * FROM unnest($3::text[], $4::text[]))`,
				tenant, since, kinds, ids)
			return err
		}
		r.Objects, err = queryObjects(ctx, tx, `o.tenant_id = $1 AND o.version > $2`, tenant, since)
		return err
	})
	return r, err
}

// Export answers a tenant's whole registry as of one moment, in the order of Kinds and ids.
func (s *Store) Export(ctx context.Context, tenant uuid.UUID) (r registry.Rows, err error) {
	err = s.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT coalesce((SELECT version FROM registry_versions), 0)`).Scan(&r.Version); err != nil {
			return err
		}
		r.Objects, err = queryObjects(ctx, tx, `o.tenant_id = $1 ORDER BY array_position($2, o.kind), o.object_id`, tenant, kindNames())
		return err
	})
	return r, err
}

func kindNames() []string {
	names := make([]string, len(registry.Kinds))
	for i, k := range registry.Kinds {
		names[i] = string(k)
	}
	return names
}

// Object answers one object; errs.NotFound when it is not there.
func (s *Store) Object(ctx context.Context, tenant uuid.UUID, key registry.Key) (o registry.Object, err error) {
	err = s.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		found, err := queryObjects(ctx, tx, `o.tenant_id = $1 AND o.kind = $2 AND o.object_id = $3`, tenant, key.Kind, key.ID)
		if err == nil && len(found) == 0 {
			return notRegistered(key)
		}
		if err == nil {
			o = found[0]
		}
		return err
	})
	return o, err
}

func notRegistered(key registry.Key) error {
	return errs.E(errs.NotFound, "OBJECT_NOT_FOUND", "Nothing is registered as "+key.String()+".", nil)
}

// Objects answers a page of objects of a kind in the order of their ids.
func (s *Store) Objects(ctx context.Context, tenant uuid.UUID, q registry.Query) (found []registry.Object, err error) {
	err = s.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		found, err = queryObjects(ctx, tx, `o.tenant_id = $1 AND o.kind = $2 AND o.object_id > $3 AND ($4 = '' OR o.entity_id = $4)
			AND ($5 = '' OR coalesce(o.operators ->> nullif($6, ''), o.status) = $5) ORDER BY o.object_id LIMIT $7`,
			tenant, q.Kind, q.After, q.Entity, q.Status, q.Operator, q.Limit)
		return err
	})
	return found, err
}

// Revisions answers the bodies a template has had, the newest first.
func (s *Store) Revisions(ctx context.Context, tenant uuid.UUID, template string) (all []registry.Revision, err error) {
	err = s.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT revision AS number, body, valid_from AS "from" FROM template_revisions
			WHERE tenant_id = $1 AND template_id = $2 ORDER BY revision DESC`, tenant, template)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, pgx.RowToStructByName[registry.Revision])
		return err
	})
	return all, err
}

// Known implements portal.Store: objects of a kind and of the kinds it may refer to.
func (s *Store) Known(ctx context.Context, tenant uuid.UUID, kind registry.Kind) (map[registry.Key]*registry.Object, int64, error) {
	kinds := []string{string(kind), string(registry.Entities), string(registry.Telemarketers)}
	if kind == registry.Templates {
		kinds = append(kinds, string(registry.CTAs)) // what their links are looked up in
	}
	var version int64
	var found []registry.Object
	err := s.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `SELECT coalesce((SELECT version FROM registry_versions), 0)`).Scan(&version)
		if err != nil {
			return err
		}
		found, err = queryObjects(ctx, tx, `o.tenant_id = $1 AND o.kind = ANY ($2)`, tenant, kinds)
		return err
	})
	return byKey(found), version, err
}

func byKey(objects []registry.Object) map[registry.Key]*registry.Object {
	known := make(map[registry.Key]*registry.Object, len(objects))
	for i := range objects {
		known[objects[i].Key()] = &objects[i]
	}
	return known
}
