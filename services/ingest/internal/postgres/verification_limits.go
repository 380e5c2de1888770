package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/ingest/internal/verification"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// Spend charges one code; see verification.Sends. Rows are locked in the order of their keys. The transaction does not
// wait for the disk, so that the row every send of a tenant takes is held for a fraction of a millisecond; a crash of the
// database may forget what was spent in its last moments.
func (v *Verifications) Spend(ctx context.Context, s verification.Spending) (suspected bool, err error) {
	slices.SortFunc(s.Charges, func(a, b verification.Charge) int { return cmp.Compare(a.Kind, b.Kind) })
	err = postgres.InTx(ctx, v.db.Worker, func(tx pgx.Tx) error {
		paid, sent, verified, err := spent(ctx, tx, &s)
		if err != nil {
			return err
		}
		for i, c := range s.Charges {
			next, wait := c.Limit.Take(paid[i], s.Now)
			if wait > 0 {
				return c.Refusal(wait)
			}
			paid[i] = next
		}
		if suspected, err = s.Suspect(sent, verified); err != nil {
			return err
		}
		return charge(ctx, tx, &s, paid)
	})
	return suspected, err
}

// spent locks what is charged and reads how far it is spent: paid has the order of s.Charges.
func spent(ctx context.Context, tx pgx.Tx, s *verification.Spending) (paid []time.Time, sent, verified int, err error) {
	kinds, subjects := keysOf(s)
	batch := &pgx.Batch{}
	batch.Queue(relaxed)
	batch.Queue(`INSERT INTO verification_limits (tenant_id, env, kind, subject, paid_time)
		SELECT $1, $2, u.kind, u.subject, $3 FROM unnest($4::text[], $5::bytea[]) AS u (kind, subject) ORDER BY u.kind
		ON CONFLICT DO NOTHING`, s.Tenant, s.Env, s.Now, kinds, subjects)
	batch.Queue(`SELECT l.paid_time FROM unnest($3::text[], $4::bytea[]) AS u (kind, subject)
		JOIN verification_limits l ON l.tenant_id = $1 AND l.env = $2 AND l.kind = u.kind AND l.subject = u.subject
		ORDER BY l.kind FOR UPDATE OF l`, s.Tenant, s.Env, kinds, subjects).Query(func(rows pgx.Rows) error {
		paid, err = pgx.CollectRows(rows, pgx.RowTo[time.Time])
		return err
	})
	batch.Queue(`SELECT coalesce(sum(sent), 0)::int, coalesce(sum(verified), 0)::int FROM verification_ranges
		WHERE tenant_id = $1 AND env = $2 AND range_index = $3 AND hour > $4`,
		s.Tenant, s.Env, s.Range[:], s.Now.Add(-verification.BudgetWindow)).QueryRow(func(row pgx.Row) error { return row.Scan(&sent, &verified) })
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return nil, 0, 0, err
	}
	if len(paid) != len(kinds) {
		return nil, 0, 0, errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "the limits are being tidied; try again", nil)
	}
	return paid, sent, verified, nil
}

// charge writes what is spent now.
func charge(ctx context.Context, tx pgx.Tx, s *verification.Spending, paid []time.Time) error {
	kinds, subjects := keysOf(s)
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE verification_limits l SET paid_time = u.paid_time
		FROM unnest($3::text[], $4::bytea[], $5::timestamptz[]) AS u (kind, subject, paid_time)
		WHERE l.tenant_id = $1 AND l.env = $2 AND l.kind = u.kind AND l.subject = u.subject`, s.Tenant, s.Env, kinds, subjects, paid)
	batch.Queue(`INSERT INTO verification_ranges AS r (tenant_id, env, range_index, hour, sent, verified) VALUES ($1, $2, $3, $4, 1, 0)
		ON CONFLICT (tenant_id, env, range_index, hour) DO UPDATE SET sent = r.sent + 1`,
		s.Tenant, s.Env, s.Range[:], s.Now.UTC().Truncate(time.Hour))
	return tx.SendBatch(ctx, batch).Close()
}

func keysOf(s *verification.Spending) (kinds []string, subjects [][]byte) {
	for i := range s.Charges {
		kinds = append(kinds, s.Charges[i].Kind)
		subjects = append(subjects, s.Charges[i].Subject[:])
	}
	return kinds, subjects
}

// PurgeVerifications deletes up to limit sessions that ended a day ago, and as many limits and hours that say nothing any
// more; it answers the most that were deleted of a sort.
func (v *Verifications) PurgeVerifications(ctx context.Context, now time.Time, limit int) (most int64, err error) {
	for _, old := range []struct {
		sql    string
		before time.Time
	}{
		{`DELETE FROM verifications WHERE ctid = ANY (ARRAY(SELECT ctid FROM verifications WHERE expire_time < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))`, now.Add(-verificationKept)},
		{`DELETE FROM verification_limits WHERE ctid = ANY (ARRAY(SELECT ctid FROM verification_limits WHERE paid_time < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))`, now.Add(-time.Hour)},
		{`DELETE FROM verification_ranges WHERE ctid = ANY (ARRAY(SELECT ctid FROM verification_ranges WHERE hour < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))`, now.Add(-2 * verification.BudgetWindow)},
	} {
		tag, err := v.db.Worker.Exec(ctx, old.sql, old.before, limit)
		if err != nil {
			return most, postgres.Map(err)
		}
		most = max(most, tag.RowsAffected())
	}
	return most, nil
}
