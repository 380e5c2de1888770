package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/ingest/internal/verification"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// verificationKept is how long a session can be asked for after its last code expired.
const verificationKept = 24 * time.Hour

// Verifications is the store of OTP sessions; it is a verification.Store. Look-ups run in the tenant's role; changes
// as worker, each naming its tenant.
type Verifications struct{ db *postgres.DB }

// NewVerifications makes a store over db.
func NewVerifications(db *postgres.DB) *Verifications { return &Verifications{db} }

const sessionColumns = `tenant_id, env, verification_id, state, number_index, range_index, number_sealed, purpose, code_mac,
	pepper_version, checks, sends, unsent, suspected, create_time, send_time, expire_time, message_id`

func scanSession(row pgx.Row) (s verification.Session, err error) {
	var number, numberRange []byte
	var carried uuid.NullUUID
	err = row.Scan(&s.Tenant, &s.Env, &s.ID, &s.State, &number, &numberRange, &s.Sealed, &s.Purpose, &s.MAC,
		&s.Pepper, &s.Checks, &s.Sends, &s.Unsent, &s.Suspected, &s.Create, &s.Sent, &s.Expire, &carried)
	if errors.Is(err, pgx.ErrNoRows) {
		return s, errs.E(errs.NotFound, "VERIFICATION_NOT_FOUND", "there is no verification with this id in this environment", err)
	}
	copy(s.Number[:], number)
	copy(s.Range[:], numberRange)
	s.Message = carried.UUID
	return s, postgres.Map(err)
}

// Get answers a session; see verification.Sessions.
func (v *Verifications) Get(ctx context.Context, at message.Place) (s verification.Session, err error) {
	err = v.db.InTenant(ctx, at.Tenant, func(tx pgx.Tx) error {
		s, err = scanSession(tx.QueryRow(ctx, `SELECT `+sessionColumns+` FROM verifications
			WHERE tenant_id = $1 AND env = $2 AND verification_id = $3`, at.Tenant, at.Env, at.ID))
		return err
	})
	return s, err
}

// Open answers the open session of a number and purpose; see verification.Sessions.
func (v *Verifications) Open(ctx context.Context, tenant uuid.UUID, env string, number [16]byte, purpose string) (s verification.Session, err error) {
	err = v.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		s, err = scanSession(tx.QueryRow(ctx, `SELECT `+sessionColumns+` FROM verifications
			WHERE tenant_id = $1 AND env = $2 AND number_index = $3 AND purpose = $4 AND state = 'open'`, tenant, env, number[:], purpose))
		return err
	})
	return s, err
}

// Cancel ends an open session; see verification.Sessions.
func (v *Verifications) Cancel(ctx context.Context, at message.Place) (verification.Session, error) {
	return scanSession(v.db.Worker.QueryRow(ctx, `UPDATE verifications SET state = 'cancelled'
		WHERE tenant_id = $1 AND env = $2 AND verification_id = $3 AND state = 'open' RETURNING `+sessionColumns, at.Tenant, at.Env, at.ID))
}

// Put stores a session's new code; see verification.Sends.
func (v *Verifications) Put(ctx context.Context, s, before *verification.Session) error {
	if before != nil && before.ID == s.ID {
		return v.putNext(ctx, s, before)
	}
	if before == nil {
		_, err := v.db.Worker.Exec(ctx, insertSession, sessionValues(s)...)
		return postgres.Map(err)
	}
	return postgres.InTx(ctx, v.db.Worker, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		batch.Queue(`UPDATE verifications SET state = 'closed' WHERE tenant_id = $1 AND env = $2 AND verification_id = $3 AND state = 'open'`,
			before.Tenant, before.Env, before.ID)
		batch.Queue(insertSession, sessionValues(s)...)
		return tx.SendBatch(ctx, batch).Close()
	})
}

const insertSession = `INSERT INTO verifications (` + sessionColumns + `)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`

func sessionValues(s *verification.Session) []any {
	return []any{
		s.Tenant, s.Env, s.ID, s.State, s.Number[:], s.Range[:], s.Sealed, s.Purpose, s.MAC,
		s.Pepper, s.Checks, s.Sends, s.Unsent, s.Suspected, s.Create, s.Sent, s.Expire, uuid.NullUUID{UUID: s.Message, Valid: s.Message != uuid.Nil},
	}
}

// putNext replaces the code of before, if it is still that: its MAC tells.
func (v *Verifications) putNext(ctx context.Context, s, before *verification.Session) error {
	tag, err := v.db.Worker.Exec(ctx, `UPDATE verifications SET code_mac = $5, pepper_version = $6, sends = $7, unsent = false,
			suspected = $8, send_time = $9, expire_time = $10, message_id = NULL
		WHERE tenant_id = $1 AND env = $2 AND verification_id = $3 AND state = 'open' AND code_mac = $4`,
		s.Tenant, s.Env, s.ID, before.MAC, s.MAC, s.Pepper, s.Sends, s.Suspected, s.Sent, s.Expire)
	if err == nil && tag.RowsAffected() == 0 {
		return errs.E(errs.Exists, "ALREADY_EXISTS", "the session changed meanwhile", nil)
	}
	return postgres.Map(err)
}

// relaxed does not wait for the disk: what follows in its transaction may be lost by a crash of the database.
const relaxed = `SELECT set_config('synchronous_commit', 'off', true)`

// Sent notes what became of a send; see verification.Sends. A crash of the database may lose the note, never the code.
func (v *Verifications) Sent(ctx context.Context, at message.Place, sends int, carried uuid.UUID) error {
	batch := &pgx.Batch{} // without a transaction of its own a batch is one
	batch.Queue(relaxed)
	batch.Queue(`UPDATE verifications SET message_id = $5, unsent = $5::uuid IS NULL WHERE tenant_id = $1 AND env = $2 AND verification_id = $3 AND sends = $4`,
		at.Tenant, at.Env, at.ID, sends, uuid.NullUUID{UUID: carried, Valid: carried != uuid.Nil})
	return postgres.Map(v.db.Worker.SendBatch(ctx, batch).Close())
}

// Count takes one check; see verification.Checks. It is a statement and a transaction of its own: whoever waits for the
// row sees the count that was committed.
func (v *Verifications) Count(ctx context.Context, at message.Place, now time.Time) (verification.Session, error) {
	return scanSession(v.db.Worker.QueryRow(ctx, `UPDATE verifications SET checks = checks + 1
		WHERE tenant_id = $1 AND env = $2 AND verification_id = $3 AND state = 'open' AND checks < 3 AND expire_time > $4
		RETURNING `+sessionColumns, at.Tenant, at.Env, at.ID, now))
}

// Use uses a session up; see verification.Checks.
func (v *Verifications) Use(ctx context.Context, s *verification.Session, now time.Time) (used bool, err error) {
	err = v.db.Worker.QueryRow(ctx, `WITH used AS (
			UPDATE verifications SET state = 'verified' WHERE tenant_id = $1 AND env = $2 AND verification_id = $3
				AND state = 'open' AND code_mac = $4 RETURNING range_index
		), counted AS (
			INSERT INTO verification_ranges AS r (tenant_id, env, range_index, hour, sent, verified)
			SELECT $1, $2, range_index, $5, 0, 1 FROM used
			ON CONFLICT (tenant_id, env, range_index, hour) DO UPDATE SET verified = r.verified + 1
		) SELECT EXISTS (SELECT FROM used)`, s.Tenant, s.Env, s.ID, s.MAC, now.UTC().Truncate(time.Hour)).Scan(&used)
	return used, postgres.Map(err)
}
