package offline

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
)

// Bounds of a line.
const (
	maxLine  = 64 << 10
	maxUnits = 2000 // UTF-16 units of a text, as the door takes them
)

// Line is a message of a file.
type Line struct {
	Number    int // from 1; of CSV with the header row
	Reference string
	To        string
	EntityID  string
	Header    string
	Template  string
	Text      string
	Values    []template.Value
	Schedule  time.Time
	Err       error // why the line is none
}

// Reader gives the lines of a file; io.EOF ends it.
type Reader interface {
	Next() (Line, error)
}

// document is a message as the public API writes it, in either spelling of its names.
type document struct {
	To         string `json:"to"`
	Entity     string `json:"entityId"`
	EntityOld  string `json:"entity_id"`
	Header     string `json:"header"`
	Template   string `json:"templateId"`
	TemplateUS string `json:"template_id"`
	Text       string `json:"text"`
	Variables  []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"variables"`
	Reference   string    `json:"clientReference"`
	ReferenceUS string    `json:"client_reference"`
	Schedule    time.Time `json:"scheduleTime"`
	ScheduleUS  time.Time `json:"schedule_time"`
}

type ndjson struct {
	in     *bufio.Reader
	number int
}

// NewNDJSON reads a JSON document a line, with the fields of the public API's messages: to, entityId, header, templateId,
// text or variables, clientReference, scheduleTime.
func NewNDJSON(r io.Reader) Reader { return &ndjson{in: bufio.NewReaderSize(r, maxLine)} }

// Next implements Reader. Empty lines are none.
func (n *ndjson) Next() (Line, error) {
	for {
		raw, err := n.in.ReadSlice('\n')
		n.number++
		if errors.Is(err, bufio.ErrBufferFull) {
			return Line{Number: n.number, Err: fmt.Errorf("the line has more than %d KiB", maxLine>>10)}, n.skip()
		}
		if raw = bytes.TrimSpace(raw); len(raw) > 0 {
			return n.parse(raw), nil
		}
		if err != nil {
			return Line{}, err
		}
	}
}

// skip reads to the end of a line.
func (n *ndjson) skip() error {
	for {
		_, err := n.in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if errors.Is(err, io.EOF) {
			return nil // the next call tells
		}
		return err
	}
}

func (n *ndjson) parse(raw []byte) Line {
	l := Line{Number: n.number}
	var d document
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		l.Err = fmt.Errorf("not a message: %w", jsonError(err))
		return l
	}
	if decoder.More() {
		l.Err = errors.New("more than one document on the line")
		return l
	}
	l.To, l.Header, l.Text = d.To, d.Header, d.Text
	l.EntityID, l.Template, l.Reference = d.Entity+d.EntityOld, d.Template+d.TemplateUS, d.Reference+d.ReferenceUS
	if l.Schedule = d.Schedule; l.Schedule.IsZero() {
		l.Schedule = d.ScheduleUS
	}
	for _, v := range d.Variables {
		l.Values = append(l.Values, template.Value{Name: v.Name, Text: v.Value})
	}
	return l
}

// jsonError is an error of the decoder without what stands in the line: it may be a number.
func jsonError(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("field %q is of another type", wrong.Field)
	}
	if _, ok := errors.AsType[*json.SyntaxError](err); ok || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("not JSON")
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("unknown field %s", field)
	}
	return errors.New("a field cannot be read")
}

// names are the columns a field may stand in without a mapping.
var names = map[string][]string{
	"to":            {"to", "mobile", "msisdn", "number", "recipient", "phone"},
	"entity_id":     {"entityid", "entity", "peid"},
	"header":        {"header", "sender", "senderid"},
	"template_id":   {"templateid", "template", "dlttemplateid"},
	"text":          {"text", "message", "body"},
	"reference":     {"clientreference", "reference", "id"},
	"schedule_time": {"scheduletime", "schedule"},
}

// Fields are the fields that columns of a CSV file may be mapped to, beside the variables var1, var2, … and var:<name>.
func Fields() []string { return slices.Sorted(maps.Keys(names)) }

// sheet is a CSV file.
type sheet struct {
	in     *csv.Reader
	fields map[string]int // column of a field
	values []value
}

// value is the column of a variable.
type value struct {
	order  int // 0 for a named one
	name   string
	column int
}

// NewCSV reads CSV in UTF-8 with a header row. columns maps fields to the names of columns; other fields are found by their
// own and usual names, values in the columns var1, var2, … or var:<name>.
func NewCSV(r io.Reader, columns map[string]string) (Reader, error) {
	buffered := bufio.NewReaderSize(r, maxLine)
	if mark, err := buffered.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" {
		_, _ = buffered.Discard(3) // it was peeked at
	}
	s := &sheet{in: csv.NewReader(buffered), fields: map[string]int{}}
	s.in.ReuseRecord = true
	header, err := s.in.Read()
	if err != nil {
		return nil, errors.New("line 1: there is no header row")
	}
	places := map[string]int{}
	for i, name := range header {
		if _, twice := places[canonical(name)]; !twice {
			places[canonical(name)] = i
		}
	}
	if err := s.find(places, columns); err != nil {
		return nil, fmt.Errorf("line 1: %w", err)
	}
	if _, ok := s.fields["to"]; !ok {
		return nil, fmt.Errorf("line 1: no column holds the recipients; name it by -col to=<column>")
	}
	return s, nil
}

func canonical(name string) string {
	return strings.NewReplacer(" ", "", "_", "", "-", "").Replace(strings.ToLower(strings.TrimSpace(name)))
}

// find finds the columns.
func (s *sheet) find(places map[string]int, columns map[string]string) error {
	for field, column := range columns {
		at, ok := places[canonical(column)]
		if !ok {
			return fmt.Errorf("there is no column %q", column)
		}
		if v, ok := variable(field); ok {
			v.column = at
			s.values = append(s.values, v)
		} else if names[field] != nil {
			s.fields[field] = at
		} else {
			return fmt.Errorf("no field %q: the fields are %s, var1, var2, … and var:<name>", field, strings.Join(Fields(), ", "))
		}
	}
	for field, list := range names {
		for _, name := range list {
			if at, ok := places[name]; ok && columns[field] == "" {
				s.fields[field] = at
				break
			}
		}
	}
	for name, at := range places {
		if v, ok := variable(name); ok && !slices.ContainsFunc(s.values, func(w value) bool { return w.order == v.order && w.name == v.name }) {
			v.column = at
			s.values = append(s.values, v)
		}
	}
	slices.SortFunc(s.values, func(a, b value) int { return a.order - b.order })
	if n := len(s.values); n > 0 && s.values[0].order == 0 && s.values[n-1].order > 0 {
		return errors.New("either all variables have a name or none")
	}
	return nil
}

// variable reads var1 or var:<name>.
func variable(field string) (v value, ok bool) {
	if name, named := strings.CutPrefix(field, "var:"); named {
		return value{name: name}, name != ""
	}
	digits, is := strings.CutPrefix(field, "var")
	n, err := strconv.Atoi(digits)
	return value{order: n}, is && err == nil && n > 0
}

// Next implements Reader.
func (s *sheet) Next() (Line, error) {
	record, err := s.in.Read()
	if errors.Is(err, io.EOF) {
		return Line{}, io.EOF
	}
	var l Line
	if wrong, ok := errors.AsType[*csv.ParseError](err); ok {
		l.Number, l.Err = wrong.StartLine, errors.New("the line has another number of columns than the header row")
		if !errors.Is(err, csv.ErrFieldCount) {
			l.Err = errors.New("not CSV: a quote is missing or misplaced")
		}
		return l, nil
	}
	if err != nil {
		return l, err
	}
	l.Number, _ = s.in.FieldPos(0)
	get := func(field string) string {
		if at, ok := s.fields[field]; ok {
			return record[at]
		}
		return ""
	}
	l.To, l.EntityID, l.Header, l.Template = strings.TrimSpace(get("to")), get("entity_id"), get("header"), get("template_id")
	l.Text, l.Reference = get("text"), get("reference")
	if at := get("schedule_time"); at != "" {
		if l.Schedule, err = time.Parse(time.RFC3339, at); err != nil {
			l.Err = errors.New("schedule_time is not a time such as 2026-01-31T10:00:00+05:30")
		}
	}
	if l.Text == "" {
		l.Values = s.valuesOf(record)
	}
	return l, nil
}

// valuesOf are the values of a record: empty columns at its end are those of templates with more variables.
func (s *sheet) valuesOf(record []string) (all []template.Value) {
	for _, v := range s.values {
		if v.name == "" || record[v.column] != "" {
			all = append(all, template.Value{Name: v.name, Text: record[v.column]})
		}
	}
	for len(all) > 0 && all[len(all)-1].Text == "" {
		all = all[:len(all)-1]
	}
	return all
}

// check bounds what the door would not take.
func (l *Line) check() error {
	if l.Err != nil {
		return l.Err
	}
	for _, s := range append([]string{l.To, l.EntityID, l.Header, l.Template, l.Text}, texts(l.Values)...) {
		if !utf8.ValidString(s) {
			return errors.New("the line is not UTF-8")
		}
	}
	if len(l.Text) > maxUnits && units(l.Text) > maxUnits {
		return fmt.Errorf("the text has more than %d UTF-16 units", maxUnits)
	}
	if l.Text != "" && len(l.Values) > 0 {
		return errors.New("there are both a text and variables")
	}
	return nil
}

func texts(values []template.Value) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = v.Text
	}
	return all
}

func units(s string) (n int) {
	for _, r := range s {
		if n++; r > 0xffff {
			n++
		}
	}
	return n
}
