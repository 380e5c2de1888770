package consent

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/complaint"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Limits of an import.
const (
	MaxPart     = 256 << 10 // bytes: a part is one transaction, and an opt-out beside it must not wait for long
	maxLine     = 4 << 10   // bytes
	MaxProblems = 10_000    // that are kept
)

// What an import holds.
const (
	OfConsents     = "consents"
	OfSuppressions = "suppressions"
	OfComplaints   = "complaints"
)

// columns of each kind of file; the first ones must be there.
var columns = map[string]struct {
	needed int
	names  []string
}{
	OfConsents: {2, []string{"recipient", "entity_id", "purpose", "kind", "basis", "grant_time", "expire_time", "method", "notice_version",
		"notice_language", "evidence_sha256", "registrar_reference", "contract"}},
	OfSuppressions: {1, []string{"recipient", "applies_to", "reason", "expire_time"}},
	OfComplaints:   {3, []string{"recipient", "entity_id", "reference", "header", "complain_time"}},
}

// Import is how far an import has come.
type Import struct {
	ID                                   uuid.UUID
	Kind                                 string
	Done                                 bool
	Columns                              []string // of the header row, once it has come
	Next                                 int64    // offset of the next part
	Total                                int64    // bytes; 0 while not said
	Lines, Recorded, Unchanged, Problems int64
	Created, Finished                    time.Time
}

// Percent is how much of the file is taken; 0 while its size is not known.
func (i *Import) Percent() int {
	switch {
	case i.Done:
		return 100
	case i.Total <= 0:
		return 0
	}
	return int(min(99, i.Next*100/i.Total))
}

// Problem is a line that was not taken. It repeats no value: lines hold numbers.
type Problem struct {
	Line   int64
	Number int // within the line, from 1
	Column string
	Reason string
	Detail string
}

// Lines cuts a part into whole lines; taken is how many bytes they are. Without more the rest is a line too.
func Lines(content []byte, more bool) (lines [][]byte, taken int) {
	for taken < len(content) {
		end := bytes.IndexByte(content[taken:], '\n')
		if end < 0 {
			if more {
				break
			}
			end = len(content) - taken
		}
		lines = append(lines, bytes.TrimSuffix(content[taken:taken+end], []byte{'\r'}))
		taken = min(len(content), taken+end+1)
	}
	return lines, taken
}

// Header reads the header row of a file of a kind: names in any order, in any case, of which others are passed over.
// errs.Invalid when one that must be there is not.
func Header(kind string, line []byte) ([]string, error) {
	names, err := split(bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")))
	if err != nil {
		return nil, errs.E(errs.Invalid, "CSV_MALFORMED", "The header row cannot be read; save the file as CSV UTF-8.", nil)
	}
	for i := range names {
		names[i] = strings.ToLower(strings.TrimSpace(names[i]))
	}
	want := columns[kind]
	for _, name := range want.names[:want.needed] {
		if !slices.Contains(names, name) {
			return nil, errs.E(errs.Invalid, "IMPORT_COLUMNS", "The file lacks the column "+name+"; its columns are "+strings.Join(want.names, ", ")+".", nil)
		}
	}
	return names, nil
}

// split reads the fields of one line.
func split(line []byte) ([]string, error) {
	if len(line) > maxLine || !utf8.Valid(line) || bytes.IndexByte(line, 0) >= 0 {
		return nil, errors.New("no text of a line's length")
	}
	r := csv.NewReader(bytes.NewReader(line))
	fields, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	return fields, err
}

// Reader makes entries of lines. Index answers the keyed hash of a number, false when it is none; Away why it could not
// answer, nil while it could.
type Reader struct {
	Columns           []string
	Index             func(number string) (index [16]byte, ok bool)
	Away              func() error
	IsID, IsHeader    func(string) bool
	Now               time.Time
	line              int64
	fields            []string
	problems          []Problem
	numberWithinALine int
}

// Rows are the entries of a part, each with the number of its line.
type Rows struct {
	Wanted       []Wanted
	Suppressions []Suppression
	Complaints   []complaint.Complaint
	Numbers      []int64 // of the lines, in step with whichever of the above the file holds
	Problems     []Problem
	Bad          int64 // lines with problems
}

// Read reads lines, the first of which has a number. Empty lines are passed over.
func (r *Reader) Read(kind string, lines [][]byte, first int64) (rows Rows) {
	for i, line := range lines {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		r.line, r.numberWithinALine = first+int64(i), 0
		before := len(r.problems)
		var err error
		if r.fields, err = split(line); err != nil || len(r.fields) != len(r.Columns) {
			r.problem("", "CSV_MALFORMED", "the line has not as many fields as the header row, is no UTF-8 or longer than 4 KiB")
		} else {
			r.entry(kind, &rows)
		}
		if len(r.problems) > before {
			rows.Bad++
		}
	}
	rows.Problems = r.problems
	return rows
}

func (r *Reader) problem(column, reason, detail string) {
	r.numberWithinALine++
	r.problems = append(r.problems, Problem{r.line, r.numberWithinALine, column, reason, detail})
}

// text is a field; empty where the file has no such column.
func (r *Reader) text(column string) string {
	if i := slices.Index(r.Columns, column); i >= 0 {
		return strings.TrimSpace(r.fields[i])
	}
	return ""
}

// timeForms are how registrars write times; days come before months in India, and a time without a zone is India's.
var timeForms = []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02", "02-01-2006 15:04:05", "02-01-2006",
	"02/01/2006 15:04:05", "02/01/2006"}

func (r *Reader) time(column string) time.Time {
	text := r.text(column)
	if text == "" {
		return time.Time{}
	}
	for _, form := range timeForms {
		if t, err := time.ParseInLocation(form, text, ist); err == nil && t.Year() > 1990 && t.Year() < 10000 {
			return t.UTC()
		}
	}
	r.problem(column, "FORMAT", "the time is not understood; write it as 2026-01-31T10:00:00+05:30")
	return time.Time{}
}

func (r *Reader) entry(kind string, rows *Rows) {
	before := len(r.problems)
	recipient, ok := r.Index(r.text("recipient"))
	if !ok {
		r.problem("recipient", "RECIPIENT_INVALID", "no Indian mobile number; give ten digits that begin with 6-9")
	}
	var add func()
	switch kind {
	case OfConsents:
		w := r.wanted(recipient)
		add = func() { rows.Wanted = append(rows.Wanted, w) }
	case OfSuppressions:
		s := r.suppression(recipient)
		add = func() { rows.Suppressions = append(rows.Suppressions, s) }
	default:
		c := r.complaint(recipient)
		add = func() { rows.Complaints = append(rows.Complaints, c) }
	}
	if len(r.problems) == before {
		add()
		rows.Numbers = append(rows.Numbers, r.line)
	}
}

func (r *Reader) violations(wrong []errs.Violation) {
	for _, v := range wrong {
		r.problem(v.Field, v.Reason, v.Detail)
	}
}

func (r *Reader) wanted(recipient [16]byte) Wanted {
	w := Wanted{Key: Key{Recipient: recipient, Entity: r.text("entity_id"), Purpose: strings.ToLower(r.text("purpose")),
		Basis: Basis(strings.ToLower(r.text("basis"))), Contract: r.text("contract")},
		Kind: Kind(strings.ToUpper(r.text("kind"))), Occur: r.time("grant_time"), Source: "dca",
		Grant: Grant{Method: r.text("method"), NoticeVersion: r.text("notice_version"), NoticeLanguage: r.text("notice_language"),
			EvidenceSHA256: strings.ToLower(r.text("evidence_sha256")), Registrar: r.text("registrar_reference"), Expires: r.time("expire_time")}}
	if w.Grant.Method == "" {
		w.Grant.Method = "dca"
	}
	r.violations(w.Complete(r.IsID, r.Now))
	return w
}

func (r *Reader) suppression(recipient [16]byte) Suppression {
	s := Suppression{Recipient: recipient, Reason: r.text("reason"), Expires: r.time("expire_time")}
	all, ok := AppliesToAll(strings.ToLower(r.text("applies_to")))
	s.All = all
	if !ok {
		r.problem("applies_to", reasonUnknown, "promotional or all")
	}
	if len(s.Reason) > maxReason {
		r.problem("reason", reasonTooLong, "at most 500 bytes")
	}
	return s
}

// AppliesToAll reads what a suppression applies to; empty is promotional.
func AppliesToAll(word string) (all, ok bool) {
	return word == "all", word == "all" || word == "promotional" || word == ""
}

func (r *Reader) complaint(recipient [16]byte) complaint.Complaint {
	c := complaint.Complaint{Recipient: recipient, Entity: r.text("entity_id"), Header: r.text("header"), Reference: r.text("reference"),
		Time: r.time("complain_time")}
	if c.Time.IsZero() {
		c.Time = r.Now
	}
	r.violations(CheckComplaint(&c, r.IsID, r.IsHeader, r.Now))
	return c
}

// CheckComplaint tells what is wrong with a complaint.
func CheckComplaint(c *complaint.Complaint, isID, isHeader func(string) bool, now time.Time) (wrong []errs.Violation) {
	add := func(field, reason, detail string) {
		wrong = append(wrong, errs.Violation{Field: field, Reason: reason, Detail: detail})
	}
	if !isID(c.Entity) {
		add("entity_id", reasonFormat, "the entity's id must be exactly 19 digits")
	}
	if c.Header != "" && !isHeader(c.Header) {
		add("header", reasonFormat, "a header has 3 to 6 letters and digits, or six digits")
	}
	if c.Reference == "" || len(c.Reference) > maxWord {
		add("reference", reasonRequired, "the operator's or registrar's reference, 1 to "+strconv.Itoa(maxWord)+" bytes")
	}
	if c.Time.After(now) {
		add("complain_time", reasonFuture, "a complaint cannot be in the future")
	}
	return wrong
}
