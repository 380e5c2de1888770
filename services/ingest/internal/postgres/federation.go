package postgres

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

const providerQuery = `SELECT tenant_id, issuer, client_id, secret_sealed, email_domains FROM identity_providers WHERE tenant_id = $1`

func scanProvider(row pgx.Row) (p person.Provider, err error) {
	err = row.Scan(&p.Tenant, &p.Issuer, &p.ClientID, &p.Sealed, &p.Domains)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, person.ErrNoProvider
	}
	return p, err
}

// Provider answers a tenant's identity provider; see person.FederationStore.
func (p *People) Provider(ctx context.Context, tenantID uuid.UUID) (found person.Provider, err error) {
	err = p.db.InTenant(ctx, tenantID, func(tx pgx.Tx) error {
		found, err = scanProvider(tx.QueryRow(ctx, providerQuery, tenantID))
		return err
	})
	return found, err
}

// ChangeProvider changes a tenant's identity provider; see person.ProviderStore.
func (p *People) ChangeProvider(ctx context.Context, tenantID uuid.UUID, change func(person.Provider) (*person.Provider, error)) (after person.Provider, err error) {
	err = p.ChangeAccess(ctx, tenantID, principal.Live, &ingestv1.AccessChange{}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT FROM tenants WHERE tenant_id = $1 FOR NO KEY UPDATE`, tenantID); err != nil {
			return err
		}
		before, err := scanProvider(tx.QueryRow(ctx, providerQuery, tenantID))
		if err != nil && !errors.Is(err, person.ErrNoProvider) {
			return err
		}
		wanted, err := change(before)
		if err != nil {
			return err
		}
		record.Change(ctx, "identity_provider/"+tenantID.String(), providerView(&before), providerView(wanted))
		if wanted == nil || wanted.Issuer != before.Issuer {
			if _, err := tx.Exec(ctx, `DELETE FROM user_identities WHERE tenant_id = $1`, tenantID); err != nil {
				return err
			}
		}
		if wanted == nil {
			_, err := tx.Exec(ctx, `DELETE FROM identity_providers WHERE tenant_id = $1`, tenantID)
			return err
		}
		after = *wanted
		_, err = tx.Exec(ctx, `INSERT INTO identity_providers (tenant_id, issuer, client_id, secret_sealed, email_domains)
			VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (tenant_id) DO UPDATE SET issuer = $2, client_id = $3, secret_sealed = $4, email_domains = $5`,
			tenantID, after.Issuer, after.ClientID, after.Sealed, after.Domains)
		return err
	})
	return after, err
}

// providerView is what the audit log keeps of a provider; nil for none.
func providerView(p *person.Provider) any {
	if p == nil || p.Issuer == "" {
		return nil
	}
	return map[string]any{"issuer": p.Issuer, "client_id": p.ClientID, "client_secret": string(p.Sealed), "email_domains": p.Domains}
}

// Identified answers whose an identity is; see person.FederationStore.
func (p *People) Identified(ctx context.Context, tenantID uuid.UUID, identity [16]byte) (a person.Account, err error) {
	rows, err := p.db.Worker.Query(ctx, accountQuery+`JOIN user_identities w ON w.tenant_id = u.tenant_id AND w.user_id = u.user_id
		WHERE w.tenant_id = $1 AND w.identity_index = $2`, tenantID, identity[:])
	if err != nil {
		return a, postgres.Map(err)
	}
	a, err = pgx.CollectExactlyOneRow(rows, scanAccount)
	if errors.Is(err, pgx.ErrNoRows) {
		return person.Account{User: person.User{Tenant: tenantID}}, nil
	}
	return a, postgres.Map(err)
}

// StartFederated stores a sign-in on its way; see person.Federations.
func (p *People) StartFederated(ctx context.Context, f *person.FederatedLogin) error {
	_, err := p.db.Worker.Exec(ctx, `INSERT INTO federated_logins (state_id, tenant_id, secret_mac, binding_mac, pepper_version, expire_time)
		VALUES ($1, $2, $3, $4, $5, $6)`, f.ID, f.Tenant, f.MAC, f.Binding, f.PepperVersion, f.Expire)
	return postgres.Map(err)
}

// TakeFederated takes a sign-in on its way; see person.Federations.
func (p *People) TakeFederated(ctx context.Context, id string) (f person.FederatedLogin, err error) {
	err = p.db.Worker.QueryRow(ctx, `DELETE FROM federated_logins WHERE state_id = $1
		RETURNING state_id, tenant_id, secret_mac, binding_mac, pepper_version, expire_time`, id).
		Scan(&f.ID, &f.Tenant, &f.MAC, &f.Binding, &f.PepperVersion, &f.Expire)
	return f, postgres.Map(err)
}
