package postgres

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// Key answers the record of a kid; see tenant.Records. It runs as worker: the tenant is not known before.
func (s *Store) Key(ctx context.Context, kid string) (r tenant.Record, err error) {
	l := &r.Limits
	err = s.db.Worker.QueryRow(ctx, `SELECT k.kid, k.tenant_id, t.status, k.env, k.pepper_version, k.secret_mac, k.scopes,
			k.status, k.expire_time, k.allowed_addresses, k.certificate_sha256, coalesce(s.allowed_addresses, '{}'),
			coalesce(s.requests_per_second, 0), coalesce(s.request_burst, 0), coalesce(s.messages_per_second, 0),
			coalesce(s.message_burst, 0), coalesce(s.recipient_per_hour, 0), coalesce(s.template_per_second, 0)
		FROM api_keys k JOIN tenants t USING (tenant_id)
			LEFT JOIN tenant_settings s ON s.tenant_id = k.tenant_id AND s.env = k.env WHERE k.kid = $1`, kid).Scan(
		&r.KID, &r.Tenant, &r.TenantStatus, &r.Env, &r.PepperVersion, &r.MAC, &r.Scopes, &r.Status, &r.Expire,
		&r.Addresses, &r.Certificate, &r.TenantRules, &l.RequestsPerSecond, &l.RequestBurst, &l.MessagesPerSecond,
		&l.MessageBurst, &l.RecipientPerHour, &l.TemplatePerSecond)
	return r, postgres.Map(err)
}

// EnsureTenant creates t unless its id is there.
func (s *Store) EnsureTenant(ctx context.Context, t tenant.Tenant) error {
	_, err := s.db.Worker.Exec(ctx, `INSERT INTO tenants (tenant_id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING`, t.ID, t.Name)
	return postgres.Map(err)
}

// InsertKey stores a key; errs.Exists when the kid is taken.
func (s *Store) InsertKey(ctx context.Context, r tenant.Record) error {
	_, err := s.db.Worker.Exec(ctx, `INSERT INTO api_keys (kid, tenant_id, env, pepper_version, secret_mac, scopes, status, expire_time,
			allowed_addresses)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, r.KID, r.Tenant, r.Env, r.PepperVersion, r.MAC, r.Scopes, r.Status, r.Expire,
		rules(r.Addresses))
	return postgres.Map(err)
}

// Wrapped answers a wrapped data key; see seal.DataKeys.
func (s *Store) Wrapped(ctx context.Context, id uint64) (wrapped []byte, err error) {
	err = s.db.Worker.QueryRow(ctx, `SELECT wrapped FROM data_keys WHERE key_id = $1`, int64(id)).Scan(&wrapped)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errs.E(errs.NotFound, "CONTENT_KEY_DESTROYED", "this data key is destroyed", err)
	}
	return wrapped, postgres.Map(err)
}

// Current answers the data key of a tenant's day and class, minting it when there is none; see seal.DataKeyStore.
func (s *Store) Current(ctx context.Context, env string, tenantID uuid.UUID, day time.Time, class string,
	mint func(id uint64) (wrapped []byte, err error)) (id uint64, wrapped []byte, err error) {
	id, wrapped, err = s.current(ctx, env, tenantID, day, class)
	if !errors.Is(err, pgx.ErrNoRows) {
		return id, wrapped, postgres.Map(err)
	}
	var fresh [8]byte
	_, _ = rand.Read(fresh[:]) // never fails
	id = binary.BigEndian.Uint64(fresh[:])
	if wrapped, err = mint(id); err != nil {
		return 0, nil, err
	}
	return s.Keep(ctx, env, tenantID, day, class, id, wrapped)
}

// Keep keeps a data key of a tenant's day and class unless there is one, and answers the one there is: this, or that of
// who was faster.
func (s *Store) Keep(ctx context.Context, env string, tenantID uuid.UUID, day time.Time, class string, id uint64, wrapped []byte) (uint64, []byte, error) {
	_, err := s.db.Worker.Exec(ctx, `INSERT INTO data_keys (key_id, tenant_id, env, day, class, wrapped)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant_id, env, day, class) DO NOTHING`, int64(id), tenantID, env, day, class, wrapped)
	if err != nil {
		return 0, nil, postgres.Map(err)
	}
	id, wrapped, err = s.current(ctx, env, tenantID, day, class)
	return id, wrapped, postgres.Map(err)
}

func (s *Store) current(ctx context.Context, env string, tenantID uuid.UUID, day time.Time, class string) (uint64, []byte, error) {
	var id int64
	var wrapped []byte
	err := s.db.Worker.QueryRow(ctx, `SELECT key_id, wrapped FROM data_keys
		WHERE tenant_id = $1 AND env = $2 AND day = $3 AND class = $4`, tenantID, env, day, class).Scan(&id, &wrapped)
	return uint64(id), wrapped, err
}
