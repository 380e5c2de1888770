package preference

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// A suppression table is open addressing over 32-bit slots, number + 1 each, 0 for free. The number of slots need not be a
// power of two, so that the load is what it should be: 2/3 when written, 48 bits a number, and at most 7/8 after
// additions. Removed numbers leave a mark that keeps the row of slots joined.
const removed = ^uint32(0)

// table is a mapped suppression file.
type table struct {
	*mapping
	keys  []uint32
	used  uint64 // slots that are not free; written by the one who changes
	count atomic.Int64
}

func openTable(path string) (*table, error) {
	m, err := openMapping(path, sortSet)
	if err != nil {
		return nil, err
	}
	t := tableOn(m)
	if t.used >= m.slots {
		m.release()
		return nil, errors.New("the table has no free slot")
	}
	return t, nil
}

// tableOn reads a mapping as a suppression table.
func tableOn(m *mapping) *table {
	t := &table{mapping: m, keys: words32(m.data[m.tableAt : m.tableAt+4*m.slots])}
	for _, k := range t.keys {
		if k != 0 {
			t.used++
		}
		if k != 0 && k != removed {
			t.count.Add(1)
		}
	}
	return t
}

func (t *table) has(n Number) bool {
	key := uint32(n) + 1
	for at := slotOf(n, uint64(len(t.keys))); ; {
		k := atomic.LoadUint32(&t.keys[at])
		if k == key || k == 0 {
			return k == key
		}
		if at++; at == uint64(len(t.keys)) {
			at = 0
		}
	}
}

// hasBatch answers for at most 256 numbers. It loads the first slot of each before it looks at one, so the loads wait for
// memory together.
func (t *table) hasBatch(dst []bool, numbers []Number) {
	var first [batch]uint32
	slots := uint64(len(t.keys))
	for i, n := range numbers {
		first[i&(batch-1)] = atomic.LoadUint32(&t.keys[slotOf(n, slots)])
	}
	for i, n := range numbers {
		k := first[i&(batch-1)]
		dst[i] = k == uint32(n)+1 || k != 0 && t.has(n)
	}
}

// add puts a number in and tells whether it was new. The table has a free slot.
func (t *table) add(n Number) bool {
	if t.has(n) {
		return false
	}
	t.used += insert(t.keys, n)
	t.count.Add(1)
	return true
}

// insert puts a number that is not there into the first slot that is free, and answers how many slots that took. A mark of
// a removed number is not used again: a reader may be on its way past it to a key behind.
func insert(keys []uint32, n Number) uint64 {
	for at := slotOf(n, uint64(len(keys))); ; {
		switch atomic.LoadUint32(&keys[at]) {
		case 0:
			atomic.StoreUint32(&keys[at], uint32(n)+1)
			return 1
		case uint32(n) + 1:
			return 0
		}
		if at++; at == uint64(len(keys)) {
			at = 0
		}
	}
}

// remove takes a number out and tells whether it was there.
func (t *table) remove(n Number) bool {
	for at := slotOf(n, uint64(len(t.keys))); ; {
		switch atomic.LoadUint32(&t.keys[at]) {
		case 0:
			return false
		case uint32(n) + 1:
			atomic.StoreUint32(&t.keys[at], removed)
			t.count.Add(-1)
			return true
		}
		if at++; at == uint64(len(t.keys)) {
			at = 0
		}
	}
}

// Set is one suppression list: the numbers of a tenant that opted out or are never to be written to. Look-ups take no lock.
type Set struct {
	dir, name string
	current   atomic.Pointer[table]
	writes    sync.Mutex
	journal   *journal // of current
	unlock    func() error
}

// OpenSet opens the list name in dir; both are made when they are not there. name is a file name: an id, not a tenant's
// own words.
func OpenSet(dir, name string) (*Set, error) {
	unlock, err := prepare(dir, name+setSuffix)
	if err != nil {
		return nil, err
	}
	s := &Set{dir: dir, name: name, unlock: unlock}
	err = s.swap()
	if errors.Is(err, os.ErrNotExist) {
		err = s.rewrite(context.Background(), Run{ID: uuid.Must(uuid.NewV7())}, func(func(Number)) error { return nil })
	}
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	return s, nil
}

const setSuffix = ".set"

func (s *Set) path() string { return filepath.Join(s.dir, s.name+setSuffix) }

func (s *Set) swap() error {
	t, err := openTable(s.path())
	switch {
	case errors.Is(err, os.ErrNotExist):
		return err
	case err != nil:
		return damaged(s.path(), err)
	}
	name := fmt.Sprintf("%s-%s.journal", s.name, t.run.ID)
	j, err := openJournal(filepath.Join(s.dir, name), t.run.ID, t.replay)
	if err != nil {
		t.release()
		return damaged(name, err)
	}
	old, oldJournal := s.current.Swap(t), s.journal
	s.journal = j
	if old != nil {
		old.release()
	}
	return errors.Join(oldJournal.close(), sweep(s.dir, s.name+"-", name))
}

const (
	changeAdd    = 1
	changeRemove = 2
)

func (t *table) replay(r record) error {
	switch {
	case r.value == changeRemove:
		t.remove(r.number)
	case r.value != changeAdd || !t.hasRoom(1):
		return errors.New("a change cannot be replayed")
	default:
		t.add(r.number)
	}
	return nil
}

func (t *table) hasRoom(n int) bool { return t.used+uint64(n) <= t.slots/8*7 }

// Import replaces the list by the numbers of an import file, one a line; what stands behind a comma must be empty or as
// Parse reads it, and "none" leaves the number out. Manners and errors are those of Store.Import.
func (s *Set) Import(ctx context.Context, run Run, in io.Reader, report func(Progress)) (Run, error) {
	if err := run.judge(); err != nil {
		return Run{}, err
	}
	l := newLines(in, report)
	err := s.rewrite(ctx, run, func(take func(Number)) error {
		return l.each(ctx, func(n Number, p Preference) {
			if p != None {
				take(n)
			}
		})
	})
	if err != nil {
		return Run{}, err
	}
	v := s.View()
	defer v.Close()
	return v.Run(), nil
}

// rewrite makes a new file of the numbers source gives and puts it in force.
func (s *Set) rewrite(ctx context.Context, run Run, source func(func(Number)) error) error {
	return writing(s.path(), func(f *os.File) error {
		s.writes.Lock()
		begun := markOf(s.journal)
		s.writes.Unlock()
		var numbers []Number
		if err := source(func(n Number) { numbers = append(numbers, n) }); err != nil {
			return err
		}
		h, err := writeTable(f, run, numbers, 0)
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return s.install(f, h, begun)
	})
}

// install carries what changed meanwhile into a written file, and puts that in place and in force.
func (s *Set) install(f *os.File, h *header, begun mark) error {
	s.writes.Lock()
	defer s.writes.Unlock()
	records, err := begun.carried(s.journal)
	if err != nil {
		return err
	}
	if err := carrySet(f, h, records); err != nil {
		return err
	}
	if err := commit(s.path()); err != nil {
		return err
	}
	return s.swap()
}

// spare is the room of a new table beside its numbers: small lists grow by themselves for a long time.
const spare = 1 << 10

// writeTable fills a new file; room is how many numbers may come beside.
func writeTable(f *os.File, run Run, numbers []Number, room int) (*header, error) {
	h := &header{sort: sortSet, run: run, slots: uint64(len(numbers)+room)*3/2 + spare}
	h.lay()
	if err := f.Truncate(int64(h.size())); err != nil {
		return nil, fmt.Errorf("lengthen the file: %w", err)
	}
	data, err := unix.Mmap(int(f.Fd()), int64(h.tableAt), int(h.sumsAt-h.tableAt), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the new file: %w", err)
	}
	keys := words32(data)[:h.slots]
	for _, n := range numbers {
		h.run.Numbers += insert(keys, n)
	}
	h.run.Suppressed, h.run.Lines = h.run.Numbers, uint64(len(numbers))
	if err := unix.Munmap(data); err != nil {
		return nil, fmt.Errorf("unmap: %w", err)
	}
	return h, seal(f, h)
}

// SetView is a list as of one file, held while it is used. It must be closed once, and not be used then.
type SetView struct{ table *table }

// View answers the list in force. It allocates nothing.
func (s *Set) View() SetView {
	for {
		t := s.current.Load()
		if t == nil || t.acquire() {
			return SetView{t}
		}
	}
}

// Close lets the file go.
func (v SetView) Close() {
	if v.table != nil {
		v.table.release()
	}
}

// Has tells whether a number is suppressed.
func (v SetView) Has(n Number) bool { return v.table != nil && v.table.has(n) }

// HasAll tells it of numbers, dst[i] of numbers[i]; dst is at least as long. A batch is several times faster than one after
// another.
func (v SetView) HasAll(dst []bool, numbers []Number) {
	if v.table == nil {
		clear(dst[:len(numbers)])
		return
	}
	for len(numbers) > 0 {
		n := min(len(numbers), batch)
		v.table.hasBatch(dst[:n], numbers[:n])
		dst, numbers = dst[n:], numbers[n:]
	}
}

// Run is what the file was made of; zero for a list that was never imported.
func (v SetView) Run() Run {
	if v.table == nil {
		return Run{}
	}
	return v.table.run
}

// Len is how many numbers are suppressed.
func (v SetView) Len() int {
	if v.table == nil {
		return 0
	}
	return int(v.table.count.Load())
}

// Has tells whether a number is suppressed by the list in force.
func (s *Set) Has(n Number) bool {
	v := s.View()
	defer v.Close()
	return v.Has(n)
}
