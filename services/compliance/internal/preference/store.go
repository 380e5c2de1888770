package preference

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Store is the preference register of a process: one file in force, or none. Look-ups take no lock and never wait; an
// import, a change and a swap go on beside them.
type Store struct {
	path    string
	current atomic.Pointer[plane]
	writes  sync.Mutex // one change or swap at a time
	journal *journal   // of current
	unlock  func() error
}

const planeName = "preference.plane"

// Open opens the register in dir, which it makes (mode 0700) when it is not there and holds until Close: another process
// needs another directory. The file is verified and warmed and its journal replayed. A file that is damaged is an error;
// with no file yet every number is unscrubbed.
func Open(dir string) (*Store, error) {
	unlock, err := prepare(dir, planeName)
	if err != nil {
		return nil, err
	}
	s := &Store{path: filepath.Join(dir, planeName), unlock: unlock}
	if err := s.swap(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, unlock())
	}
	return s, nil
}

// swap puts the file on disk in force: opened and warmed before, so that readers go on with the one before.
func (s *Store) swap() error {
	p, err := openPlane(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return err
	case err != nil:
		return damaged(s.path, err)
	}
	name := fmt.Sprintf("preference-%s.journal", p.run.ID)
	j, err := openJournal(filepath.Join(filepath.Dir(s.path), name), p.run.ID, func(r record) error {
		if !Preference(r.value).valid() || !p.hasRoom(1) {
			return errors.New("a change cannot be replayed")
		}
		p.set(r.number, Preference(r.value))
		return nil
	})
	if err != nil {
		p.release()
		return damaged(name, err)
	}
	old, oldJournal := s.current.Swap(p), s.journal
	s.journal = j
	if old != nil {
		old.release()
	}
	return errors.Join(oldJournal.close(), sweep(filepath.Dir(s.path), "preference-", name))
}

// Import reads a scrub's result and puts it in force. in is the text Parse describes, of any order and length; report is
// told how far it is, at least every million lines, and may be nil. It answers the run with its counts.
//
// The file is taken whole or not at all: with wrong lines the error is errs.Invalid with one violation for each of the
// first hundred ("line 17"), and the file in force stays. So it does when the process dies at any instant. A second import
// at the same time is refused.
func (s *Store) Import(ctx context.Context, run Run, in io.Reader, report func(Progress)) (Run, error) {
	if err := run.judge(); err != nil {
		return Run{}, err
	}
	err := writing(s.path, func(f *os.File) error {
		s.writes.Lock()
		begun := markOf(s.journal)
		s.writes.Unlock()
		h, err := load(ctx, f, run, newLines(in, report))
		if err != nil {
			return err
		}
		run = h.run
		return s.install(f, h, begun)
	})
	if err != nil {
		return Run{}, err
	}
	return run, nil
}

// install carries what changed meanwhile into a written file, and puts that in place and in force. A file received is
// another replica's whole: nothing is carried into it.
func (s *Store) install(f *os.File, h *header, begun mark) error {
	s.writes.Lock()
	defer s.writes.Unlock()
	if h != nil {
		records, err := begun.carried(s.journal)
		if err != nil {
			return err
		}
		if err := carry(f, h, records); err != nil {
			return err
		}
	}
	if err := commit(s.path); err != nil {
		return err
	}
	return s.swap()
}

func (r Run) judge() error {
	invalid := func(what string) error { return errs.E(errs.Invalid, ReasonRunInvalid, what, nil) }
	switch {
	case r.ID == [16]byte{}:
		return invalid("A run needs an id.")
	case r.Provider == "" || len(r.Provider) > textMax || len(r.Reference) > textMax:
		return invalid("A run needs a provider; provider and reference have at most 126 bytes.")
	case r.At.IsZero() || !r.Expires.After(r.At) && !r.Expires.Equal(r.At):
		return invalid("A run needs the time it took place, and expires after it.")
	case r.Coverage > All:
		return invalid("A run speaks of the numbers listed, or of all.")
	}
	return nil
}

// Change sets the preference of a number, between two runs.
type Change struct {
	Number     Number
	Preference Preference
}

// Update makes changes: they are in the journal and synced, then seen by readers, when it returns nil. Look-ups do not
// wait. errs.Exhausted when the file has no room for more rare preferences.
func (s *Store) Update(changes ...Change) error {
	s.writes.Lock()
	defer s.writes.Unlock()
	p := s.current.Load()
	if p == nil {
		return errs.E(errs.Unavailable, ReasonNoRun, "There is no preference file to change; import one.", nil)
	}
	if !p.hasRoom(len(changes)) {
		return errs.E(errs.Exhausted, ReasonUpdatesFull, "The preference file has no room for more changes; import a new one.", nil)
	}
	records := make([]record, len(changes))
	for i, c := range changes {
		if c.Number >= Numbers || !c.Preference.valid() {
			return errs.E(errs.Invalid, ReasonFileInvalid, "A change names no Indian mobile number or no preference.", nil)
		}
		records[i] = record{number: c.Number, value: uint32(c.Preference)}
	}
	if err := s.journal.append(records); err != nil {
		return errs.E(errs.Unavailable, ReasonJournal, "The changes could not be stored; try again.", err)
	}
	for _, c := range changes {
		p.set(c.Number, c.Preference)
	}
	return nil
}

// View is the register as of one file, held while it is used: take one for a batch, close it after. It must be closed
// once, and not be used then.
type View struct{ plane *plane }

// View answers the register in force. It allocates nothing.
func (s *Store) View() View {
	for {
		p := s.current.Load()
		if p == nil || p.acquire() {
			return View{p}
		}
	}
}

// Close lets the file go.
func (v View) Close() {
	if v.plane != nil {
		v.plane.release()
	}
}

// Look answers for one number.
func (v View) Look(n Number) Result {
	if v.plane == nil {
		return Result{}
	}
	return v.plane.look(n)
}

// LookAll answers for numbers, all of them below Numbers, dst[i] for numbers[i]; dst is at least as long. The loads of a batch wait for memory
// together, which is some twenty times faster than one after another.
func (v View) LookAll(dst []Result, numbers []Number) {
	if v.plane == nil {
		clear(dst[:len(numbers)])
		return
	}
	for len(numbers) > 0 {
		n := min(len(numbers), batch)
		v.plane.lookBatch(dst[:n], numbers[:n])
		dst, numbers = dst[n:], numbers[n:]
	}
}

// Run is the run of the file; the zero value when there is none, which is never fresh.
func (v View) Run() Run {
	if v.plane == nil {
		return Run{}
	}
	return v.plane.run
}

// Look answers for one number by the file in force.
func (s *Store) Look(n Number) Result {
	v := s.View()
	defer v.Close()
	return v.Look(n)
}

// Freshness is the run in force and whether it is valid at an instant. Promotional traffic stops when it is not.
func (s *Store) Freshness(now time.Time) (Run, bool) {
	v := s.View()
	defer v.Close()
	run := v.Run()
	return run, run.Fresh(now)
}

// Close lets the file go; views that are held stay valid.
func (s *Store) Close() error {
	s.writes.Lock()
	defer s.writes.Unlock()
	if p := s.current.Swap(nil); p != nil {
		p.release()
	}
	err := s.journal.close()
	if s.journal = nil; s.unlock != nil {
		err = errors.Join(err, s.unlock())
		s.unlock = nil
	}
	return err
}
