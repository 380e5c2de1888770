package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

var eventLoginsFailed = string((&ingestv1.LoginsFailed{}).ProtoReflect().Descriptor().FullName())

const accountQuery = `SELECT ` + userColumns + `, t.status <> 'active', coalesce(l.allowed_addresses, '{}'), coalesce(e.allowed_addresses, '{}')
	FROM users u JOIN tenants t USING (tenant_id)
		LEFT JOIN tenant_settings l ON l.tenant_id = u.tenant_id AND l.env = 'live'
		LEFT JOIN tenant_settings e ON e.tenant_id = u.tenant_id AND e.env = 'test' `

func scanAccount(row pgx.CollectableRow) (a person.Account, err error) {
	into, done := userFields(&a.User)
	err = row.Scan(append(into, &a.Closed, &a.LiveRules, &a.TestRules)...)
	done()
	a.Known = true
	return a, err
}

// Account answers who has an address; see person.Accounts. Both statements run in any case.
func (p *People) Account(ctx context.Context, index [16]byte, tenantID uuid.UUID) (a person.Account, err error) {
	var found []person.Account
	var named bool
	batch := &pgx.Batch{}
	batch.Queue(accountQuery+`WHERE u.email_index = $1 AND ($2::uuid = '00000000-0000-0000-0000-000000000000' OR u.tenant_id = $2) LIMIT 2`,
		index[:], tenantID).Query(func(rows pgx.Rows) (err error) {
		found, err = pgx.CollectRows(rows, scanAccount)
		return err
	})
	batch.Queue(`SELECT EXISTS (SELECT FROM tenants WHERE tenant_id = $1)`, tenantID).QueryRow(func(row pgx.Row) error { return row.Scan(&named) })
	if err := p.db.Worker.SendBatch(ctx, batch).Close(); err != nil {
		return a, postgres.Map(err)
	}
	if len(found) == 1 {
		return found[0], nil
	}
	if named { // the try is that tenant's to know of
		a.Tenant = tenantID
	}
	return a, nil
}

// CountTry counts a try; see person.Failures. It is a statement and a transaction of its own: whoever waits for the row
// sees the count that was committed.
func (p *People) CountTry(ctx context.Context, t person.Target, now time.Time) (tally person.Tally, err error) {
	delays := make([]int64, 32) // microseconds after the n-th failure
	for i := range delays {
		delays[i] = person.Delay(i + 1).Microseconds()
	}
	var early bool
	var next time.Time
	err = p.db.Worker.QueryRow(ctx, `INSERT INTO login_failures AS f (account, network, kind, failures, tries, try_time, next_time, early)
			VALUES ($1, $2, $3, 1, 1, $4, $4::timestamptz + ($5::bigint[])[1] * interval '1 microsecond', false)
		ON CONFLICT (account, network, kind) DO UPDATE SET
			early = f.try_time > $6 AND f.next_time > $4,
			failures = CASE WHEN f.try_time <= $6 THEN 1 WHEN f.next_time > $4 THEN f.failures ELSE f.failures + 1 END,
			tries = CASE WHEN f.try_time <= $6 THEN 1 ELSE f.tries + 1 END,
			try_time = greatest(f.try_time, $4),
			next_time = CASE WHEN f.try_time <= $6 THEN $4::timestamptz + ($5::bigint[])[1] * interval '1 microsecond'
				WHEN f.next_time > $4 THEN f.next_time
				ELSE $4::timestamptz + ($5::bigint[])[least(f.failures + 1, 32)] * interval '1 microsecond' END
		RETURNING failures, tries, early, next_time`, t.Account[:], t.Network, t.Kind, now, delays, now.Add(-person.Forgotten)).
		Scan(&tally.Failures, &tally.Tries, &early, &next)
	if early {
		tally.Wait = max(next.Sub(now), time.Millisecond)
	}
	return tally, postgres.Map(err)
}

// ForgetTries forgets a target; see person.Failures.
func (p *People) ForgetTries(ctx context.Context, t person.Target) error {
	_, err := p.db.Worker.Exec(ctx, `DELETE FROM login_failures WHERE account = $1 AND network = $2 AND kind = $3`, t.Account[:], t.Network, t.Kind)
	return postgres.Map(err)
}

// RecordAttempt writes an attempt down; see person.Attempts.
func (p *People) RecordAttempt(ctx context.Context, a *person.Attempt, o *person.Opening) error {
	parcels, err := attemptParcels(a, o)
	if err != nil {
		return err
	}
	return p.attempted(ctx, a, parcels, func(tx pgx.Tx) error {
		if o == nil {
			return nil
		}
		return openSession(ctx, tx, a, o)
	})
}

// attempted runs change in a transaction with the attempt, the call's record and parcels, and publishes what was committed.
func (p *People) attempted(ctx context.Context, a *person.Attempt, parcels []eventbus.Parcel, change func(pgx.Tx) error) error {
	identify(ctx, a)
	err := postgres.InTx(ctx, p.db.Worker, func(tx pgx.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		if err := insertAttempt(ctx, tx, a); err != nil {
			return err
		}
		if len(parcels) > 0 {
			if err := outbox.Append(ctx, tx, parcels...); err != nil {
				return err
			}
		}
		outcome := record.Success
		if a.Reason != "" {
			outcome = record.Refused
		}
		return record.AppendOutcome(ctx, tx, outcome, a.Reason)
	})
	if err != nil {
		return err
	}
	p.publish(parcels...)
	record.Committed(ctx)
	return nil
}

// identify tells the call's record whose log it stands in, and who has called where a login succeeded.
func identify(ctx context.Context, a *person.Attempt) {
	call := record.From(ctx)
	if call == nil {
		return
	}
	if a.User != uuid.Nil && call.Resource == "" {
		call.Resource = userResource(a.User)
	}
	if call.Actor != record.Anonymous || a.Tenant == uuid.Nil {
		return
	}
	p := principal.Principal{TenantID: a.Tenant, Env: principal.Live, Actor: record.Anonymous}
	if a.Reason == "" && a.User != uuid.Nil && a.Method != person.MethodResetRequest { // who asks for a link has shown nothing
		p.Actor = userResource(a.User)
	}
	call.Known(p)
}

func insertAttempt(ctx context.Context, tx pgx.Tx, a *person.Attempt) error {
	_, err := tx.Exec(ctx, `INSERT INTO login_attempts (tenant_id, attempt_id, user_id, method, reason, address, user_agent, attempt_time)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, a.Tenant, a.ID, uuid.NullUUID{UUID: a.User, Valid: a.User != uuid.Nil}, a.Method,
		a.Reason, inet(a.Origin.Address), a.Origin.Agent, a.Time)
	return err
}

var errGone = errs.E(errs.Unauthenticated, "SESSION_INVALID", "the session was ended, or the user changed meanwhile; log in again", nil)

// openSession stores a session, if its user is still what he was when he proved who he is. Users are locked before sessions.
func openSession(ctx context.Context, tx pgx.Tx, a *person.Attempt, o *person.Opening) error {
	tag, err := tx.Exec(ctx, `UPDATE users SET login_time = $3, status = 'active', password_hash = coalesce(nullif($5, ''), password_hash)
		WHERE tenant_id = $1 AND user_id = $2 AND status <> 'disabled' AND ($4 = '' OR password_hash = $4)`,
		a.Tenant, a.User, a.Time, o.Compared, o.Rehashed)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return errGone
	}
	if o.Replaces != "" {
		if tag, err = tx.Exec(ctx, `DELETE FROM sessions WHERE session_id = $1 AND tenant_id = $2 AND user_id = $3`, o.Replaces, a.Tenant, a.User); err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return errGone
		}
	}
	if o.Identity != nil {
		_, err := tx.Exec(ctx, `INSERT INTO user_identities (tenant_id, identity_index, user_id) VALUES ($1, $2, $3)`, a.Tenant, o.Identity[:], a.User)
		if err != nil {
			return identityTaken(err)
		}
	}
	batch := &pgx.Batch{}
	queueSession(batch, &o.Session)
	return tx.SendBatch(ctx, batch).Close()
}

// identityTaken is for a first sign-in that another has overtaken.
func identityTaken(err error) error {
	if err = postgres.Map(err); errs.KindOf(err) == errs.Exists {
		return errGone
	}
	return err
}

// attemptParcels are the events of an attempt: an alert, and the news of a session that was replaced.
func attemptParcels(a *person.Attempt, o *person.Opening) (parcels []eventbus.Parcel, err error) {
	if o != nil && o.Replaces != "" {
		news, err := accessParcel(a.Tenant, principal.Live, &ingestv1.AccessChange{UserId: a.User.String()})
		if err != nil {
			return nil, err
		}
		parcels = append(parcels, news)
	}
	if a.Alert != nil {
		alert, err := alertParcel(a)
		if err != nil {
			return nil, err
		}
		parcels = append(parcels, alert)
	}
	return parcels, nil
}

func alertParcel(a *person.Attempt) (eventbus.Parcel, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return eventbus.Parcel{}, err
	}
	account := &ingestv1.FailedLogins{Network: a.Alert.Network, Tries: int32(a.Alert.Tries), TimeUs: a.Time.UnixMicro()}
	if a.User != uuid.Nil {
		account.UserId = a.User.String()
	}
	payload, err := proto.Marshal(&ingestv1.FailedLoginsParcel{
		ParcelId: id[:], TenantId: a.Tenant[:], CorrelationId: id[:], Accounts: []*ingestv1.FailedLogins{account},
	})
	return eventbus.Parcel{
		ID: id, Tenant: a.Tenant, Subject: eventbus.Subject(eventLoginsFailed, principal.Live, eventbus.LaneControl), Entries: 1, Payload: payload,
	}, err
}

// LoginAttempts answers a page of attempts, newest first; see person.AttemptFilter.
func (p *People) LoginAttempts(ctx context.Context, f person.AttemptFilter) (all []person.Attempt, err error) {
	null := func(id uuid.UUID) uuid.NullUUID { return uuid.NullUUID{UUID: id, Valid: id != uuid.Nil} }
	moment := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	err = p.db.InTenant(ctx, f.Tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT tenant_id, attempt_id, user_id, method, reason, address, user_agent, attempt_time FROM login_attempts
			WHERE tenant_id = $1 AND ($2::uuid IS NULL OR user_id = $2) AND ($3 = '' OR (reason = '') = ($3 = 'success'))
				AND ($4::timestamptz IS NULL OR attempt_time >= $4) AND ($5::timestamptz IS NULL OR attempt_time < $5)
				AND ($6::uuid IS NULL OR attempt_id < $6)
			ORDER BY attempt_id DESC LIMIT $7`, f.Tenant, null(f.User), f.Outcome, moment(f.Start), moment(f.End), null(f.Before), f.Limit)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scanAttempt)
		return err
	})
	return all, err
}

func scanAttempt(row pgx.CollectableRow) (a person.Attempt, err error) {
	var user uuid.NullUUID
	var from *addr
	err = row.Scan(&a.Tenant, &a.ID, &user, &a.Method, &a.Reason, &from, &a.Origin.Agent, &a.Time)
	a.User, a.Time = user.UUID, a.Time.UTC()
	if from != nil {
		a.Origin.Address = *from
	}
	return a, err
}

// UseStep uses a code of an authenticator up; see person.Codes.
func (p *People) UseStep(ctx context.Context, tenantID, user uuid.UUID, step int64) (bool, error) {
	tag, err := p.db.Worker.Exec(ctx, `UPDATE users SET totp_step = $3 WHERE tenant_id = $1 AND user_id = $2 AND totp_confirmed AND totp_step < $3`,
		tenantID, user, step)
	return tag.RowsAffected() == 1, postgres.Map(err)
}

// RecoveryCodes answers how many codes are left; see person.Codes.
func (p *People) RecoveryCodes(ctx context.Context, tenantID, user uuid.UUID) (left int, err error) {
	err = p.db.InTenant(ctx, tenantID, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT count(*) FROM recovery_codes WHERE tenant_id = $1 AND user_id = $2`, tenantID, user).Scan(&left)
	})
	return left, err
}

// UseRecoveryCode uses a recovery code up; see person.Codes.
func (p *People) UseRecoveryCode(ctx context.Context, tenantID, user uuid.UUID, code person.RecoveryMAC) (bool, error) {
	tag, err := p.db.Worker.Exec(ctx, `DELETE FROM recovery_codes WHERE tenant_id = $1 AND user_id = $2 AND code_mac = $3`, tenantID, user, code[:])
	return tag.RowsAffected() == 1, postgres.Map(err)
}
