package scrub

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"

	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
)

// Purposes of what is sealed.
const (
	purposeFile    = "preference-file/v1"
	purposeChanges = "preference-changes/v1"
	env            = "live" // the register is one for both environments; its key is the live one's
)

// Keys seal what leaves the host.
type Keys interface {
	// SealFile answers a writer that seals into w for a purpose.
	SealFile(ctx context.Context, env, purpose string, w io.Writer) (io.WriteCloser, error)
	// OpenFile answers a reader of what was sealed for the purpose.
	OpenFile(ctx context.Context, env, purpose string, r io.Reader) (io.Reader, error)
}

// Objects is where replicas find files.
type Objects interface {
	// Put stores everything of r under a name.
	Put(ctx context.Context, name string, r io.Reader) error
	// Get answers a reader of an object; errs.NotFound when it is not there.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	// Delete removes an object.
	Delete(ctx context.Context, name string) error
}

// Recorder keeps the runs.
type Recorder interface {
	// AddPreferenceRun records a run and announces it to the replicas.
	AddPreferenceRun(ctx context.Context, r preference.Record) error
	// RetirePreferenceObjects answers objects that no replica needs any more.
	RetirePreferenceObjects(ctx context.Context) ([]string, error)
}

// Importer takes results into force on all replicas. It is a process's own: it holds Dir while it works.
type Importer struct {
	Dir      string // scratch, on the volume of the registers: it holds numbers
	Keys     Keys
	Objects  Objects
	Recorder Recorder
	NewID    func() uuid.UUID
	Now      func() time.Time
	Actor    string
}

// Import loads a result, stores it and records its run. report is told how far the reading is. With wrong lines the error
// is errs.Invalid with a violation for each of the first hundred. Whenever it fails, or is killed, nothing has changed on
// the replicas, and it may be started again.
func (i *Importer) Import(ctx context.Context, from Provider, report func(preference.Progress, int64)) (r preference.Record, err error) {
	result, err := from.Fetch(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, result.Lines.Close()) }()
	store, err := preference.Open(i.Dir)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, store.Close(), preference.Discard(i.Dir)) }()
	run := preference.NewRun(i.NewID(), result.Provider, result.Reference, result.At, result.Coverage)
	run, err = store.Import(ctx, run, result.Lines, func(p preference.Progress) { report(p, result.Size) })
	if err != nil {
		return r, err
	}
	r = preference.Record{Run: run, Object: "preference-" + run.ID.String(), Actor: i.Actor}
	if err := i.store(ctx, r.Object, store); err != nil {
		return r, err
	}
	r.Imported = i.Now()
	if err := i.Recorder.AddPreferenceRun(ctx, r); err != nil {
		return r, errors.Join(err, i.Objects.Delete(context.WithoutCancel(ctx), r.Object))
	}
	i.retire(ctx)
	return r, nil
}

// store writes the register into the object store, compressed and sealed on its way.
func (i *Importer) store(ctx context.Context, object string, store *preference.Store) error {
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := i.write(ctx, w, store)
		w.CloseWithError(err)
		done <- err
	}()
	err := i.Objects.Put(ctx, object, r)
	r.CloseWithError(context.Canceled) // whoever still writes stops
	if written := <-done; written != nil && err == nil {
		err = written
	}
	return err
}

func (i *Importer) write(ctx context.Context, w io.Writer, store *preference.Store) error {
	sealed, err := i.Keys.SealFile(ctx, env, purposeFile, w)
	if err != nil {
		return err
	}
	packed, err := zstd.NewWriter(sealed, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	if _, err := store.Export(ctx, packed); err != nil {
		return err
	}
	return errors.Join(packed.Close(), sealed.Close())
}

// retire deletes what no replica needs. A failure leaves objects behind, no more.
func (i *Importer) retire(ctx context.Context) {
	objects, err := i.Recorder.RetirePreferenceObjects(ctx)
	for _, object := range objects {
		err = errors.Join(err, i.Objects.Delete(ctx, object))
	}
	if err != nil {
		slog.WarnContext(ctx, "old preference files stay in the object store", slog.String("error", err.Error()))
	}
}

// Scratch is the importer's directory beside those of the replicas.
func Scratch(dir string) string { return filepath.Join(dir, "import") }
