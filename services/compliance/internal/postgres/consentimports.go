package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

const consentImportColumns = `import_id, kind, state = 'SUCCEEDED', columns, next_offset, total_bytes, lines, recorded, unchanged, problems, create_time, finish_time`

func scanConsentImport(row pgx.CollectableRow) (i consent.Import, err error) {
	var finish *time.Time
	err = row.Scan(&i.ID, &i.Kind, &i.Done, &i.Columns, &i.Next, &i.Total, &i.Lines, &i.Recorded, &i.Unchanged, &i.Problems, &i.Created, &finish)
	i.Finished = timeOf(finish)
	return i, err
}

func readConsentImport(ctx context.Context, q postgres.Querier, at consent.Place, id uuid.UUID, lock string) (consent.Import, error) {
	rows, err := q.Query(ctx, `SELECT `+consentImportColumns+` FROM consent_imports WHERE tenant_id = $1 AND env = $2 AND import_id = $3`+lock,
		at.Tenant, at.Env, id)
	if err != nil {
		return consent.Import{}, err
	}
	i, err := pgx.CollectExactlyOneRow(rows, scanConsentImport)
	return i, notThere(err, "IMPORT_NOT_FOUND", "There is no such import.")
}

// TakePart records the whole lines of a part with how far the import has come, in one transaction: after any interruption
// the file goes on at Next. A part that was taken already is passed over.
func (s *Store) TakePart(ctx context.Context, at consent.Place, author consent.Author, p consent.Part, reader consent.Reader) (i consent.Import, err error) {
	err = s.changeWishes(ctx, at, author, func(l *ledger) error {
		if i, err = l.begin(ctx, p); err != nil {
			return err
		}
		if p.Offset != i.Next || i.Done {
			return passedOver(&i, p)
		}
		lines, taken := consent.Lines(p.Content, p.More)
		if taken == 0 && p.More {
			return errs.E(errs.Invalid, "CSV_MALFORMED", "The part holds no whole line; give a larger part.", nil)
		}
		first := i.Lines + 1
		i.Next, i.Lines = i.Next+int64(taken), i.Lines+int64(len(lines))
		if len(i.Columns) == 0 && len(lines) > 0 {
			if i.Columns, err = consent.Header(i.Kind, lines[0]); err != nil {
				return err
			}
			lines, first = lines[1:], first+1
		}
		r := reader // a retried transaction begins anew
		r.Columns, r.Now = i.Columns, l.now
		rows := r.Read(i.Kind, lines, first)
		if err := r.Away(); err != nil {
			return err
		}
		return l.record(ctx, &i, rows, !p.More)
	})
	return i, err
}

// begin makes the import, or locks the one that goes on.
func (l *ledger) begin(ctx context.Context, p consent.Part) (consent.Import, error) {
	if p.Import != uuid.Nil {
		i, err := readConsentImport(ctx, l, l.Place, p.Import, " FOR UPDATE")
		if err == nil && i.Kind != p.Kind {
			err = errs.E(errs.NotFound, "IMPORT_NOT_FOUND", "There is no such import.", nil)
		}
		return i, err
	}
	i := consent.Import{ID: l.s.newID(), Kind: p.Kind, Total: p.Total, Created: l.now}
	_, err := l.Exec(ctx, `INSERT INTO consent_imports (tenant_id, env, import_id, kind, state, columns, next_offset, total_bytes, lines, recorded,
			unchanged, problems, create_time) VALUES ($1, $2, $3, $4, 'RUNNING', '{}', 0, $5, 0, 0, 0, 0, $6)`,
		l.Tenant, l.Env, i.ID, i.Kind, i.Total, l.now)
	return i, err
}

// passedOver is nil for a part whose lines were taken already.
func passedOver(i *consent.Import, p consent.Part) error {
	switch {
	case p.Offset < i.Next && p.Offset+int64(len(p.Content)) <= i.Next:
		return nil
	case i.Done:
		return errs.E(errs.Exists, "IMPORT_STATE", "The file is complete already; begin a new import.", nil)
	}
	return errs.E(errs.Invalid, "IMPORT_OFFSET", "The part does not begin where the last one ended; see nextOffset.", nil)
}

// record writes the entries of a part, its problems and the import's progress.
func (l *ledger) record(ctx context.Context, i *consent.Import, rows consent.Rows, last bool) error {
	recorded, problems, err := l.entries(ctx, i.Kind, &rows)
	if err != nil {
		return err
	}
	rows.Bad += int64(len(problems))
	rows.Problems = append(rows.Problems, problems...)
	i.Recorded += int64(recorded)
	i.Unchanged += int64(len(rows.Numbers) - len(problems) - recorded)
	room := max(0, consent.MaxProblems-i.Problems)
	i.Problems += rows.Bad
	if err := l.writeProblems(ctx, i.ID, rows.Problems[:min(room, int64(len(rows.Problems)))]); err != nil {
		return err
	}
	state := "RUNNING"
	if last {
		state, i.Done, i.Finished = "SUCCEEDED", true, l.now
	}
	_, err = l.Exec(ctx, `UPDATE consent_imports SET state = $4, columns = $5, next_offset = $6, lines = $7, recorded = $8, unchanged = $9, problems = $10,
		finish_time = $11 WHERE tenant_id = $1 AND env = $2 AND import_id = $3`,
		l.Tenant, l.Env, i.ID, state, i.Columns, i.Next, i.Lines, i.Recorded, i.Unchanged, i.Problems, optional(i.Finished))
	return err
}

// entries records what the lines say, and answers how many said something new and which could not follow.
func (l *ledger) entries(ctx context.Context, kind string, rows *consent.Rows) (recorded int, problems []consent.Problem, err error) {
	if len(rows.Numbers) == 0 {
		return 0, nil, nil
	}
	switch kind {
	case consent.OfSuppressions:
		recorded, err = l.suppress(ctx, rows.Suppressions)
		return recorded, nil, err
	case consent.OfComplaints:
		_, recorded, err = l.complain(ctx, rows.Complaints)
		return recorded, nil, err
	}
	added, err := l.addAll(ctx, rows.Wanted)
	for n, a := range added {
		if a.Changed {
			recorded++
		}
		if a.Err != nil {
			problems = append(problems, consent.Problem{Line: rows.Numbers[n], Number: 1, Column: "kind", Reason: "CONSENT_STATE", Detail: a.Err.Error()})
		}
	}
	return recorded, problems, err
}

func (l *ledger) writeProblems(ctx context.Context, id uuid.UUID, problems []consent.Problem) error {
	n := len(problems)
	if n == 0 {
		return nil
	}
	lines, numbers := make([]int64, n), make([]int32, n)
	columns, reasons, details := make([]string, n), make([]string, n), make([]string, n)
	for i, p := range problems {
		lines[i], numbers[i], columns[i], reasons[i], details[i] = p.Line, int32(p.Number), p.Column, p.Reason, p.Detail
	}
	_, err := l.Exec(ctx, `INSERT INTO consent_import_problems (tenant_id, import_id, line, number, col, reason, detail)
		SELECT $1, $2, u.* FROM unnest($3::bigint[], $4::int[], $5::text[], $6::text[], $7::text[]) u`, l.Tenant, id, lines, numbers, columns, reasons, details)
	return err
}

// ConsentImport answers how far an import has come; errs.NotFound when it is not of this place.
func (s *Store) ConsentImport(ctx context.Context, at consent.Place, id uuid.UUID) (i consent.Import, err error) {
	err = s.db.InTenant(ctx, at.Tenant, func(tx pgx.Tx) error {
		i, err = readConsentImport(ctx, tx, at, id, "")
		return err
	})
	return i, err
}

// ConsentImportProblems answers a page of an import's problems, those after a line and a number in it.
func (s *Store) ConsentImportProblems(ctx context.Context, at consent.Place, id uuid.UUID, line int64, number, limit int) (list []consent.Problem, err error) {
	err = s.db.InTenant(ctx, at.Tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT line, number, col, reason, detail FROM consent_import_problems
			WHERE tenant_id = $1 AND import_id = $2 AND (line, number) > ($3, $4) ORDER BY line, number LIMIT $5`, at.Tenant, id, line, number, limit)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[consent.Problem])
		return err
	})
	return list, err
}
