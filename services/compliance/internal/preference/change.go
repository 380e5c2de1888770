package preference

import (
	"errors"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Add suppresses numbers: they are in the journal and synced, then seen by readers, when it returns nil. A table without
// room is written anew, larger; look-ups go on.
func (s *Set) Add(numbers ...Number) error { return s.change(changeAdd, numbers) }

// Remove lets numbers go, in the manner of Add.
func (s *Set) Remove(numbers ...Number) error { return s.change(changeRemove, numbers) }

func (s *Set) change(value uint32, numbers []Number) error {
	for _, n := range numbers {
		if n >= Numbers {
			return errs.E(errs.Invalid, ReasonFileInvalid, "A change names no Indian mobile number.", nil)
		}
	}
	for {
		err := s.tryChange(value, numbers)
		if !errors.Is(err, errNoRoom) {
			return err
		}
		if err := s.grow(len(numbers)); err != nil {
			return err
		}
	}
}

var errNoRoom = errors.New("the table has no room")

func (s *Set) tryChange(value uint32, numbers []Number) error {
	s.writes.Lock()
	defer s.writes.Unlock()
	t := s.current.Load()
	if t == nil {
		return errs.E(errs.Unavailable, ReasonNoRun, "The suppression list is closed.", nil)
	}
	if value == changeAdd && !t.hasRoom(len(numbers)) {
		return errNoRoom
	}
	records := make([]record, len(numbers))
	for i, n := range numbers {
		records[i] = record{number: n, value: value}
	}
	if err := s.journal.append(records); err != nil {
		return errs.E(errs.Unavailable, ReasonJournal, "The changes could not be stored; try again.", err)
	}
	for _, r := range records {
		if value == changeAdd {
			t.add(r.number)
		} else {
			t.remove(r.number)
		}
	}
	return nil
}

// grow writes the list anew with room for n more and as much again. It holds the writers back, not the readers.
func (s *Set) grow(n int) error {
	unlock, err := lock(s.path() + ".lock")
	if err != nil {
		return err
	}
	defer func() { _ = unlock() }() // only read from here on
	s.writes.Lock()
	defer s.writes.Unlock()
	t := s.current.Load()
	if t == nil || t.hasRoom(n) {
		return nil // another change was faster
	}
	run := t.run
	run.ID = uuid.Must(uuid.NewV7()) // another file, another journal
	return s.replace(run, t, n)
}

func (s *Set) replace(run Run, t *table, n int) error {
	f, err := create(s.path())
	if err != nil {
		return err
	}
	defer f.Close()
	numbers := make([]Number, 0, int(t.count.Load())+n)
	for _, k := range t.keys {
		if k != 0 && k != removed {
			numbers = append(numbers, Number(k-1))
		}
	}
	if _, err := writeTable(f, run, numbers, len(numbers)/2+2*n); err != nil {
		return err
	}
	if err := commit(s.path()); err != nil {
		return err
	}
	return s.swap()
}

// Close lets the file go; views that are held stay valid.
func (s *Set) Close() error {
	s.writes.Lock()
	defer s.writes.Unlock()
	if t := s.current.Swap(nil); t != nil {
		t.release()
	}
	err := s.journal.close()
	if s.journal = nil; s.unlock != nil {
		err = errors.Join(err, s.unlock())
		s.unlock = nil
	}
	return err
}
