package preference

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/google/uuid"
)

// A journal keeps what changed since a file was written. It belongs to one file, by its run.
//
//	header  magic, version u32, reserved u32, run id 16, CRC-32C u32, padding to 40
//	record  sequence u64 from 1, number u32, value u32, CRC-32C u32 of run id and these, padding to 24
//
// A change is in force when its record is synced. What a crash tore off the end was never acknowledged: replay stops at
// the first record that is not whole and cuts the rest.
const (
	journalHeader = 40
	recordSize    = 24
)

var journalMagic = [8]byte{'O', 'S', 'M', 'S', 'J', 'R', 'N', 'L'}

type record struct {
	sequence uint64
	number   Number
	value    uint32
}

type journal struct {
	file     *os.File
	run      uuid.UUID
	sequence uint64 // of the last record
	size     int64
	failed   error // after a failed write or sync nothing is known of the file's end
}

// openJournal opens or makes the journal of a run and calls replay for every change in it.
func openJournal(path string, run uuid.UUID, replay func(record) error) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{file: f, run: run}
	if err := j.read(replay); err != nil {
		return nil, errors.Join(fmt.Errorf("journal: %w", err), f.Close())
	}
	return j, nil
}

func (j *journal) read(replay func(record) error) error {
	content, err := io.ReadAll(j.file)
	if err != nil {
		return err
	}
	if len(content) < journalHeader { // a crash while it was made: nothing was acknowledged
		return j.begin()
	}
	if err := checkJournalHeader(content, j.run); err != nil {
		return err
	}
	j.size = journalHeader
	for rest := content[journalHeader:]; ; rest = rest[recordSize:] {
		r, ok := decodeRecord(rest, j.run)
		if !ok || r.sequence != j.sequence+1 || r.number >= Numbers {
			break
		}
		if err := replay(r); err != nil {
			return err
		}
		j.sequence, j.size = r.sequence, j.size+recordSize
	}
	return j.file.Truncate(j.size)
}

func (j *journal) begin() error {
	header := make([]byte, journalHeader)
	copy(header, journalMagic[:])
	binary.LittleEndian.PutUint32(header[8:], version)
	copy(header[16:], j.run[:])
	binary.LittleEndian.PutUint32(header[32:], crc32.Checksum(header[:32], castagnoli))
	j.size = journalHeader
	if err := errors.Join(j.file.Truncate(0), write(j.file, header, 0)); err != nil {
		return err
	}
	return j.file.Sync()
}

func checkJournalHeader(b []byte, run uuid.UUID) error {
	le := binary.LittleEndian
	switch {
	case [8]byte(b[:8]) != journalMagic, le.Uint32(b[32:]) != crc32.Checksum(b[:32], castagnoli):
		return errors.New("not a journal, or its header is damaged")
	case le.Uint32(b[8:]) != version:
		return fmt.Errorf("version %d of the format; this program reads %d", le.Uint32(b[8:]), version)
	case uuid.UUID(b[16:32]) != run:
		return errors.New("it belongs to another file")
	}
	return nil
}

func write(f *os.File, b []byte, at int64) error {
	_, err := f.WriteAt(b, at)
	return err
}

func (j *journal) sum(record []byte) uint32 {
	return crc32.Update(crc32.Checksum(j.run[:], castagnoli), castagnoli, record[:16])
}

func decodeRecord(b []byte, run uuid.UUID) (record, bool) {
	if len(b) < recordSize {
		return record{}, false
	}
	le := binary.LittleEndian
	sum := crc32.Update(crc32.Checksum(run[:], castagnoli), castagnoli, b[:16])
	return record{le.Uint64(b), Number(le.Uint32(b[8:])), le.Uint32(b[12:])}, le.Uint32(b[16:]) == sum
}

// append writes changes and syncs them. Their numbers follow the last one's.
func (j *journal) append(changes []record) error {
	if j.failed != nil {
		return j.failed
	}
	b := make([]byte, recordSize*len(changes))
	for i, r := range changes {
		at := b[i*recordSize:]
		binary.LittleEndian.PutUint64(at, j.sequence+uint64(i)+1)
		binary.LittleEndian.PutUint32(at[8:], uint32(r.number))
		binary.LittleEndian.PutUint32(at[12:], r.value)
		binary.LittleEndian.PutUint32(at[16:], j.sum(at))
	}
	if err := errors.Join(write(j.file, b, j.size), j.file.Sync()); err != nil {
		j.failed = fmt.Errorf("journal: %w; it is read anew at the next start", err)
		return j.failed
	}
	j.sequence += uint64(len(changes))
	j.size += int64(len(b))
	return nil
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	return j.file.Close()
}
