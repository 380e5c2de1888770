package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/compliance/internal/portal"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

const importColumns = `import_id, tenant_id, state, mode, actor, portal, entity_id, kind, size, percent, done, lines, created, changed,
	unchanged, problems, reason, detail, create_time, finish_time, warnings`

func scanImport(row pgx.Row) (i portal.Import, err error) {
	var finish *time.Time
	err = row.Scan(&i.ID, &i.Tenant, &i.State, &i.Mode, &i.Actor, &i.Portal, &i.Entity, &i.Kind, &i.Size, &i.Percent, &i.Done, &i.Lines,
		&i.Created, &i.Changed, &i.Unchanged, &i.Problems, &i.Reason, &i.Detail, &i.Create, &finish, &i.Warnings)
	i.Finish = timeOf(finish)
	return i, err
}

// Bounds of a tenant's imports that have not ended.
const maxOpenImports = 10

// CreateImport begins an import with the first part of its file; more says that others follow.
func (s *Store) CreateImport(ctx context.Context, i portal.Import, content []byte, more bool) (portal.Import, error) {
	i.ID, i.State, i.Create = s.newID(), portal.Queued, s.now()
	if more {
		i.State = portal.Uploading
	}
	err := postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) (err error) {
		var open int
		err = tx.QueryRow(ctx, `SELECT count(*) FROM registry_imports WHERE tenant_id = $1 AND state IN ('UPLOADING', 'QUEUED', 'RUNNING')`, i.Tenant).Scan(&open)
		if err != nil {
			return err
		}
		if open >= maxOpenImports {
			return errs.E(errs.Exhausted, "IMPORTS_OPEN", "Ten imports are under way; wait until one has ended.", nil)
		}
		_, err = tx.Exec(ctx, `INSERT INTO registry_imports (tenant_id, import_id, state, mode, actor, portal, entity_id, kind, size, create_time, touch_time)
			VALUES ($1, $2, $3, $4, $5, $6, $7, '', $8, $9, $9)`, i.Tenant, i.ID, i.State, i.Mode, i.Actor, i.Portal, i.Entity, len(content), i.Create)
		if err != nil {
			return err
		}
		i.Size = int64(len(content))
		return addPart(ctx, tx, i, 0, content)
	})
	return i, err
}

func addPart(ctx context.Context, tx pgx.Tx, i portal.Import, start int64, content []byte) error {
	_, err := tx.Exec(ctx, `INSERT INTO registry_import_parts (tenant_id, import_id, start, content) VALUES ($1, $2, $3, $4)`,
		i.Tenant, i.ID, start, content)
	return err
}

// AppendImport adds a part that begins at offset; one that is there already is passed over.
func (s *Store) AppendImport(ctx context.Context, tenant, id uuid.UUID, offset int64, content []byte, more bool) (i portal.Import, err error) {
	err = postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) (err error) {
		i, err = scanImport(tx.QueryRow(ctx, `SELECT `+importColumns+` FROM registry_imports WHERE tenant_id = $1 AND import_id = $2 FOR UPDATE`, tenant, id))
		if err != nil {
			return importNotFound(err)
		}
		if offset+int64(len(content)) == i.Size && offset < i.Size && (more || i.State != portal.Uploading) {
			return nil // a repetition
		}
		switch {
		case i.State != portal.Uploading:
			return errs.E(errs.Exists, "IMPORT_STATE", "The file is complete already; begin a new import.", nil)
		case offset != i.Size:
			return errs.E(errs.Invalid, "IMPORT_OFFSET", "The part does not begin where the last one ended; see sizeBytes.", nil)
		case i.Size+int64(len(content)) > portal.MaxBytes:
			return errs.E(errs.Invalid, "IMPORT_TOO_LARGE", "The file is larger than 64 MiB; divide it.", nil)
		}
		i.Size += int64(len(content))
		if !more {
			i.State = portal.Queued
		}
		if _, err := tx.Exec(ctx, `UPDATE registry_imports SET size = $3, state = $4, touch_time = $5 WHERE tenant_id = $1 AND import_id = $2`,
			tenant, id, i.Size, i.State, s.now()); err != nil || len(content) == 0 {
			return err
		}
		return addPart(ctx, tx, i, offset, content)
	})
	return i, err
}

func importNotFound(err error) error {
	if errs.KindOf(postgres.Map(err)) == errs.NotFound {
		return errs.E(errs.NotFound, "IMPORT_NOT_FOUND", "There is no such import.", nil)
	}
	return err
}

// GetImport answers an import; errs.NotFound when it is not this tenant's.
func (s *Store) GetImport(ctx context.Context, tenant, id uuid.UUID) (i portal.Import, err error) {
	err = s.db.InTenant(ctx, tenant, func(tx pgx.Tx) (err error) {
		i, err = scanImport(tx.QueryRow(ctx, `SELECT `+importColumns+` FROM registry_imports WHERE tenant_id = $1 AND import_id = $2`, tenant, id))
		return importNotFound(err)
	})
	return i, err
}

// ImportProblems answers a page of an import's problems, those after a number; with them the number of the last one.
func (s *Store) ImportProblems(ctx context.Context, tenant, id uuid.UUID, after, limit int) (all []portal.Problem, last int, err error) {
	err = s.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT number, line, col, reason, detail, object, severity FROM registry_import_problems
			WHERE tenant_id = $1 AND import_id = $2 AND number > $3 ORDER BY number LIMIT $4`, tenant, id, after, limit)
		if err != nil {
			return err
		}
		var p portal.Problem
		_, err = pgx.ForEachRow(rows, []any{&last, &p.Line, &p.Column, &p.Reason, &p.Detail, &p.Object, &p.Severity}, func() error {
			all = append(all, p)
			return nil
		})
		return err
	})
	return all, last, err
}

// TidyImports ends uploads that nothing was added to for a day, and forgets imports that ended 90 days ago: the audit log
// keeps what they changed. It answers how many uploads it has ended.
func (s *Store) TidyImports(ctx context.Context) (ended int, err error) {
	err = postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		now := s.now()
		rows, err := tx.Query(ctx, `UPDATE registry_imports SET state = 'FAILED', reason = 'IMPORT_ABANDONED', finish_time = $1,
			detail = 'Nothing was added to the file for a day; upload it again.'
			WHERE state = 'UPLOADING' AND touch_time < $1::timestamptz - interval '1 day' RETURNING import_id`, now)
		if err != nil {
			return err
		}
		dropped, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return err
		}
		ended = len(dropped)
		if _, err := tx.Exec(ctx, `DELETE FROM registry_import_parts WHERE import_id = ANY ($1)`, dropped); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `WITH old AS (DELETE FROM registry_imports WHERE finish_time < $1::timestamptz - interval '90 days' RETURNING tenant_id, import_id)
			DELETE FROM registry_import_problems p USING old WHERE p.tenant_id = old.tenant_id AND p.import_id = old.import_id`, now)
		return err
	})
	return ended, err
}
