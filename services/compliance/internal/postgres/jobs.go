package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/portal"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

var _ portal.Store = (*Store)(nil)

// ClaimImport implements portal.Store. The database's clock decides about leases: it is the one all replicas share.
func (s *Store) ClaimImport(ctx context.Context) (j *portal.Job, err error) {
	err = postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		j = &portal.Job{Holder: s.newID()}
		j.Import, err = scanImport(tx.QueryRow(ctx, `UPDATE registry_imports SET state = 'RUNNING', holder = $1, attempts = attempts + 1,
				percent = 0, done = 0, lease_until = now() + make_interval(secs => $2)
			WHERE (tenant_id, import_id) = (SELECT tenant_id, import_id FROM registry_imports
				WHERE state = 'QUEUED' OR state = 'RUNNING' AND lease_until < now() ORDER BY create_time LIMIT 1 FOR UPDATE SKIP LOCKED)
			RETURNING `+importColumns, j.Holder, portal.Lease.Seconds()))
		if errors.Is(err, pgx.ErrNoRows) {
			j = nil
			return nil
		}
		if err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT attempts FROM registry_imports WHERE tenant_id = $1 AND import_id = $2`, j.Tenant, j.ID).Scan(&j.Attempts); err != nil {
			return err
		}
		return readParts(ctx, tx, j)
	})
	return j, err
}

func readParts(ctx context.Context, tx pgx.Tx, j *portal.Job) error {
	rows, err := tx.Query(ctx, `SELECT content FROM registry_import_parts WHERE tenant_id = $1 AND import_id = $2 ORDER BY start`, j.Tenant, j.ID)
	if err != nil {
		return err
	}
	j.Content = make([]byte, 0, j.Size)
	var part []byte
	_, err = pgx.ForEachRow(rows, []any{&part}, func() error {
		j.Content = append(j.Content, part...)
		return nil
	})
	return err
}

var errNotHolder = errs.E(errs.Denied, "", "the import is in other hands", nil)

// Progress implements portal.Store.
func (s *Store) Progress(ctx context.Context, j *portal.Job) error {
	tag, err := s.db.Worker.Exec(ctx, `UPDATE registry_imports SET percent = $4, done = $5, lines = $6, portal = $7, kind = $8,
		lease_until = now() + make_interval(secs => $9)
		WHERE tenant_id = $1 AND import_id = $2 AND holder = $3 AND state = 'RUNNING'`,
		j.Tenant, j.ID, j.Holder, j.Percent, j.Done, j.Lines, j.Portal, j.Kind, portal.Lease.Seconds())
	if err == nil && tag.RowsAffected() == 0 {
		return errNotHolder
	}
	return postgres.Map(err)
}

// summaryOf is what the audit log keeps of a whole file.
func summaryOf(j *portal.Job) (*compliancev1.RegistryChange, error) {
	after, err := json.Marshal(map[string]any{"portal": j.Portal, "kind": j.Kind, "mode": j.Mode, "lines": j.Lines, "created": j.Created,
		"changed": j.Changed, "unchanged": j.Unchanged, "sha256": fmt.Sprintf("%x", sha256.Sum256(j.Content))})
	return &compliancev1.RegistryChange{Object: "registry-imports/" + j.ID.String(), After: string(after)}, err
}

// Fail implements portal.Store.
func (s *Store) Fail(ctx context.Context, j *portal.Job, problems []portal.Problem) error {
	return postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error { return s.end(ctx, tx, j, problems) })
}

// end writes how a job has ended; its file is not needed any more.
func (s *Store) end(ctx context.Context, tx pgx.Tx, j *portal.Job, problems []portal.Problem) error {
	tag, err := tx.Exec(ctx, `UPDATE registry_imports SET state = $4, percent = 100, done = $5, lines = $6, portal = $7, kind = $8, created = $9,
		changed = $10, unchanged = $11, problems = $12, reason = $13, detail = $14, finish_time = $15, warnings = $16, holder = NULL, lease_until = NULL
		WHERE tenant_id = $1 AND import_id = $2 AND holder = $3 AND state = 'RUNNING'`,
		j.Tenant, j.ID, j.Holder, j.State, j.Done, j.Lines, j.Portal, j.Kind, j.Created, j.Changed, j.Unchanged, j.Problems, j.Reason, j.Detail, s.now(), j.Warnings)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return errNotHolder
	}
	if err := writeProblems(ctx, tx, j, problems); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `DELETE FROM registry_import_parts WHERE tenant_id = $1 AND import_id = $2`, j.Tenant, j.ID)
	return err
}

func writeProblems(ctx context.Context, tx pgx.Tx, j *portal.Job, problems []portal.Problem) error {
	n := len(problems)
	numbers, lines := make([]int32, n), make([]int32, n)
	columns, reasons, details, objects, severities := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, p := range problems {
		numbers[i], lines[i] = int32(i+1), int32(p.Line)
		columns[i], reasons[i], details[i], objects[i] = p.Column, p.Reason, p.Detail, p.Object
		severities[i] = p.Severity
	}
	_, err := tx.Exec(ctx, `INSERT INTO registry_import_problems (tenant_id, import_id, number, line, col, reason, detail, object, severity)
		SELECT $1, $2, u.* FROM unnest($3::int[], $4::int[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[]) u`,
		j.Tenant, j.ID, numbers, lines, columns, reasons, details, objects, severities)
	return err
}
