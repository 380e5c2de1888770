package preference

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Progress is how far an import has come.
type Progress struct {
	Lines uint64 // read
	Bytes uint64 // read
	Wrong uint64 // lines that are not valid
}

// LineError is a line of an import file that cannot be read. It never holds the line's content.
type LineError struct {
	Line uint64 // from 1
	What string
}

// The reasons of imports.
const (
	ReasonFileInvalid   = "PREFERENCE_FILE_INVALID"
	ReasonImportRunning = "PREFERENCE_IMPORT_RUNNING"
	ReasonUpdatesFull   = "PREFERENCE_UPDATES_FULL"
	ReasonRunInvalid    = "PREFERENCE_RUN_INVALID"
	ReasonNoRun         = "PREFERENCE_NO_RUN"
	ReasonJournal       = "PREFERENCE_JOURNAL"
)

const (
	maxErrors  = 100     // line errors that are kept; all are counted
	bufferSize = 1 << 20 // of the reader
	maxLine    = 512     // bytes
	progressAt = 1 << 20 // lines between two reports
)

// lines reads an import file: number, then what Parse reads, one number a line, LF or CRLF, an optional first line of
// titles, an optional byte order mark.
type lines struct {
	in       io.Reader
	buffer   []byte
	from, to int
	eof      bool
	Progress
	any    bool // a number was read
	errors []LineError
	report func(Progress)
	short  [1024]spec            // preferences seen, by their text of at most eight bytes
	long   map[string]Preference // the same for longer texts
}

type spec struct {
	text   uint64
	length int
	value  Preference
	known  bool
}

func newLines(in io.Reader, report func(Progress)) *lines {
	if report == nil {
		report = func(Progress) {}
	}
	return &lines{in: in, buffer: make([]byte, bufferSize+8), report: report, long: map[string]Preference{}}
}

// each calls take for every valid line. It stops for a read error and a cancelled context; wrong lines it gathers.
func (l *lines) each(ctx context.Context, take func(Number, Preference)) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.fill(); err != nil {
			return fmt.Errorf("read line %d: %w", l.Lines+1, err)
		}
		l.complete(take)
		if l.eof && l.from == l.to {
			l.report(l.Progress)
			return l.verdict()
		}
	}
}

// fill reads until the buffer holds a line's end, or the file's.
func (l *lines) fill() error {
	size := len(l.buffer) - 8
	l.to = copy(l.buffer[:size], l.buffer[l.from:l.to])
	l.from = 0
	for l.to < size && !l.eof {
		n, err := l.in.Read(l.buffer[l.to:size])
		l.to += n
		l.Bytes += uint64(n)
		if errors.Is(err, io.EOF) {
			l.eof = true
		} else if err != nil {
			return err
		}
	}
	return nil
}

// complete takes all whole lines of the buffer, and at the end of the file what is left.
func (l *lines) complete(take func(Number, Preference)) {
	for l.from < l.to {
		if l.quick(take) {
			continue
		}
		end := l.from
		for end < l.to && l.buffer[end] != '\n' {
			end++
		}
		if end == l.to && !l.eof {
			if end-l.from < maxLine {
				return // the rest of the line is still to be read
			}
		}
		l.slow(l.buffer[l.from:end], take)
		l.from = min(end+1, l.to)
	}
}

// quick takes a line of ten digits, or ten digits, a comma and at most eight bytes that were seen before; a CR is one of them.
func (l *lines) quick(take func(Number, Preference)) bool {
	b := l.buffer[l.from:l.to]
	if len(b) < 20 {
		return false
	}
	n, ok := tenDigits(b)
	if !ok {
		return false
	}
	end, text := 10, uint64(0)
	if b[10] == ',' || b[10] == '\r' {
		for end = 11; end < 20 && b[end] != '\n'; end++ {
			text = text<<8 | uint64(b[end])
		}
	}
	if end == 20 || b[end] != '\n' {
		return false
	}
	s := &l.short[text*0x9E3779B97F4A7C15>>54]
	if !s.known || s.text != text || s.length != end {
		return false
	}
	l.count()
	l.from += end + 1
	take(n, s.value)
	return true
}

// count counts a line, and tells of it now and then.
func (l *lines) count() {
	if l.Lines++; l.Lines%progressAt == 0 {
		l.report(l.Progress)
	}
}

// tenDigits reads ten digits of which the first is 6-9, eight of them at once.
func tenDigits(b []byte) (Number, bool) {
	_ = b[9]
	w := binary.LittleEndian.Uint64(b)
	d := w - 0x3030303030303030
	// A byte below '0' borrows and one above '9' carries into its high half.
	if (w&0xF0F0F0F0F0F0F0F0) != 0x3030303030303030 || (d+0x0606060606060606)&0xF0F0F0F0F0F0F0F0 != 0 || b[0] < '6' {
		return 0, false
	}
	e, f := b[8]-'0', b[9]-'0'
	if e > 9 || f > 9 {
		return 0, false
	}
	d = d*10 + d>>8 // pairs
	eight := ((d&0x000000FF000000FF)*(100+1000000<<32) + (d>>16&0x000000FF000000FF)*(1+10000<<32)) >> 32
	return Number(eight*100 + uint64(e)*10 + uint64(f) - firstNational), true
}

// slow takes any line, and teaches quick its preference.
func (l *lines) slow(line []byte, take func(Number, Preference)) {
	first := l.Lines == 0
	l.count()
	if first && len(line) >= 3 && string(line[:3]) == "\xEF\xBB\xBF" {
		line = line[3:]
	}
	raw := line
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if len(line) == 0 {
		return
	}
	comma := 0
	for comma < len(line) && line[comma] != ',' {
		comma++
	}
	n, ok := readNumber(line[:comma])
	switch {
	case len(line) >= maxLine:
		l.wrong(fmt.Sprintf("longer than %d bytes", maxLine))
	case !ok && first && (line[0]|0x20 >= 'a' && line[0]|0x20 <= 'z'):
		return // titles
	case !ok:
		l.wrong("does not begin with an Indian mobile number: ten digits, the first 6-9, with or without 91")
	default:
		if p, ok := l.preference(line[min(comma+1, len(line)):]); ok {
			if comma == 10 {
				l.teach(raw[10:], p)
			}
			l.any = true
			take(n, p)
		}
	}
}

// readNumber reads a number as files write it: ten digits, with 0, 91 or +91 before them.
func readNumber(b []byte) (Number, bool) {
	switch {
	case len(b) == 13 && string(b[:3]) == "+91":
		b = b[3:]
	case len(b) == 12 && string(b[:2]) == "91":
		b = b[2:]
	case len(b) == 11 && b[0] == '0':
		b = b[1:]
	}
	return national(b)
}

func (l *lines) preference(text []byte) (Preference, bool) {
	p, known := l.long[string(text)]
	if known {
		return p, true
	}
	p, err := Parse(string(text))
	if err != nil {
		l.wrong(err.Error())
		return 0, false
	}
	if len(l.long) < 1<<16 {
		l.long[string(text)] = p
	}
	return p, true
}

// teach keeps the preference for quick, by what stands behind the ten digits and one byte.
func (l *lines) teach(behind []byte, p Preference) {
	if len(behind) > 9 {
		return
	}
	var key uint64
	for _, c := range behind[min(1, len(behind)):] {
		key = key<<8 | uint64(c)
	}
	l.short[key*0x9E3779B97F4A7C15>>54] = spec{text: key, length: 10 + len(behind), value: p, known: true}
}

func (l *lines) wrong(what string) {
	l.Wrong++
	if len(l.errors) < maxErrors {
		l.errors = append(l.errors, LineError{Line: l.Lines, What: what})
	}
}

// verdict makes one error of all wrong lines: a file is taken whole or not at all.
func (l *lines) verdict() error {
	if l.Wrong == 0 && !l.any {
		return errs.E(errs.Invalid, ReasonFileInvalid, "The file names no number; the file in force stays. Check that it was sent whole.", nil)
	}
	if l.Wrong == 0 {
		return nil
	}
	e := errs.E(errs.Invalid, ReasonFileInvalid, fmt.Sprintf("%d of %d lines are not valid; the file in force stays. Mend the lines and import again.",
		l.Wrong, l.Lines), nil)
	for _, line := range l.errors {
		e.Violations = append(e.Violations, errs.Violation{Field: fmt.Sprintf("line %d", line.Line), Reason: "FORMAT", Detail: line.What})
	}
	return e
}

// sample learns how often preferences occur from what the buffer holds at the start, and chooses the dictionary: the
// commonest twelve beside Full and None.
func (l *lines) sample() ([16]Preference, error) {
	if err := l.fill(); err != nil {
		return [16]Preference{}, fmt.Errorf("read line 1: %w", err)
	}
	counts := map[Preference]int{}
	trial := newLines(nil, nil)
	trial.buffer, trial.to = l.buffer, l.to // reads only
	trial.complete(func(_ Number, p Preference) { counts[p]++ })
	return dictionaryOf(counts), nil
}

// ReadChanges reads at most limit lines of an import file as changes.
func ReadChanges(ctx context.Context, in io.Reader, limit int) ([]Change, error) {
	var changes []Change
	err := newLines(in, nil).each(ctx, func(n Number, p Preference) {
		if len(changes) <= limit {
			changes = append(changes, Change{n, p})
		}
	})
	if err != nil {
		return nil, err
	}
	if len(changes) > limit {
		return nil, errs.E(errs.Invalid, ReasonFileInvalid, fmt.Sprintf("More than %d changes; import a whole file instead.", limit), nil)
	}
	return changes, nil
}
