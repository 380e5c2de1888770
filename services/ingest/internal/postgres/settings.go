package postgres

import (
	"context"
	"net/netip"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
)

type addr = netip.Addr

// rules are address rules as PostgreSQL takes them: never null.
func rules(a tenant.Addresses) []netip.Prefix {
	if a == nil {
		return []netip.Prefix{}
	}
	return a
}

const profileQuery = `SELECT t.tenant_id, t.name, t.create_time, coalesce(s.allowed_addresses, '{}'),
		coalesce(s.requests_per_second, 0), coalesce(s.request_burst, 0), coalesce(s.messages_per_second, 0),
		coalesce(s.message_burst, 0), coalesce(s.recipient_per_hour, 0), coalesce(s.template_per_second, 0)
	FROM tenants t LEFT JOIN tenant_settings s ON s.tenant_id = t.tenant_id AND s.env = $2 WHERE t.tenant_id = $1`

func scanProfile(row pgx.Row) (p tenant.Profile, err error) {
	l := &p.Limits
	err = row.Scan(&p.ID, &p.Name, &p.Create, &p.Addresses, &l.RequestsPerSecond, &l.RequestBurst, &l.MessagesPerSecond,
		&l.MessageBurst, &l.RecipientPerHour, &l.TemplatePerSecond)
	p.Create = p.Create.UTC()
	return p, err
}

// Profile answers a tenant with its settings; see tenant.Profiles.
func (s *Store) Profile(ctx context.Context, tenantID uuid.UUID, env string) (p tenant.Profile, err error) {
	err = s.db.InTenant(ctx, tenantID, func(tx pgx.Tx) error {
		p, err = scanProfile(tx.QueryRow(ctx, profileQuery, tenantID, env))
		return err
	})
	return p, err
}

// ChangeSettings changes a tenant's settings under a lock of its row; see tenant.Profiles.
func (s *Store) ChangeSettings(ctx context.Context, tenantID uuid.UUID, env string, change func(*tenant.Settings) error) (p tenant.Profile, err error) {
	err = s.ChangeAccess(ctx, tenantID, env, &ingestv1.AccessChange{}, func(tx pgx.Tx) error {
		if p, err = scanProfile(tx.QueryRow(ctx, profileQuery+` FOR UPDATE OF t`, tenantID, env)); err != nil {
			return err
		}
		before := settingsView(&p)
		if err := change(&p.Settings); err != nil {
			return err
		}
		record.Change(ctx, "tenant/"+tenantID.String(), before, settingsView(&p))
		return storeSettings(ctx, tx, env, &p)
	})
	return p, err
}

func storeSettings(ctx context.Context, tx pgx.Tx, env string, p *tenant.Profile) error {
	if _, err := tx.Exec(ctx, `UPDATE tenants SET name = $2 WHERE tenant_id = $1`, p.ID, p.Name); err != nil {
		return err
	}
	l := &p.Limits
	_, err := tx.Exec(ctx, `INSERT INTO tenant_settings (tenant_id, env, allowed_addresses, requests_per_second, request_burst,
			messages_per_second, message_burst, recipient_per_hour, template_per_second)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (tenant_id, env) DO UPDATE SET allowed_addresses = $3, requests_per_second = $4, request_burst = $5,
			messages_per_second = $6, message_burst = $7, recipient_per_hour = $8, template_per_second = $9`,
		p.ID, env, rules(p.Addresses), l.RequestsPerSecond, l.RequestBurst, l.MessagesPerSecond, l.MessageBurst,
		l.RecipientPerHour, l.TemplatePerSecond)
	return err
}

// settingsView is what the audit log keeps of settings.
func settingsView(p *tenant.Profile) map[string]any {
	l := &p.Limits
	return map[string]any{
		"name": p.Name, "allowed_addresses": p.Addresses.Strings(),
		"limits": map[string]any{
			"requests_per_second": l.RequestsPerSecond, "request_burst": l.RequestBurst, "messages_per_second": l.MessagesPerSecond,
			"message_burst": l.MessageBurst, "messages_per_recipient_hour": l.RecipientPerHour, "messages_per_template_second": l.TemplatePerSecond,
		},
	}
}
