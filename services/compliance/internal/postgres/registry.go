package postgres

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

var _ registry.Source = (*Store)(nil)

// EventRegistryChanged tells replicas to reload a tenant's registry.
const EventRegistryChanged = "onlinesms.compliance.v1.RegistryChanged"

// maxObjects bounds the names in a RegistryChanged; more are told by none.
const maxObjects = 1000

// Versions implements registry.Source.
func (s *Store) Versions(ctx context.Context) (map[uuid.UUID]int64, error) {
	rows, err := s.db.Worker.Query(ctx, `SELECT tenant_id, version FROM registry_versions`)
	if err != nil {
		return nil, postgres.Map(err)
	}
	versions := map[uuid.UUID]int64{}
	var tenant uuid.UUID
	var version int64
	_, err = pgx.ForEachRow(rows, []any{&tenant, &version}, func() error {
		versions[tenant] = version
		return nil
	})
	return versions, postgres.Map(err)
}

// Rows implements registry.Source.
func (s *Store) Rows(ctx context.Context, tenant uuid.UUID) (r registry.Rows, err error) {
	err = s.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		// The version first: a change between the statements makes the rows newer than it says, and is announced itself.
		err := tx.QueryRow(ctx, `SELECT coalesce((SELECT version FROM registry_versions), 0)`).Scan(&r.Version)
		if err != nil {
			return err
		}
		return readRows(ctx, tx, &r)
	})
	return r, err
}

func readRows(ctx context.Context, tx pgx.Tx, r *registry.Rows) (err error) {
	if r.Telemarketers, err = read[registry.TelemarketerRow](ctx, tx,
		`SELECT telemarketer_id AS id, name, role, status FROM telemarketers ORDER BY 1`); err != nil {
		return err
	}
	if r.Entities, err = read[registry.EntityRow](ctx, tx,
		`SELECT entity_id AS id, name, status, chain, chain_status FROM entities ORDER BY 1`); err != nil {
		return err
	}
	if r.Headers, err = read[registry.HeaderRow](ctx, tx,
		`SELECT header, entity_id AS entity, kind, status FROM headers ORDER BY 1`); err != nil {
		return err
	}
	if r.CTAs, err = read[registry.CTARow](ctx, tx,
		`SELECT entity_id AS entity, kind, value, status FROM ctas ORDER BY 1, 2, 3`); err != nil {
		return err
	}
	r.Templates, err = read[registry.TemplateRow](ctx, tx, `SELECT template_id AS id, entity_id AS entity, headers, category,
		status, body, variables, overrides, max_length, goods FROM templates ORDER BY 1`)
	return err
}

func read[T any](ctx context.Context, tx pgx.Tx, sql string) ([]T, error) {
	rows, err := tx.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[T])
}

// upserts put rows in place, given as a JSON array; the order keeps foreign keys satisfied.
var upserts = []string{
	`INSERT INTO telemarketers SELECT $1, r."ID", r."Name", r."Role", r."Status"
		FROM jsonb_to_recordset($2) r("ID" text, "Name" text, "Role" text, "Status" text) ORDER BY 2
		ON CONFLICT (tenant_id, telemarketer_id) DO UPDATE SET name = excluded.name, role = excluded.role, status = excluded.status`,
	`INSERT INTO entities SELECT $1, r."ID", r."Name", r."Status", coalesce(r."Chain", '{}'), r."ChainStatus"
		FROM jsonb_to_recordset($2) r("ID" text, "Name" text, "Status" text, "Chain" text[], "ChainStatus" text) ORDER BY 2
		ON CONFLICT (tenant_id, entity_id) DO UPDATE SET name = excluded.name, status = excluded.status, chain = excluded.chain,
			chain_status = excluded.chain_status`,
	`INSERT INTO headers SELECT $1, r."Header", r."Entity", r."Kind", r."Status"
		FROM jsonb_to_recordset($2) r("Header" text, "Entity" text, "Kind" text, "Status" text) ORDER BY 2
		ON CONFLICT (tenant_id, header) DO UPDATE SET entity_id = excluded.entity_id, kind = excluded.kind, status = excluded.status`,
	`INSERT INTO ctas SELECT $1, r."Entity", r."Kind", r."Value", r."Status"
		FROM jsonb_to_recordset($2) r("Entity" text, "Kind" text, "Value" text, "Status" text) ORDER BY 2, 3, 4
		ON CONFLICT (tenant_id, entity_id, kind, value) DO UPDATE SET status = excluded.status`,
	`INSERT INTO templates SELECT $1, r."ID", r."Entity", coalesce(r."Headers", '{}'), r."Category", r."Status", r."Body",
			coalesce(r."Variables", '{}'), coalesce(r."Overrides", '{}'), r."MaxLength", r."Goods"
		FROM jsonb_to_recordset($2) r("ID" text, "Entity" text, "Headers" text[], "Category" text, "Status" text, "Body" text,
			"Variables" text[], "Overrides" text[], "MaxLength" int, "Goods" int) ORDER BY 2
		ON CONFLICT (tenant_id, template_id) DO UPDATE SET entity_id = excluded.entity_id, headers = excluded.headers,
			category = excluded.category, status = excluded.status, body = excluded.body, variables = excluded.variables,
			overrides = excluded.overrides, max_length = excluded.max_length, goods = excluded.goods`,
}

// Import puts rows into a tenant's registry, replacing those with the same keys, gives it the next version and announces
// it, in one transaction. It answers the version.
func (s *Store) Import(ctx context.Context, tenant uuid.UUID, rows registry.Rows) (version int64, err error) {
	tables := []any{rows.Telemarketers, rows.Entities, rows.Headers, rows.CTAs, rows.Templates}
	var announced eventbus.Parcel
	err = postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		// The version's row is locked first: imports of one tenant follow one another.
		err := tx.QueryRow(ctx, `INSERT INTO registry_versions AS v (tenant_id, version) VALUES ($1, 1)
			ON CONFLICT (tenant_id) DO UPDATE SET version = v.version + 1, change_time = now() RETURNING version`,
			tenant).Scan(&version)
		if err != nil {
			return err
		}
		for i, table := range tables {
			raw, err := json.Marshal(table)
			if err != nil {
				return err
			}
			if string(raw) == "null" {
				continue
			}
			if _, err := tx.Exec(ctx, upserts[i], tenant, raw); err != nil {
				return err
			}
		}
		if announced, err = s.announcement(tenant, version, rows.Objects()); err != nil {
			return err
		}
		return outbox.Append(ctx, tx, announced)
	})
	if err != nil {
		return 0, err
	}
	s.publish(announced)
	return version, nil
}

// announcement is the parcel of RegistryChanged. A registry has no environment; live stands for both.
func (s *Store) announcement(tenant uuid.UUID, version int64, objects []string) (eventbus.Parcel, error) {
	if len(objects) > maxObjects {
		objects = nil
	}
	id := s.newID()
	payload, err := proto.Marshal(&compliancev1.RegistryChangeParcel{ParcelId: id[:], TenantId: tenant[:], CorrelationId: id[:],
		Version: version, Objects: objects})
	return eventbus.Parcel{ID: id, Tenant: tenant, Entries: 1, Payload: payload,
		Subject: eventbus.Subject(EventRegistryChanged, principal.Live, eventbus.LaneControl)}, err
}
