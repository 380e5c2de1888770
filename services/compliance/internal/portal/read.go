package portal

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Limits of a file.
const (
	MaxBytes    = 64 << 20
	maxLines    = 1_000_000
	MaxProblems = 10_000 // that are kept
)

// Reasons why a file cannot be imported.
const (
	reasonEncoding  = "IMPORT_ENCODING"
	reasonColumns   = "IMPORT_COLUMNS"
	reasonPortal    = "IMPORT_PORTAL_UNKNOWN"
	reasonMalformed = "CSV_MALFORMED"
	reasonTooLarge  = "IMPORT_TOO_LARGE"
	reasonEmpty     = "IMPORT_EMPTY"
)

// Problem is what is wrong with a line, or how it differs from the registry.
type Problem struct {
	Line   int    // of the file, from 1
	Column string // as the file names it
	Reason string
	Detail string
	Object string // its key, where it could be read
	// Severity is warning for what a portal would refuse or ask about and is imported all the same; else empty.
	Severity string
}

// Line is an object as a line of the file says it.
type Line struct {
	Number int
	Object *registry.Object // nil once it was laid over what is registered
	has    map[string]int   // the fields the file has
	names  []string
}

// File is a file as read.
type File struct {
	Portal   string
	Kind     registry.Kind
	Lines    []Line
	Problems []Problem
	Count    int // problems, of which only so many are kept
}

func (f *File) problem(p Problem) {
	if f.Count++; len(f.Problems) < MaxProblems {
		f.Problems = append(f.Problems, p)
	}
}

// Read reads a file: UTF-8, with or without a byte order mark; named is its portal or empty; entity owns what names no
// owner. What is wrong with single lines stands in the file's problems; the error, of kind Invalid, is for a file that
// cannot be read at all. progress is told how many lines have been read of how many.
func Read(raw []byte, named, entity string, progress func(done, lines int)) (*File, error) {
	raw, err := decode(raw)
	if err != nil {
		return nil, err
	}
	lines := bytes.Count(raw, []byte{'\n'})
	if lines > maxLines {
		return nil, refuse(reasonTooLarge, fmt.Sprintf("The file has more than %d lines; divide it.", maxLines))
	}
	r := csv.NewReader(bytes.NewReader(raw))
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if err != nil {
		return nil, refuse(reasonEmpty, "The file has no header row that can be read.")
	}
	l, err := layoutOf(header, named)
	if err != nil {
		return nil, err
	}
	f := &File{Portal: l.portal, Kind: l.kind, Lines: make([]Line, 0, lines)}
	for done := 0; ; done++ {
		record, err := r.Read()
		if err != nil {
			f.end(err)
			break
		}
		f.line(&l, r, record, entity)
		if done%1000 == 999 {
			progress(done, lines)
		}
	}
	if len(f.Lines) == 0 && f.Count == 0 {
		return nil, refuse(reasonEmpty, "The file has a header row and nothing after it.")
	}
	progress(lines, lines)
	return f, nil
}

func refuse(reason, detail string) error { return errs.E(errs.Invalid, reason, detail, nil) }

// decode accepts UTF-8 and names what else it may be.
func decode(raw []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(raw, []byte{0xff, 0xfe}), bytes.HasPrefix(raw, []byte{0xfe, 0xff}):
		return nil, refuse(reasonEncoding, "The file is in UTF-16; save it as CSV UTF-8.")
	case bytes.HasPrefix(raw, []byte("PK\x03\x04")):
		return nil, refuse(reasonEncoding, "The file is a spreadsheet or an archive; save it as CSV UTF-8.")
	}
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	for at := 0; at < len(raw); {
		r, size := utf8.DecodeRune(raw[at:])
		if r == 0 || r == utf8.RuneError && size == 1 {
			return nil, refuse(reasonEncoding, fmt.Sprintf("Line %d is not UTF-8 text; save the file as CSV UTF-8.", 1+bytes.Count(raw[:at], []byte{'\n'})))
		}
		at += size
	}
	return raw, nil
}

func layoutOf(header []string, named string) (layout, error) {
	known := false
	for _, p := range Portals() {
		known = known || p == named
	}
	if named != "" && !known {
		return layout{}, refuse(reasonPortal, "The portals are "+strings.Join(Portals(), ", ")+"; leave it out to have the file recognised.")
	}
	l, ok := recognise(header, named)
	if !ok {
		return l, refuse(reasonColumns, "No portal's columns are recognised in the header row; name the portal, or use the generic "+
			"names (of templates: template_id, category, body). Columns are separated by commas.")
	}
	return l, nil
}

// end notes why reading ended, unless by the end of the file: after a quote that is not closed nothing more can be read.
func (f *File) end(err error) {
	if errors.Is(err, io.EOF) {
		return
	}
	p := Problem{Reason: reasonMalformed, Detail: "the line is not CSV: a quote is missing or misplaced; nothing after it was read"}
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		p.Line, p.Column = parse.StartLine, fmt.Sprintf("character %d", parse.Column)
	}
	f.problem(p)
}

// line reads one record. An empty line is none.
func (f *File) line(l *layout, r *csv.Reader, record []string, entity string) {
	number, _ := r.FieldPos(0)
	if len(record) == 1 && record[0] == "" {
		return
	}
	if len(record) != len(l.names) {
		f.problem(Problem{Line: number, Reason: reasonMalformed, Detail: fmt.Sprintf("the line has %d columns, the header row %d", len(record), len(l.names))})
		return
	}
	p := parser{layout: l, record: record, object: registry.Object{Kind: l.kind, Entity: entity}}
	if l.kind == registry.Entities || l.kind == registry.Telemarketers {
		p.object.Entity = ""
	}
	p.parse()
	p.object.Settle()
	for _, wrong := range p.wrong {
		wrong.Line, wrong.Object = number, p.object.Key().String()
		f.problem(wrong)
	}
	if len(p.wrong) == 0 {
		f.Lines = append(f.Lines, Line{Number: number, Object: new(p.object), has: l.fields, names: l.names})
	}
}
