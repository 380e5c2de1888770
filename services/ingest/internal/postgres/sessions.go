package postgres

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

const sessionOf = `s.session_id, s.tenant_id, s.user_id, s.stage, s.secret_mac, s.pepper_version, s.create_time, s.last_use_time,
	s.expire_time, s.address, s.user_agent`

// loginFields are where sessionOf is scanned to.
func loginFields(s *person.Session) (into []any, done func()) {
	var from *netip.Addr
	return []any{
			&s.ID, &s.Tenant, &s.User, &s.Stage, &s.MAC, &s.PepperVersion, &s.Create, &s.LastUse, &s.Expire, &from, &s.Origin.Agent,
		}, func() {
			s.Create, s.LastUse, s.Expire = s.Create.UTC(), s.LastUse.UTC(), s.Expire.UTC()
			if from != nil {
				s.Origin.Address = *from
			}
		}
}

// Session answers a session with what its calls are checked by; see person.SessionStore. It runs as worker: the tenant is
// not known before.
func (p *People) Session(ctx context.Context, id string) (h person.Held, err error) {
	into, done := loginFields(&h.Session)
	batch := &pgx.Batch{} // one transaction, one round trip
	batch.Queue(`SELECT `+sessionOf+`, u.role, u.status = 'active' AND t.status = 'active'
		FROM sessions s JOIN users u USING (tenant_id, user_id) JOIN tenants t USING (tenant_id) WHERE s.session_id = $1`, id).
		QueryRow(func(row pgx.Row) error { return row.Scan(append(into, &h.Role, &h.Active)...) })
	h.Rules, h.Limits = map[string]tenant.Addresses{}, map[string]tenant.Limits{}
	batch.Queue(`SELECT env, allowed_addresses, requests_per_second, request_burst, messages_per_second, message_burst,
			recipient_per_hour, template_per_second
		FROM tenant_settings WHERE tenant_id = (SELECT tenant_id FROM sessions WHERE session_id = $1)`, id).
		Query(func(rows pgx.Rows) error {
			var env string
			var rules tenant.Addresses
			var l tenant.Limits
			_, err := pgx.ForEachRow(rows, []any{&env, &rules, &l.RequestsPerSecond, &l.RequestBurst, &l.MessagesPerSecond,
				&l.MessageBurst, &l.RecipientPerHour, &l.TemplatePerSecond}, func() error {
				h.Rules[env], h.Limits[env] = rules, l
				rules = nil
				return nil
			})
			return err
		})
	err = p.db.Worker.SendBatch(ctx, batch).Close()
	done()
	if errors.Is(err, pgx.ErrNoRows) {
		return h, errs.E(errs.NotFound, "SESSION_NOT_FOUND", "there is no session with this id", err)
	}
	return h, postgres.Map(err)
}

// Touch notes a use; see person.SessionStore. It is no change of anybody's and has no record; a crash may lose it.
func (p *People) Touch(ctx context.Context, id string, now time.Time) error {
	batch := &pgx.Batch{}
	batch.Queue(relaxed)
	batch.Queue(`UPDATE sessions SET last_use_time = $2 WHERE session_id = $1 AND last_use_time < $2`, id, now)
	return postgres.Map(p.db.Worker.SendBatch(ctx, batch).Close())
}

// SessionsOf answers a user's sessions that are not over at now, latest first.
func (p *People) SessionsOf(ctx context.Context, tenantID, user uuid.UUID, now time.Time) (all []person.Session, err error) {
	err = p.db.InTenant(ctx, tenantID, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+sessionOf+` FROM sessions s
			WHERE s.tenant_id = $1 AND s.user_id = $2 AND s.expire_time > $3 AND s.last_use_time > $4
			ORDER BY s.create_time DESC, s.session_id`, tenantID, user, now, now.Add(-person.IdleLimit))
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s person.Session, err error) {
			into, done := loginFields(&s)
			err = row.Scan(into...)
			done()
			return s, err
		})
		return err
	})
	return all, err
}

// EndSession ends one session of a user; NotFound with SESSION_NOT_FOUND when it is not there or somebody else's.
func (p *People) EndSession(ctx context.Context, tenantID, user uuid.UUID, id string) error {
	record.Change(ctx, "session/"+id, map[string]any{"status": "ACTIVE"}, nil)
	return p.ChangeAccess(ctx, tenantID, principal.Live, &ingestv1.AccessChange{UserId: user.String()}, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM sessions WHERE session_id = $3 AND tenant_id = $1 AND user_id = $2`, tenantID, user, id)
		if err == nil && tag.RowsAffected() == 0 {
			err = errs.E(errs.NotFound, "SESSION_NOT_FOUND", "there is no session with this id", nil)
		}
		return err
	})
}

// queueSession adds a session; the oldest beyond the most a user may have give way.
func queueSession(batch *pgx.Batch, s *person.Session) {
	batch.Queue(`DELETE FROM sessions WHERE session_id IN (SELECT session_id FROM sessions WHERE tenant_id = $1 AND user_id = $2
		ORDER BY create_time DESC, session_id OFFSET $3)`, s.Tenant, s.User, person.MaxSessions-1)
	batch.Queue(`INSERT INTO sessions (session_id, tenant_id, user_id, stage, secret_mac, pepper_version, create_time, last_use_time,
			expire_time, address, user_agent)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`, s.ID, s.Tenant, s.User, s.Stage, s.MAC, s.PepperVersion, s.Create,
		s.LastUse, s.Expire, inet(s.Origin.Address), s.Origin.Agent)
}

// inet is null where there is no address.
func inet(a netip.Addr) *netip.Addr {
	if !a.IsValid() {
		return nil
	}
	return &a
}
