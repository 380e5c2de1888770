package preference

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// A file travels to other replicas as the pages that hold anything: each its number and its bytes, then the end mark, the
// size of the file and a checksum of all. Holes are not sent.
const endMark = ^uint32(0)

// Export writes the file in force as Receive reads it, without the changes since it was imported: those are in Changes. It
// holds numbers as positions and has to be sealed before it leaves the host.
func (s *Store) Export(ctx context.Context, w io.Writer) (Run, error) {
	f, err := os.Open(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return Run{}, errs.E(errs.Unavailable, ReasonNoRun, "There is no preference file to export; import one.", err)
	}
	if err != nil {
		return Run{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Run{}, err
	}
	head := make([]byte, headerSize)
	if _, err := f.ReadAt(head, 0); err != nil {
		return Run{}, err
	}
	h, err := decodeHeader(head, sortPlane, info.Size())
	if err != nil {
		return Run{}, damaged(s.path, err)
	}
	return h.run, export(ctx, f, info.Size(), w)
}

func export(ctx context.Context, f *os.File, size int64, w io.Writer) error {
	sum := crc32.New(castagnoli)
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), bufferSize)
	frame := make([]byte, 4+pageSize)
	holes := holes{file: f}
	for at := int64(0); at < size; at += pageSize {
		if err := ctx.Err(); err != nil {
			return err
		}
		hole, err := holes.at(at)
		if err != nil {
			return err
		}
		if hole {
			continue
		}
		clear(frame)
		if _, err := f.ReadAt(frame[4:], at); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if isZero(frame[4:]) {
			continue
		}
		binary.LittleEndian.PutUint32(frame, uint32(at/pageSize))
		if _, err := out.Write(frame); err != nil {
			return err
		}
	}
	tail := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(nil, endMark), uint64(size))
	if _, err := out.Write(tail); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return write4(w, sum.Sum32())
}

func write4(w io.Writer, v uint32) error {
	_, err := w.Write(binary.LittleEndian.AppendUint32(nil, v))
	return err
}

// Receive puts a file in force that another replica exported. It is verified first; anything wrong with it leaves the file
// in force as it is.
func (s *Store) Receive(ctx context.Context, r io.Reader) (Run, error) {
	err := writing(s.path, func(f *os.File) error {
		if err := receive(ctx, f, bufio.NewReaderSize(r, bufferSize)); err != nil {
			return errs.E(errs.Invalid, ReasonFileInvalid, "The file received is not whole; the file in force stays. Fetch it again.", err)
		}
		m, err := openMapping(f.Name(), sortPlane)
		if err != nil {
			return errs.E(errs.Invalid, ReasonFileInvalid, "The file received is damaged; the file in force stays. Fetch it again.", err)
		}
		m.release()
		if err := f.Sync(); err != nil {
			return err
		}
		return s.install(f, nil, mark{})
	})
	if err != nil {
		return Run{}, err
	}
	v := s.View()
	defer v.Close()
	return v.Run(), nil
}

func receive(ctx context.Context, f *os.File, r io.Reader) error {
	sum := crc32.New(castagnoli)
	in := io.TeeReader(r, sum)
	frame := make([]byte, 4+pageSize)
	largest := int64(planeBytes + 1<<36) // no table is larger
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := io.ReadFull(in, frame[:4]); err != nil {
			return err
		}
		page := binary.LittleEndian.Uint32(frame)
		if page == endMark {
			break
		}
		at := int64(page) * pageSize
		if at > largest {
			return fmt.Errorf("page %d is out of range", page)
		}
		if _, err := io.ReadFull(in, frame[4:]); err != nil {
			return err
		}
		if err := write(f, frame[4:], at); err != nil {
			return err
		}
	}
	return receiveEnd(f, r, in, sum.Sum32, largest)
}

func receiveEnd(f *os.File, r, in io.Reader, sum func() uint32, largest int64) error {
	tail := make([]byte, 12)
	if _, err := io.ReadFull(in, tail[:8]); err != nil {
		return err
	}
	want := sum()
	if _, err := io.ReadFull(r, tail[8:]); err != nil {
		return err
	}
	size := int64(binary.LittleEndian.Uint64(tail))
	if binary.LittleEndian.Uint32(tail[8:]) != want || size < 0 || size > largest {
		return errors.New("the checksum of the transfer is wrong")
	}
	return f.Truncate(size)
}

// Changes answers what Update changed after a sequence, and the sequence of the last: to bring a replica up to date that
// has the same run. At most limit changes.
func (s *Store) Changes(after uint64, limit int) ([]Change, uint64, error) {
	s.writes.Lock()
	defer s.writes.Unlock()
	if s.journal == nil || after >= s.journal.sequence {
		return nil, after, nil
	}
	records, err := s.journal.since(after)
	if err != nil {
		return nil, after, err
	}
	records = records[:min(limit, len(records))]
	changes := make([]Change, len(records))
	for i, r := range records {
		changes[i] = Change{r.number, Preference(r.value)}
	}
	return changes, after + uint64(len(records)), nil
}

// Sequence is how many changes were made to the file in force since it was imported.
func (s *Store) Sequence() uint64 {
	s.writes.Lock()
	defer s.writes.Unlock()
	if s.journal == nil {
		return 0
	}
	return s.journal.sequence
}

// Discard removes a register from a directory no process has open: one that is damaged, or was only made to be exported.
func Discard(dir string) error {
	unlock, err := prepare(dir, planeName)
	if err != nil {
		return err
	}
	err = os.Remove(filepath.Join(dir, planeName))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, sweep(dir, "preference-", ""), unlock())
}
