package postgres

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/compliance/internal/portal"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// maxGiveWays is how often the writing of an import begins anew to let others change the registry: a change is effective
// within a second, whatever is imported. After that the import is written, and they wait for it.
const maxGiveWays = 5

// errGiveWay: somebody waits to change the registry that an import is being written to.
var errGiveWay = errors.New("a change of the registry comes first")

// Complete implements portal.Store. A file is one transaction, whatever its size, so that nothing is half-imported; while
// it is being written, it gives way to single changes.
func (s *Store) Complete(ctx context.Context, j *portal.Job, version int64, changes []registry.Change, problems []portal.Problem, progress func(int)) error {
	for round := 0; ; round++ {
		err := s.complete(ctx, j, version, changes, problems, progress, round < maxGiveWays)
		if !errors.Is(err, errGiveWay) {
			return err
		}
		if err := s.awaitChanges(ctx, j.Tenant); err != nil {
			return err
		}
	}
}

func (s *Store) complete(ctx context.Context, j *portal.Job, version int64, changes []registry.Change, problems []portal.Problem, progress func(int), yield bool) error {
	var announced []eventbus.Parcel
	err := postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		announced = nil
		found, err := lockRegistry(ctx, tx, j.Tenant)
		if err != nil {
			return err
		}
		if err := unchangedSince(ctx, tx, j.Tenant, version, changes); err != nil {
			return err
		}
		if len(changes) > 0 {
			author := registry.Author{Actor: j.Actor, Action: "registry.import", Reason: "import " + j.ID.String()}
			if j.Mode == portal.ModeCompare {
				author.Actor, author.Action = "service/compliance", "registry.blacklist"
			}
			summary, err := summaryOf(j)
			if err != nil {
				return err
			}
			written := func(n int) error {
				progress(n)
				if !yield || n == len(changes) { // what is left takes no time
					return nil
				}
				return giveWay(ctx, tx, j.Tenant)
			}
			if announced, err = s.apply(ctx, tx, j.Tenant, author, found+1, changes, summary, written); err != nil {
				return err
			}
		}
		return s.end(ctx, tx, j, problems)
	})
	if err != nil {
		return err
	}
	s.publish(announced...)
	return nil
}

// unchangedSince fails with errs.Exists when an object of changes has changed since the version they were planned at. What
// else has changed does not matter to them: objects do not go away, and their owners stay.
func unchangedSince(ctx context.Context, tx pgx.Tx, tenant uuid.UUID, version int64, changes []registry.Change) error {
	rows, err := tx.Query(ctx, `SELECT kind, object_id FROM registry_objects WHERE tenant_id = $1 AND version > $2`, tenant, version)
	if err != nil {
		return err
	}
	newer, err := pgx.CollectRows(rows, pgx.RowToStructByPos[registry.Key])
	if err != nil || len(newer) == 0 {
		return err
	}
	changed := make(map[registry.Key]bool, len(newer))
	for _, k := range newer {
		changed[k] = true
	}
	for i := range changes {
		if changed[changes[i].After.Key()] {
			return errs.E(errs.Exists, "", "the registry was changed meanwhile", nil)
		}
	}
	return nil
}

// changeLock is the advisory lock of a tenant's single changes: those who wait to make one hold it together.
const changeLock = `hashtextextended('registry change ' || $1::text, 0)`

// announceChange says, until the end of the transaction, that somebody wants to change a tenant's registry.
func announceChange(ctx context.Context, tx pgx.Tx, tenant uuid.UUID) error {
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock_shared(`+changeLock+`)`, tenant.String())
	return err
}

// giveWay fails with errGiveWay when somebody wants to change the registry.
func giveWay(ctx context.Context, tx pgx.Tx, tenant uuid.UUID) error {
	var free bool
	err := tx.QueryRow(ctx, `SELECT CASE WHEN pg_try_advisory_lock(`+changeLock+`) THEN pg_advisory_unlock(`+changeLock+`) ELSE false END`,
		tenant.String()).Scan(&free)
	if err == nil && !free {
		return errGiveWay
	}
	return err
}

// awaitChanges waits for those who announced themselves before.
func (s *Store) awaitChanges(ctx context.Context, tenant uuid.UUID) error {
	return postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(`+changeLock+`)`, tenant.String())
		return err
	})
}
