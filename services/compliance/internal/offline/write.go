package offline

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/internal/gsm"
)

// Invalid is the outcome of a line that is no message.
const Invalid = "INVALID"

// Writer writes results. Flush it in the end.
type Writer interface {
	Write(r *Result) error
	Flush() error
}

// Outcome is the word for what becomes of the line: CLEARED, REFUSED, HELD or INVALID.
func (r *Result) Outcome() string {
	if r.Err != nil {
		return Invalid
	}
	return r.Decision.Outcome.String()
}

// Remedy is what mends the deciding reason.
func (r *Result) Remedy() string {
	if len(r.Decision.Reasons) == 0 {
		return ""
	}
	first := r.Decision.Reasons[0]
	if entry, ok := policy.Explain(first.Code); ok {
		return entry.Remedy
	}
	return first.Detail
}

func (r *Result) encoding() string {
	switch {
	case !r.Sized:
		return ""
	case r.Size.Alphabet == gsm.GSM7:
		return "GSM7"
	default:
		return "UCS2"
	}
}

func (r *Result) due() string {
	if r.Decision.Due.IsZero() {
		return ""
	}
	return r.Decision.Due.In(policy.IST).Format(time.RFC3339)
}

// reason and result are a result as JSON.
type reason struct {
	Code     string            `json:"code"`
	Detail   string            `json:"detail"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

type result struct {
	Line      int      `json:"line"`
	Reference string   `json:"clientReference,omitempty"`
	Outcome   string   `json:"outcome"`
	Reasons   []reason `json:"reasons,omitempty"`
	Remedy    string   `json:"remedy,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
	Category  string   `json:"category,omitempty"`
	To        string   `json:"to,omitempty"`
	Encoding  string   `json:"encoding,omitempty"`
	Units     int      `json:"units,omitempty"`
	Segments  int      `json:"segments,omitempty"`
	Due       string   `json:"dueTime,omitempty"`
	RulePack  string   `json:"rulePack,omitempty"`
	Error     string   `json:"error,omitempty"`
}

type jsonWriter struct {
	out  *bufio.Writer
	json *json.Encoder
	pack string
}

// NewJSONWriter writes a JSON document a line.
func NewJSONWriter(w io.Writer, pack string) Writer {
	out := bufio.NewWriterSize(w, 64<<10)
	j := json.NewEncoder(out)
	j.SetEscapeHTML(false)
	return &jsonWriter{out, j, pack}
}

// Flush implements Writer.
func (w *jsonWriter) Flush() error { return w.out.Flush() }

// Write implements Writer.
func (w *jsonWriter) Write(r *Result) error {
	o := result{Line: r.Line, Reference: r.Ref, Outcome: r.Outcome()}
	if r.Err != nil {
		o.Error = r.Err.Error()
		return w.json.Encode(o)
	}
	for _, x := range r.Decision.Reasons {
		o.Reasons = append(o.Reasons, reason{x.Code, x.Detail, x.Metadata})
	}
	o.Remedy, o.Warnings, o.Category, o.To, o.Due = r.Remedy(), r.Decision.Warnings.Codes(), r.Category.String(), r.To, r.due()
	o.Encoding, o.Units, o.Segments, o.RulePack = r.encoding(), r.Size.Units, r.Size.Segments, w.pack
	return w.json.Encode(o)
}

type csvWriter struct {
	csv    *csv.Writer
	pack   string
	begun  bool
	record [12]string
}

// NewCSVWriter writes CSV with a header row.
func NewCSVWriter(w io.Writer, pack string) Writer {
	return &csvWriter{csv: csv.NewWriter(bufio.NewWriterSize(w, 64<<10)), pack: pack}
}

// Flush implements Writer.
func (w *csvWriter) Flush() error {
	w.csv.Flush()
	return w.csv.Error()
}

// Write implements Writer.
func (w *csvWriter) Write(r *Result) error {
	if !w.begun {
		w.begun = true
		if err := w.csv.Write([]string{"line", "client_reference", "outcome", "reasons", "detail", "remedy", "category", "to", "encoding", "segments",
			"due_time", "rule_pack"}); err != nil {
			return err
		}
	}
	w.record = [...]string{strconv.Itoa(r.Line), guard(r.Ref), r.Outcome(), "", "", r.Remedy(), r.Category.String(), r.To, r.encoding(), "", r.due(), w.pack}
	var codes []string
	for _, x := range r.Decision.Reasons {
		codes = append(codes, x.Code)
	}
	w.record[3] = strings.Join(codes, " ")
	if len(r.Decision.Reasons) > 0 {
		w.record[4] = r.Decision.Reasons[0].Detail
	}
	if r.Sized {
		w.record[9] = strconv.Itoa(r.Size.Segments)
	}
	if r.Err != nil {
		w.record[4] = r.Err.Error()
	}
	return w.csv.Write(w.record[:])
}

// guard keeps a spreadsheet program from taking a sender's text for a formula.
func guard(text string) string {
	if text != "" && strings.IndexByte("=+-@\t\r", text[0]) >= 0 {
		return "'" + text
	}
	return text
}
