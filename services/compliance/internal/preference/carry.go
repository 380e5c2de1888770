package preference

import (
	"fmt"
	"os"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// A change made while an import runs belongs to the file that was in force then. It is carried into the new one before
// that comes in force, so that no opt-out is lost between two files.

// since reads the records after a sequence back.
func (j *journal) since(sequence uint64) ([]record, error) {
	from := journalHeader + int64(sequence)*recordSize
	b := make([]byte, max(j.size-from, 0))
	if _, err := j.file.ReadAt(b, from); err != nil && len(b) > 0 {
		return nil, fmt.Errorf("journal: read back: %w", err)
	}
	var records []record
	for ; len(b) > 0; b = b[recordSize:] {
		r, ok := decodeRecord(b, j.run)
		if !ok {
			return nil, fmt.Errorf("journal: record %d is damaged", sequence+uint64(len(records))+1)
		}
		records = append(records, r)
	}
	return records, nil
}

// mark is where a journal stands when an import begins.
type mark struct {
	run      uuid.UUID
	sequence uint64
}

func markOf(j *journal) mark {
	if j == nil {
		return mark{}
	}
	return mark{j.run, j.sequence}
}

// carried are the changes since the mark; all of them when another file came in force meanwhile.
func (m mark) carried(present *journal) ([]record, error) {
	switch {
	case present == nil:
		return nil, nil
	case present.run == m.run:
		return present.since(m.sequence)
	default:
		return present.since(0)
	}
}

// amend changes a new file by what was carried, and seals it again.
func amend(f *os.File, h *header, records []record, apply func(data []byte) error) error {
	if len(records) == 0 {
		return nil
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(h.sumsAt), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map the new file: %w", err)
	}
	err = apply(data)
	if e := unix.Munmap(data); err == nil && e != nil {
		err = fmt.Errorf("unmap: %w", e)
	}
	if err != nil {
		return err
	}
	return seal(f, h)
}

// carry brings changes into a new plane.
func carry(f *os.File, h *header, records []record) error {
	return amend(f, h, records, func(data []byte) error {
		p := planeOn(&mapping{header: h, data: data, present: make([]uint64, presentWords)})
		for _, r := range records {
			if !p.hasRoom(1) {
				return errNoRoom
			}
			p.set(r.number, Preference(r.value))
		}
		return nil
	})
}

// carrySet brings changes into a new suppression table.
func carrySet(f *os.File, h *header, records []record) error {
	return amend(f, h, records, func(data []byte) error {
		t := tableOn(&mapping{header: h, data: data})
		for _, r := range records {
			if err := t.replay(r); err != nil {
				return err
			}
		}
		h.run.Numbers = uint64(t.count.Load())
		return nil
	})
}
