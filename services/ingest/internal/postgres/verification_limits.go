package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/ingest/internal/verification"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// Spend charges one code; see verification.Sends. Charging does not wait for the disk, so that the row every code of a
// tenant takes is held for a fraction of a millisecond; a crash of the database may forget what was spent in its last
// moments. The range is judged by what was committed before: a few codes at once may pass together.
func (v *Verifications) Spend(ctx context.Context, s verification.Spending) (suspected bool, err error) {
	if suspected, err = v.suspect(ctx, &s); err != nil {
		return suspected, err
	}
	kinds, subjects, costs, periods := []string{}, [][]byte{}, []time.Duration{}, []time.Duration{}
	for i := range s.Charges {
		c := &s.Charges[i]
		kinds, subjects = append(kinds, c.Kind), append(subjects, c.Subject[:])
		costs, periods = append(costs, c.Limit.Cost()), append(periods, c.Limit.Period)
	}
	var full string
	var wait time.Duration
	batch := &pgx.Batch{} // without a transaction of its own a batch is one
	batch.Queue(relaxed)
	batch.Queue(`SELECT full_kind, wait FROM ingest_charge_code($1, $2, $3, $4, $5, $6, $7, $8)`,
		s.Tenant, s.Env, s.Now, kinds, subjects, costs, periods, s.Range[:]).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&full, &wait)
		if errors.Is(err, pgx.ErrNoRows) { // everything fits
			return nil
		}
		return err
	})
	if err := v.db.Worker.SendBatch(ctx, batch).Close(); err != nil {
		return suspected, postgres.Map(err)
	}
	if full != "" {
		return suspected, verification.Charge{Kind: full}.Refusal(wait)
	}
	return suspected, nil
}

// suspect judges the range by its codes so far.
func (v *Verifications) suspect(ctx context.Context, s *verification.Spending) (bool, error) {
	var sent, verified int
	err := v.db.Worker.QueryRow(ctx, `SELECT coalesce(sum(sent), 0)::int, coalesce(sum(verified), 0)::int FROM verification_ranges
		WHERE tenant_id = $1 AND env = $2 AND range_index = $3 AND hour > $4`,
		s.Tenant, s.Env, s.Range[:], s.Now.Add(-verification.BudgetWindow)).Scan(&sent, &verified)
	if err != nil {
		return false, postgres.Map(err)
	}
	return s.Suspect(sent, verified)
}

// PurgeVerifications deletes up to limit sessions that ended a day ago, and as many limits and hours that say nothing any
// more; it answers the most that were deleted of a sort.
func (v *Verifications) PurgeVerifications(ctx context.Context, now time.Time, limit int) (most int64, err error) {
	for _, old := range []struct {
		sql    string
		before time.Time
	}{
		{`DELETE FROM verifications WHERE ctid = ANY (ARRAY(SELECT ctid FROM verifications WHERE expire_time < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))`, now.Add(-verificationKept)},
		{`DELETE FROM verification_limits WHERE ctid = ANY (ARRAY(SELECT ctid FROM verification_limits WHERE paid_hour < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))`, now.Add(-time.Hour)},
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
