package preference

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// FuzzLines compares the reader of import files with the plain reading of each line, whatever pieces the file comes in.
func FuzzLines(f *testing.F) {
	for _, s := range []string{"9876543210\n9876543210,full\r\n+919876543210,1|2,sms\n", "number,x\n\xEF\xBB\xBF6000000000", "9876543210,full\n9876543210,full\n9876543210,ful\n",
		strings.Repeat("9", 600) + "\n9876543210\n", ",\n\n\r\n5999999999\n", "98765432\x3b0,full\n", "9876543210,12345678\n9876543210,\n9876543210\n9876543210\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file string) {
		read := func(l *lines) (got []string, err error) {
			l.buffer = make([]byte, 2*maxLine) // small, so that lines lie across its end
			err = l.each(context.Background(), func(n Number, p Preference) { got = append(got, fmt.Sprint(n, p)) })
			return got, err
		}
		whole := newLines(strings.NewReader(file), nil)
		got, err := read(whole)
		pieces := newLines(iotest.HalfReader(strings.NewReader(file)), nil)
		again, err2 := read(pieces)
		if !cmp.Equal(got, again) || (err == nil) != (err2 == nil) || whole.Progress != pieces.Progress {
			t.Fatalf("whole %v %v, in pieces %v %v", got, err, again, err2)
		}
		if want := plainly(file); strings.Join(got, ";") != strings.Join(want, ";") {
			t.Fatalf("read %v, want %v", got, want)
		}
		for _, e := range whole.errors {
			if e.Line == 0 || e.Line > whole.Lines {
				t.Fatalf("an error of line %d of %d", e.Line, whole.Lines)
			}
		}
	})
}

// plainly reads a file line by line with the library.
func plainly(file string) (got []string) {
	for i, line := range strings.Split(file, "\n") {
		if i == 0 {
			line = strings.TrimPrefix(line, "\xEF\xBB\xBF")
		}
		line = strings.TrimSuffix(line, "\r")
		if len(line) >= maxLine {
			continue
		}
		number, rest, _ := strings.Cut(line, ",")
		n, ok := readNumber([]byte(number))
		if !ok {
			continue
		}
		if p, err := Parse(rest); err == nil {
			got = append(got, fmt.Sprint(n, p))
		}
	}
	return got
}

// FuzzParse: what is written is read again as the same.
func FuzzParse(f *testing.F) {
	f.Add("1|2,sms,sun,9")
	f.Add("full")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Parse(s)
		if err != nil {
			return
		}
		if again, err := Parse(p.String()); err != nil || again != p || !p.valid() {
			t.Fatalf("%q is %s, read again as %s, %v", s, p, again, err)
		}
	})
}

// FuzzHeader: no header panics, and one that is read is written as the same bytes.
func FuzzHeader(f *testing.F) {
	h := header{sort: sortSet, run: NewRun(uuid.Must(uuid.NewV7()), "p", "r", time.Unix(1_800_000_000, 0), All), slots: 100}
	h.lay()
	f.Add(h.encode(), int64(h.size()))
	f.Add([]byte("OSMSPREF"), int64(4096))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		if len(b) >= headerSize { // let it past the checksum
			copy(b[headerSize-4:], le32(crc32.Checksum(b[:headerSize-4], castagnoli)))
		}
		for _, want := range []sort{sortPlane, sortSet} {
			h, err := decodeHeader(b, want, size)
			if err != nil {
				continue
			}
			if uint64(size) != h.size() || h.tableAt < h.planeAt || h.sumsAt < h.tableAt {
				t.Fatalf("%+v of %d bytes", h, size)
			}
			again, err := decodeHeader(h.encode(), want, size)
			if err != nil || !cmp.Equal(again.run, h.run) || again.dictionary != h.dictionary {
				t.Fatalf("%+v is written as %+v, %v", h, again, err)
			}
		}
	})
}

func le32(v uint32) []byte { return []byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)} }

// FuzzJournal: whatever a journal holds, opening it replays whole records in order, cuts the rest, and takes new ones.
func FuzzJournal(f *testing.F) {
	run := uuid.MustParse("01930000-0000-7000-8000-000000000001")
	path := filepath.Join(f.TempDir(), "seed")
	j, err := openJournal(path, run, nil)
	if err != nil {
		f.Fatal(err)
	}
	if err := j.append([]record{{number: 1, value: 1}, {number: 2, value: 2}}); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)-5])
	f.Add(append(bytes.Clone(seed), 0, 0, 0))
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		replayed := 0
		count := func(r record) error {
			if replayed++; r.sequence != uint64(replayed) {
				t.Fatalf("record %d has sequence %d", replayed, r.sequence)
			}
			return nil
		}
		j, err := openJournal(path, run, count)
		if err != nil {
			return
		}
		before := replayed
		if err := j.append([]record{{number: 9, value: 9}}); err != nil {
			t.Fatal(err)
		}
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
		replayed = 0
		if j, err = openJournal(path, run, count); err != nil || replayed != before+1 {
			t.Fatalf("%d records after %d and one, %v", replayed, before, err)
		}
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
	})
}
