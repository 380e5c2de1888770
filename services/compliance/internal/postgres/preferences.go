package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// EventPreferencesChanged tells replicas to fetch a run or changes to it, and the audit log who imported them.
const EventPreferencesChanged = "onlinesms.compliance.v1.PreferenceRegisterChanged"

const runColumns = `run_id, provider, reference, coverage, scrub_time, expire_time, numbers, suppressed, lines, object, actor, import_time`

// AddPreferenceRun records a run whose file is in the object store, and announces it: replicas put it in force.
func (s *Store) AddPreferenceRun(ctx context.Context, r preference.Record) error {
	return s.changePreferences(ctx, r, 0, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO preference_runs (`+runColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			r.ID, r.Provider, r.Reference, r.Coverage.String(), r.At, r.Expires, int64(r.Numbers), int64(r.Suppressed), int64(r.Lines),
			r.Object, r.Actor, r.Imported)
		return err
	})
}

// AddPreferenceChanges records changes to the latest run, which must be r, and announces them.
func (s *Store) AddPreferenceChanges(ctx context.Context, r preference.Record, actor string, count int, sealed []byte) error {
	r.Actor = actor
	return s.changePreferences(ctx, r, count, func(tx pgx.Tx) error {
		var latest uuid.UUID
		err := tx.QueryRow(ctx, `SELECT run_id FROM preference_runs ORDER BY import_time DESC, run_id DESC LIMIT 1 FOR UPDATE`).Scan(&latest)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && latest != r.ID {
			return errs.E(errs.Unavailable, preference.ReasonNoRun, "Another run has come into force meanwhile; make the changes again.", err)
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO preference_changes (run_id, sequence, changes, sealed, actor, change_time)
			SELECT $1, 1 + coalesce(sum(changes), 0), $2, $3, $4, $5 FROM preference_changes WHERE run_id = $1`,
			r.ID, count, sealed, actor, s.now())
		return err
	})
}

func (s *Store) changePreferences(ctx context.Context, r preference.Record, changes int, change func(pgx.Tx) error) error {
	var announced eventbus.Parcel
	err := postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) (err error) {
		if err := change(tx); err != nil {
			return err
		}
		id := s.newID()
		announced, err = control(EventPreferencesChanged, id, uuid.Nil, 1, &compliancev1.PreferenceRunParcel{ParcelId: id[:], TenantId: uuid.Nil[:],
			CorrelationId: id[:], RunId: r.ID[:], Provider: r.Provider, Reference: r.Reference, Coverage: r.Coverage.String(),
			ScrubTimeUs: r.At.UnixMicro(), ExpireTimeUs: r.Expires.UnixMicro(), Numbers: r.Numbers, Suppressed: r.Suppressed,
			Actor: r.Actor, Changes: uint32(changes)})
		if err != nil {
			return err
		}
		return outbox.Append(ctx, tx, announced)
	})
	if err == nil {
		s.publish(announced)
	}
	return err
}

// LatestPreferenceRun answers the run that is to be in force; errs.NotFound when there is none.
func (s *Store) LatestPreferenceRun(ctx context.Context) (preference.Record, error) {
	runs, err := s.PreferenceRuns(ctx, time.Time{}, uuid.Nil, 1)
	if err == nil && len(runs) == 0 {
		err = errs.E(errs.NotFound, preference.ReasonNoRun, "No preference file was imported yet.", nil)
	}
	if err != nil {
		return preference.Record{}, err
	}
	return runs[0], nil
}

// PreferenceRuns answers runs before the one of this time and id, the latest first; from the latest on with a zero time.
func (s *Store) PreferenceRuns(ctx context.Context, before time.Time, id uuid.UUID, limit int) ([]preference.Record, error) {
	rows, err := s.db.Worker.Query(ctx, `SELECT `+runColumns+` FROM preference_runs
		WHERE $1::timestamptz IS NULL OR (import_time, run_id) < ($1, $2) ORDER BY import_time DESC, run_id DESC LIMIT $3`, optional(before), id, limit)
	if err != nil {
		return nil, postgres.Map(err)
	}
	runs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r preference.Record, err error) {
		var coverage string
		var numbers, suppressed, lines int64
		if err := row.Scan(&r.ID, &r.Provider, &r.Reference, &coverage, &r.At, &r.Expires, &numbers, &suppressed, &lines, &r.Object, &r.Actor, &r.Imported); err != nil {
			return r, err
		}
		r.Numbers, r.Suppressed, r.Lines = uint64(numbers), uint64(suppressed), uint64(lines)
		r.Coverage, err = preference.ParseCoverage(coverage)
		return r, err
	})
	return runs, postgres.Map(err)
}

// PreferenceChanges answers the changes to a run that begin after a sequence, in order.
func (s *Store) PreferenceChanges(ctx context.Context, run uuid.UUID, after uint64) ([]preference.ChangeSet, error) {
	rows, err := s.db.Worker.Query(ctx, `SELECT sequence, changes, sealed FROM preference_changes
		WHERE run_id = $1 AND sequence + changes > $2 + 1 ORDER BY sequence LIMIT 100`, run, int64(after))
	if err != nil {
		return nil, postgres.Map(err)
	}
	sets, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c preference.ChangeSet, err error) {
		var first int64
		err = row.Scan(&first, &c.Count, &c.Sealed)
		c.First = uint64(first)
		return c, err
	})
	return sets, postgres.Map(err)
}

// RetirePreferenceObjects answers the objects of all runs but the latest two, and forgets them: they may be deleted.
func (s *Store) RetirePreferenceObjects(ctx context.Context) ([]string, error) {
	rows, err := s.db.Worker.Query(ctx, `WITH old AS (
			SELECT run_id, object FROM preference_runs WHERE object <> '' AND run_id NOT IN (
				SELECT run_id FROM preference_runs ORDER BY import_time DESC, run_id DESC LIMIT 2))
		UPDATE preference_runs r SET object = '' FROM old WHERE r.run_id = old.run_id RETURNING old.object`)
	if err != nil {
		return nil, postgres.Map(err)
	}
	objects, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return objects, postgres.Map(err)
}
