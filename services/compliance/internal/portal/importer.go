package portal

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Jobs hands out imports.
type Jobs interface {
	// ClaimImport takes an import that waits, or whose holder's lease is over; nil when there is none. The lease is for Lease.
	ClaimImport(ctx context.Context) (*Job, error)
	// Progress notes how far a job is and renews its lease. errs.Denied: it is not this holder's any more.
	Progress(ctx context.Context, j *Job) error
	// Fail ends a job as Failed, with its problems. errs.Denied as for Progress.
	Fail(ctx context.Context, j *Job, problems []Problem) error
}

// Store hands out imports and takes what they change.
type Store interface {
	Jobs
	// Known answers a tenant's registered objects of a kind and of what that refers to, with the registry's version.
	Known(ctx context.Context, tenant uuid.UUID, kind registry.Kind) (map[registry.Key]*registry.Object, int64, error)
	// Complete ends a job as Succeeded, with its changes and its problems, in one transaction. progress is told how many
	// changes are written, and may be told less than before. errs.Exists when an object of the changes has changed since
	// that version: nothing is changed then.
	// errs.Denied as for Progress.
	Complete(ctx context.Context, j *Job, version int64, changes []registry.Change, problems []Problem, progress func(written int)) error
}

// Pace of the background work.
const (
	Lease       = 30 * time.Second // without progress for so long, a job is taken over
	maxAttempts = 3                // a file that ends its process so often is given up
	maxReplans  = 10               // changes by others that may come in between
	reportEvery = 200 * time.Millisecond
)

// Importer works through imports, one at a time in each process.
type Importer struct {
	store Store
	wake  <-chan struct{} // an import is there
	tick  <-chan time.Time
	now   func() time.Time
}

// NewImporter makes an importer that looks for work at every wake and tick.
func NewImporter(store Store, wake <-chan struct{}, tick <-chan time.Time, now func() time.Time) *Importer {
	return &Importer{store, wake, tick, now}
}

// Run works until ctx ends; it returns nil then. A failure to read or write the database is logged, and the import
// begun anew when its lease is over.
func (im *Importer) Run(ctx context.Context) error {
	for {
		worked, err := im.Next(ctx)
		if err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "import interrupted", slog.String("error", err.Error()))
		}
		if worked && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-im.wake:
		case <-im.tick:
		}
	}
}

// Next works through one import; worked is false when none waits.
func (im *Importer) Next(ctx context.Context) (worked bool, err error) {
	j, err := im.store.ClaimImport(ctx)
	if err != nil || j == nil {
		return false, err
	}
	w := work{Importer: im, ctx: ctx, job: j, named: j.Portal}
	if j.Attempts > maxAttempts {
		return true, w.fail(errs.E(errs.Invalid, "IMPORT_ABANDONED", "The import was interrupted too often; upload the file again.", nil), nil)
	}
	err = w.run()
	slog.InfoContext(ctx, "import worked through", slog.String("tenant_id", j.Tenant.String()), slog.String("import_id", j.ID.String()),
		slog.String("state", string(j.State)), slog.Int64("lines", j.Lines), slog.Int64("problems", j.Problems))
	return true, err
}

// work is one job being done.
type work struct {
	*Importer
	ctx      context.Context
	job      *Job
	named    string // portal
	reported time.Time
	lost     error // of a report
}

// report notes progress, not too often; between from and to percent.
func (w *work) report(from, to, done, all int) {
	percent := from
	if all > 0 {
		percent += (to - from) * min(done, all) / all
	}
	w.job.Percent = max(w.job.Percent, percent) // it may begin anew
	if now := w.now(); w.lost == nil && now.Sub(w.reported) >= reportEvery {
		w.reported = now
		w.lost = w.store.Progress(w.ctx, w.job)
	}
}

func (w *work) fail(err error, problems []Problem) error {
	e, ok := errors.AsType[*errs.Error](err)
	if !ok || e.Kind != errs.Invalid {
		return err
	}
	w.job.Reason, w.job.Detail, w.job.State = e.Reason, e.Message, Failed
	return w.store.Fail(w.ctx, w.job, problems)
}

func (w *work) run() error {
	raw, err := unpack(w.job.Content)
	if err != nil {
		return w.fail(err, nil)
	}
	for range maxReplans {
		if w.lost != nil {
			return w.lost
		}
		if err := w.attempt(raw); errs.KindOf(err) != errs.Exists || w.lost != nil {
			return err
		}
	}
	return w.fail(errs.E(errs.Invalid, "IMPORT_OUTPACED", "The registry was changed again and again while the file was imported; try again.", nil), nil)
}

// attempt reads the file and does what it says to the registry as it is now. What was read is let go before anything is
// written, since a large file is some hundred megabytes of objects.
func (w *work) attempt(raw []byte) error {
	f, err := Read(raw, w.named, w.job.Entity, func(done, lines int) {
		w.job.Done, w.job.Lines = int64(done), int64(lines)
		w.report(0, 40, done, lines)
	})
	if err != nil {
		return w.fail(err, nil)
	}
	w.job.Portal, w.job.Kind = f.Portal, f.Kind
	w.job.Lines = int64(len(f.Lines) + f.Count)
	w.job.Done = w.job.Lines
	known, version, err := w.store.Known(w.ctx, w.job.Tenant, f.Kind)
	if err != nil {
		return err
	}
	w.report(45, 45, 0, 0)
	if w.job.Mode == ModeCompare {
		return w.compare(f, known, version)
	}
	return w.change(f, known, version)
}

// unpack reads gzip, within bounds; what is not gzip is as it is.
func unpack(content []byte) ([]byte, error) {
	if !bytes.HasPrefix(content, []byte{0x1f, 0x8b}) {
		return content, nil
	}
	tooLarge := refuse(reasonTooLarge, "The file is larger than 64 MiB; divide it.")
	z, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, refuse(reasonEncoding, "The file begins like gzip and is not.")
	}
	raw, err := io.ReadAll(io.LimitReader(z, MaxBytes+1))
	switch {
	case err != nil:
		return nil, refuse(reasonEncoding, "The file's gzip is damaged or not complete.")
	case len(raw) > MaxBytes:
		return nil, tooLarge
	}
	return raw, nil
}

// change registers what the file says: all of it or, when a line is wrong, nothing.
func (w *work) change(f *File, known map[registry.Key]*registry.Object, version int64) error {
	wanted := wantedOf(f, known)
	changes, unchanged, problems := registry.Plan(func(k registry.Key) *registry.Object { return known[k] }, wanted)
	for _, p := range problems {
		l := &f.Lines[p.At]
		f.problem(Problem{Line: l.Number, Column: l.column(p.Field), Reason: p.Reason, Detail: p.Detail, Object: wanted[p.At].Key().String()})
	}
	w.job.Result = Result{Problems: int64(f.Count)}
	if f.Count > 0 {
		return w.fail(errs.E(errs.Invalid, "IMPORT_LINES_WRONG", "Lines of the file are wrong, so nothing was imported; see its problems.", nil), f.Problems)
	}
	w.job.Unchanged = int64(unchanged)
	for i := range changes {
		if changes[i].Before == nil {
			w.job.Created++
		} else {
			w.job.Changed++
		}
	}
	w.lint(f, wanted, known)
	w.job.Problems, w.job.Warnings = int64(f.Count), int64(f.Count)
	found := f.Problems
	*f = File{}
	return w.complete(version, changes, found)
}

// lint notes what a portal would refuse or ask about the templates of a file.
func (w *work) lint(f *File, wanted []registry.Object, known map[registry.Key]*registry.Object) {
	if f.Kind != registry.Templates {
		return
	}
	whitelists := registry.Whitelists(known)
	for i := range wanted {
		o := &wanted[i]
		owner := ""
		if e := known[registry.Key{Kind: registry.Entities, ID: o.Entity}]; e != nil {
			owner = e.Name
		}
		for _, found := range registry.Lint(o, owner, whitelists[o.Entity]) {
			if found.Severity == template.Note {
				continue
			}
			detail := found.Sentence + " " + found.Remedy
			if found.Code == template.LintCTA {
				detail = found.Remedy // the sentence quotes what may be a number
			}
			f.problem(Problem{Line: f.Lines[i].Number, Column: f.Lines[i].column("body"), Reason: found.Code, Detail: detail,
				Object: o.Key().String(), Severity: string(template.Warning)})
		}
		if i%1000 == 999 {
			w.report(45, 50, i, len(wanted))
		}
	}
}

// wantedOf takes the objects out of the lines: there is no room for two of each.
func wantedOf(f *File, known map[registry.Key]*registry.Object) []registry.Object {
	wanted := make([]registry.Object, len(f.Lines))
	for i := range f.Lines {
		wanted[i] = f.Lines[i].over(known[f.Lines[i].Object.Key()])
		f.Lines[i].Object = nil
	}
	return wanted
}

// compare reports differences, and blacklists what the portal has blacklisted.
func (w *work) compare(f *File, known map[registry.Key]*registry.Object, version int64) error {
	differences, blacklisted := registry.Compare(known, f.Kind, wantedOf(f, known))
	for _, d := range differences {
		p := Problem{Reason: d.Reason, Detail: d.Detail, Object: d.String()}
		if d.At >= 0 {
			p.Line = f.Lines[d.At].Number
		}
		f.problem(p)
	}
	changes := make([]registry.Change, len(blacklisted))
	for i, o := range blacklisted {
		changes[i] = registry.Change{Before: known[o.Key()], After: o}
	}
	w.job.Result = Result{Problems: int64(f.Count), Changed: int64(len(changes))}
	return w.complete(version, changes, f.Problems)
}

func (w *work) complete(version int64, changes []registry.Change, problems []Problem) error {
	w.job.State = Succeeded
	err := w.store.Complete(w.ctx, w.job, version, changes, problems, func(written int) { w.report(50, 99, written, len(changes)) })
	if err != nil {
		w.job.State = Running
	}
	return err
}
