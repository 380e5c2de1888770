package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

const detailColumns = `kid, tenant_id, env, pepper_version, secret_mac, scopes, status, expire_time, allowed_addresses,
	certificate_sha256, name, create_time, last_use_time, last_use_address, coalesce(successor, ''), revoke_reason, warned`

func scanDetail(row pgx.CollectableRow) (d tenant.Detail, err error) {
	var used *time.Time
	var from *addr
	err = row.Scan(&d.KID, &d.Tenant, &d.Env, &d.PepperVersion, &d.MAC, &d.Scopes, &d.Status, &d.Expire, &d.Addresses,
		&d.Certificate, &d.Name, &d.Create, &used, &from, &d.Successor, &d.Reason, &d.Warned)
	d.Expire, d.Create = d.Expire.UTC(), d.Create.UTC()
	if used != nil {
		d.LastUse = used.UTC()
	}
	if from != nil {
		d.LastAddress = *from
	}
	return d, err
}

// CreateKey stores a new key; see tenant.KeyStore.
func (s *Store) CreateKey(ctx context.Context, d *tenant.Detail) error {
	record.Change(ctx, keyResource(d.KID), nil, keySettings(d))
	return s.ChangeAccess(ctx, d.Tenant, d.Env, &ingestv1.AccessChange{KeyId: d.KID}, func(tx pgx.Tx) error {
		return insertKey(ctx, tx, d)
	})
}

func insertKey(ctx context.Context, tx pgx.Tx, d *tenant.Detail) error {
	_, err := tx.Exec(ctx, `INSERT INTO api_keys (kid, tenant_id, env, pepper_version, secret_mac, scopes, status, expire_time,
			create_time, name, allowed_addresses, certificate_sha256, warned)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`, d.KID, d.Tenant, d.Env, d.PepperVersion, d.MAC, d.Scopes,
		d.Status, d.Expire, d.Create, d.Name, rules(d.Addresses), certificate(d.Certificate), d.Warned)
	return err
}

// KeyDetail answers one key; see tenant.KeyStore.
func (s *Store) KeyDetail(ctx context.Context, tenantID uuid.UUID, env, kid string) (d tenant.Detail, err error) {
	err = s.db.InTenant(ctx, tenantID, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+detailColumns+` FROM api_keys WHERE kid = $1 AND tenant_id = $2 AND env = $3`, kid, tenantID, env)
		if err != nil {
			return err
		}
		d, err = pgx.CollectExactlyOneRow(rows, scanDetail)
		return err
	})
	return d, keyMissing(err)
}

// keyMissing names what was not found.
func keyMissing(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return errs.E(errs.NotFound, "KEY_NOT_FOUND", "there is no key with this id in this environment", err)
	}
	return err
}

// Keys answers a page; see tenant.KeyStore.
func (s *Store) Keys(ctx context.Context, p tenant.Page) (keys []tenant.Detail, err error) {
	err = s.db.InTenant(ctx, p.Tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+detailColumns+` FROM api_keys
			WHERE tenant_id = $1 AND env = $2 AND ($4 = '' OR (create_time, kid) < ($3, $4))
			ORDER BY create_time DESC, kid DESC LIMIT $5`, p.Tenant, p.Env, p.Before, p.KID, p.Limit)
		if err != nil {
			return err
		}
		keys, err = pgx.CollectRows(rows, scanDetail)
		return err
	})
	return keys, err
}

// ChangeKey changes one key under a lock of its row; see tenant.KeyStore.
func (s *Store) ChangeKey(ctx context.Context, tenantID uuid.UUID, env, kid string, change func(*tenant.Detail) (*tenant.Detail, error)) (d tenant.Detail, err error) {
	var alert []eventbus.Parcel
	err = s.ChangeAccess(ctx, tenantID, env, &ingestv1.AccessChange{KeyId: kid}, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+detailColumns+` FROM api_keys WHERE kid = $1 AND tenant_id = $2 AND env = $3 FOR UPDATE`, kid, tenantID, env)
		if err != nil {
			return err
		}
		if d, err = pgx.CollectExactlyOneRow(rows, scanDetail); err != nil {
			return keyMissing(err)
		}
		before := keySettings(&d)
		successor, err := change(&d)
		if err != nil {
			return err
		}
		record.Change(ctx, keyResource(kid), before, keySettings(&d))
		if successor != nil {
			record.Change(ctx, keyResource(successor.KID), nil, keySettings(successor))
			if err := insertKey(ctx, tx, successor); err != nil {
				return err
			}
		}
		if alert, err = s.exposed(&d); err != nil {
			return err
		}
		return errors.Join(s.updateKey(ctx, tx, &d), outbox.Append(ctx, tx, alert...))
	})
	if err == nil {
		s.publish(alert...)
	}
	return d, err
}

// exposed is the alert of a key that was seen in clear; none for any other change.
func (s *Store) exposed(d *tenant.Detail) ([]eventbus.Parcel, error) {
	if !d.Exposed {
		return nil, nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	payload, err := proto.Marshal(&ingestv1.ExposedParcel{
		ParcelId: id[:], TenantId: d.Tenant[:], CorrelationId: id[:],
		Keys: []*ingestv1.ExposedKey{{KeyId: d.KID, Name: d.Name, TimeUs: s.now().UnixMicro()}},
	})
	return []eventbus.Parcel{{
		ID: id, Tenant: d.Tenant, Subject: eventbus.Subject(eventKeysExposed, d.Env, eventbus.LaneControl), Entries: 1, Payload: payload,
	}}, err
}

func (s *Store) updateKey(ctx context.Context, tx pgx.Tx, d *tenant.Detail) error {
	_, err := tx.Exec(ctx, `UPDATE api_keys SET name = $2, scopes = $3, allowed_addresses = $4, status = $5, expire_time = $6,
			successor = nullif($7, ''), revoke_reason = $8, revoke_time = CASE WHEN $5 = 'revoked' THEN coalesce(revoke_time, $9) END
		WHERE kid = $1`, d.KID, d.Name, d.Scopes, rules(d.Addresses), d.Status, d.Expire, d.Successor, d.Reason, s.now())
	return err
}

func keyResource(kid string) string { return "api_key/" + kid }

// keySettings is what the audit log keeps of a key: nothing that helps to use it.
func keySettings(d *tenant.Detail) map[string]any {
	return map[string]any{
		"name": d.Name, "env": d.Env, "scopes": d.Scopes, "allowed_addresses": d.Addresses.Strings(), "status": d.Status,
		"expire_time": d.Expire.Format(time.RFC3339), "successor": d.Successor, "revoke_reason": d.Reason, "certificate_bound": len(d.Certificate) > 0,
	}
}

// certificate is null where a key is not bound.
func certificate(hash []byte) []byte {
	if len(hash) == 0 {
		return nil
	}
	return hash
}

// RenewHashes stores hashes under a newer pepper; see tenant.RenewalStore. The keys stay what they are, so it has no
// record either.
func (s *Store) RenewHashes(ctx context.Context, all []tenant.Renewal) error {
	kids, versions, macs := make([]string, len(all)), make([]int16, len(all)), make([][]byte, len(all))
	for i, r := range all {
		kids[i], versions[i], macs[i] = r.KID, r.Version, r.MAC
	}
	_, err := s.db.Worker.Exec(ctx, `UPDATE api_keys k SET pepper_version = u.version, secret_mac = u.mac
		FROM unnest($1::text[], $2::smallint[], $3::bytea[]) AS u (kid, version, mac)
		WHERE k.kid = u.kid AND k.pepper_version < u.version`, kids, versions, macs)
	return postgres.Map(err)
}

// PepperUses counts what may still be shown under a pepper older than version: keys and codes.
func (s *Store) PepperUses(ctx context.Context, version int16) (keys, codes int64, err error) {
	err = s.db.Worker.QueryRow(ctx, `SELECT
		(SELECT count(*) FROM api_keys WHERE pepper_version < $1 AND status = 'active' AND expire_time > $2),
		(SELECT count(*) FROM verifications WHERE pepper_version < $1 AND expire_time > $2)`, version, s.now()).Scan(&keys, &codes)
	return keys, codes, postgres.Map(err)
}

// RecordUses stores last uses; see tenant.UseStore. It is no change of anybody's and has no record.
func (s *Store) RecordUses(ctx context.Context, uses []tenant.Use) error {
	kids, times, from := make([]string, len(uses)), make([]time.Time, len(uses)), make([]*addr, len(uses))
	for i, u := range uses {
		kids[i], times[i] = u.KID, u.Time
		if u.Address.IsValid() {
			from[i] = &uses[i].Address
		}
	}
	_, err := s.db.Worker.Exec(ctx, `UPDATE api_keys k SET last_use_time = u.used, last_use_address = u.place
		FROM unnest($1::text[], $2::timestamptz[], $3::inet[]) AS u (kid, used, place)
		WHERE k.kid = u.kid AND (k.last_use_time IS NULL OR k.last_use_time <= u.used)`, kids, times, from)
	return postgres.Map(err)
}
