package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// People is the store of users, their sessions and how they log in. Look-ups of a tenant run in its role; logins, whose
// tenant is found by them, and changes as worker.
type People struct{ *Store }

// NewPeople makes a store over s.
func NewPeople(s *Store) *People { return &People{s} }

const userColumns = `u.tenant_id, u.user_id, u.email_index, u.email_sealed, u.role, u.status, u.password_hash, u.totp_sealed,
	u.totp_confirmed, u.totp_step, u.create_time, u.login_time,
	EXISTS (SELECT FROM user_identities i WHERE i.tenant_id = u.tenant_id AND i.user_id = u.user_id)`

// userFields are where userColumns are scanned to; done completes what cannot be scanned directly.
func userFields(u *person.User) (into []any, done func()) {
	var index []byte
	var login *time.Time
	return []any{
			&u.Tenant, &u.ID, &index, &u.Sealed, &u.Role, &u.Status, &u.PasswordHash, &u.TOTP, &u.Confirmed, &u.Step, &u.Create,
			&login, &u.Federated,
		}, func() {
			copy(u.Index[:], index)
			u.Create = u.Create.UTC()
			if login != nil {
				u.Login = login.UTC()
			}
		}
}

func scanUser(row pgx.CollectableRow) (u person.User, err error) {
	into, done := userFields(&u)
	err = row.Scan(into...)
	done()
	return u, err
}

// userMissing names what was not found.
func userMissing(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return errs.E(errs.NotFound, "USER_NOT_FOUND", "there is no user with this id", err)
	}
	return err
}

// User answers one user; see person.Changes.
func (p *People) User(ctx context.Context, tenantID, id uuid.UUID) (u person.User, err error) {
	err = p.db.InTenant(ctx, tenantID, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+userColumns+` FROM users u WHERE u.tenant_id = $1 AND u.user_id = $2`, tenantID, id)
		if err != nil {
			return err
		}
		u, err = pgx.CollectExactlyOneRow(rows, scanUser)
		return userMissing(err)
	})
	return u, err
}

// Users answers a page; see person.UserStore.
func (p *People) Users(ctx context.Context, page person.Page) (users []person.User, err error) {
	err = p.db.InTenant(ctx, page.Tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+userColumns+` FROM users u
			WHERE u.tenant_id = $1 AND ($3::uuid = '00000000-0000-0000-0000-000000000000' OR (u.create_time, u.user_id) < ($2, $3))
			ORDER BY u.create_time DESC, u.user_id DESC LIMIT $4`, page.Tenant, page.Before, page.ID, page.Limit)
		if err != nil {
			return err
		}
		users, err = pgx.CollectRows(rows, scanUser)
		return err
	})
	return users, err
}

// CreateUser stores an invited user; see person.UserStore.
func (p *People) CreateUser(ctx context.Context, u *person.User, link *person.Link, letter *person.Letter) error {
	record.Change(ctx, userResource(u.ID), nil, userView(u))
	err := p.ChangeAccess(ctx, u.Tenant, principal.Live, &ingestv1.AccessChange{UserId: u.ID.String()}, func(tx pgx.Tx) error {
		if err := insertUser(ctx, tx, u); err != nil || link == nil {
			return err
		}
		return insertLink(ctx, tx, link, letter)
	})
	return userThere(err)
}

func insertUser(ctx context.Context, tx pgx.Tx, u *person.User) error {
	_, err := tx.Exec(ctx, `INSERT INTO users (tenant_id, user_id, email_index, email_sealed, role, status, password_hash,
			totp_sealed, totp_confirmed, create_time)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, u.Tenant, u.ID, u.Index[:], u.Sealed, u.Role, u.Status, u.PasswordHash,
		u.TOTP, u.Confirmed, u.Create)
	return err
}

// userThere names what is there already.
func userThere(err error) error {
	if errs.KindOf(err) == errs.Exists && err != nil {
		return errs.E(errs.Exists, "USER_EXISTS", "the tenant has a user with this e-mail address", err)
	}
	return err
}

// ChangeUser changes one user; see person.Changes.
func (p *People) ChangeUser(ctx context.Context, tenantID, id uuid.UUID, change func(*person.User) (person.Effects, error)) (u person.User, err error) {
	err = p.ChangeAccess(ctx, tenantID, principal.Live, &ingestv1.AccessChange{UserId: id.String()}, func(tx pgx.Tx) error {
		u, err = p.changeIn(ctx, tx, tenantID, id, change)
		return err
	})
	return u, err
}

// changeIn changes a user within tx. The lock of the tenant's row keeps two owners from demoting one another at once.
func (p *People) changeIn(ctx context.Context, tx pgx.Tx, tenantID, id uuid.UUID, change func(*person.User) (person.Effects, error)) (u person.User, err error) {
	if _, err := tx.Exec(ctx, `SELECT FROM tenants WHERE tenant_id = $1 FOR NO KEY UPDATE`, tenantID); err != nil {
		return u, err
	}
	rows, err := tx.Query(ctx, `SELECT `+userColumns+` FROM users u WHERE u.tenant_id = $1 AND u.user_id = $2 FOR UPDATE OF u`, tenantID, id)
	if err != nil {
		return u, err
	}
	if u, err = pgx.CollectExactlyOneRow(rows, scanUser); err != nil {
		return u, userMissing(err)
	}
	before := u
	effects, err := change(&u)
	if err != nil {
		return u, err
	}
	if err := keepsOwner(ctx, tx, &before, &u, effects.Remove); err != nil {
		return u, err
	}
	if effects.Remove {
		record.Change(ctx, userResource(id), userView(&before), nil)
		batch := &pgx.Batch{}
		batch.Queue(`DELETE FROM password_links WHERE tenant_id = $1 AND user_id = $2`, tenantID, id)
		batch.Queue(`DELETE FROM users WHERE tenant_id = $1 AND user_id = $2`, tenantID, id) // and all that is his
		return u, tx.SendBatch(ctx, batch).Close()
	}
	record.Change(ctx, userResource(id), userView(&before), userView(&u))
	return u, storeUser(ctx, tx, &before, &u, effects)
}

// keepsOwner refuses a change that would leave the tenant without an active owner.
func keepsOwner(ctx context.Context, tx pgx.Tx, before, after *person.User, removed bool) error {
	owns := func(u *person.User) bool { return u.Role == person.Owner && u.Status == person.StatusActive }
	if !owns(before) || owns(after) && !removed {
		return nil
	}
	var another bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM users WHERE tenant_id = $1 AND user_id <> $2 AND role = 'owner' AND status = 'active')`,
		before.Tenant, before.ID).Scan(&another)
	if err == nil && !another {
		err = errs.E(errs.Exists, "LAST_OWNER", "this is the tenant's last active owner; make somebody else owner first", nil)
	}
	return err
}

// storeUser stores a changed user with what the change brings about.
func storeUser(ctx context.Context, tx pgx.Tx, before, u *person.User, e person.Effects) error {
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE users SET role = $3, status = $4, password_hash = $5, totp_sealed = $6, totp_confirmed = $7, totp_step = $8
		WHERE tenant_id = $1 AND user_id = $2`, u.Tenant, u.ID, u.Role, u.Status, u.PasswordHash, u.TOTP, u.Confirmed, u.Step)
	if e.EndSessions {
		batch.Queue(`DELETE FROM sessions WHERE tenant_id = $1 AND user_id = $2`, u.Tenant, u.ID)
	}
	if u.PasswordHash != before.PasswordHash || u.Status == person.StatusDisabled {
		batch.Queue(`DELETE FROM password_links WHERE tenant_id = $1 AND user_id = $2`, u.Tenant, u.ID)
	}
	if e.ForgetCodes {
		batch.Queue(`DELETE FROM recovery_codes WHERE tenant_id = $1 AND user_id = $2`, u.Tenant, u.ID)
	}
	for _, c := range e.Codes {
		batch.Queue(`INSERT INTO recovery_codes (tenant_id, user_id, code_mac) VALUES ($1, $2, $3)`, u.Tenant, u.ID, c[:])
	}
	if e.Begin != nil {
		queueSession(batch, e.Begin)
	}
	return tx.SendBatch(ctx, batch).Close()
}

func userResource(id uuid.UUID) string { return "user/" + id.String() }

// userView is what the audit log keeps of a user: who he is stands in the log by his id alone.
func userView(u *person.User) map[string]any {
	return map[string]any{
		"role": u.Role, "status": u.Status, "second_factor": u.Confirmed, "password": u.PasswordHash, "totp_seed": string(u.TOTP), "federated": u.Federated,
	}
}
