package message

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Bounds of a message. Text is counted in UTF-16 units because that is what a segment holds.
const (
	MaxTextUnits       = 2000
	MaxVariables       = 100
	MaxReference       = 64 // bytes of printable ASCII
	MaxBatch           = 1000
	MinValidity        = time.Minute
	MaxValidity        = 72 * time.Hour
	DefaultValidity    = 24 * time.Hour
	MaxScheduleAhead   = 90 * 24 * time.Hour
	maxRecipientBytes  = 64 // longer is no number in any notation
	maxHeaderBytes     = 32 // headers have 3 to 9 characters; room for the prefix and suffix that compliance explains
	maxVariableName    = 64
	dltIDDigits        = 19 // DLT rules 1.2
	maxViolations      = 100
	reasonRecipient    = "RECIPIENT_INVALID"
	recipientExplained = "the recipient is not an Indian mobile number: 10 digits, the first 6 to 9, with +91 before them"
)

// Variable is one value for a template's variable; Name is empty when values go by position.
type Variable struct {
	Name, Value string
}

// Draft is a message as its sender wrote it.
type Draft struct {
	To, EntityID, Header, TemplateID string
	Text                             string
	Variables                        []Variable
	ClientReference                  string
	Validity                         *time.Duration // nil for DefaultValidity
	Schedule                         time.Time      // zero for at once
}

// Message is a draft in its normal form.
type Message struct {
	To              string // E.164; as it was written when Refusal is set
	EntityID        string
	Header          string
	TemplateID      string
	Text            string // empty when Variables are given
	Variables       []Variable
	ClientReference string
	Expire          time.Time // no submit after it
	Schedule        time.Time // zero for at once
	Refusal         *Reason   // set when no rule could allow the message
}

// Reason says why; the same in every place it appears (type.v1.Reason).
type Reason struct {
	Code, Detail string
	Metadata     map[string]string
}

// checker collects violations under a path such as "messages[3].".
type checker struct {
	path  string
	found []errs.Violation
}

func (c *checker) add(field, reason, detail string) {
	if len(c.found) < maxViolations {
		c.found = append(c.found, errs.Violation{Field: c.path + field, Reason: reason, Detail: detail})
	}
}

// New gives d its normal form at time now. It reports every malformed field, each under path; without any the message
// can be accepted, be it hopeless (Refusal set) or not.
func New(d Draft, path string, now time.Time) (Message, []errs.Violation) {
	c := checker{path: path}
	m := Message{
		EntityID: d.EntityID, Header: d.Header, TemplateID: d.TemplateID,
		Text: d.Text, Variables: d.Variables, ClientReference: d.ClientReference,
	}
	c.checkAddressing(&d)
	c.checkContent(&d)
	m.Schedule, m.Expire = c.times(&d, now)
	if len(c.found) > 0 {
		return Message{}, c.found
	}
	number, ok := NormalizeNumber(d.To)
	if !ok {
		number, m.Refusal = d.To, &Reason{Code: reasonRecipient, Detail: recipientExplained}
	}
	m.To = number
	return m, nil
}

func (c *checker) checkAddressing(d *Draft) {
	switch {
	case d.To == "":
		c.add("to", "REQUIRED", "the recipient is missing")
	case len(d.To) > maxRecipientBytes:
		c.add("to", "TOO_LONG", fmt.Sprintf("at most %d bytes", maxRecipientBytes))
	case !plain(d.To):
		c.add("to", "FORMAT", "must be UTF-8 without control characters")
	}
	c.checkDLTID("entity_id", "ENTITY_ID_INVALID", d.EntityID)
	c.checkDLTID("template_id", "TEMPLATE_ID_INVALID", d.TemplateID)
	switch {
	case d.Header == "":
		c.add("header", "REQUIRED", "the header is missing")
	case len(d.Header) > maxHeaderBytes:
		c.add("header", "TOO_LONG", fmt.Sprintf("at most %d bytes", maxHeaderBytes))
	case !plain(d.Header):
		c.add("header", "FORMAT", "must be UTF-8 without control characters")
	}
	if len(d.ClientReference) > MaxReference || !printableASCII(d.ClientReference) {
		c.add("client_reference", "FORMAT", fmt.Sprintf("at most %d characters of printable ASCII", MaxReference))
	}
}

func (c *checker) checkDLTID(field, reason, id string) {
	if id == "" {
		c.add(field, "REQUIRED", "the id is missing")
		return
	}
	if len(id) != dltIDDigits || strings.ContainsFunc(id, func(r rune) bool { return r < '0' || r > '9' }) {
		c.add(field, reason, fmt.Sprintf("must be a string of %d digits", dltIDDigits))
	}
}

func (c *checker) checkContent(d *Draft) {
	switch {
	case d.Text == "" && len(d.Variables) == 0:
		c.add("text", "REQUIRED", "either text or variables must be given")
	case d.Text != "" && len(d.Variables) > 0:
		c.add("variables", "CONFLICT", "text and variables exclude each other")
	}
	if !validText(d.Text) {
		c.add("text", "FORMAT", "must be UTF-8 without the character U+0000")
	}
	if units(d.Text) > MaxTextUnits {
		c.add("text", "TOO_LONG", fmt.Sprintf("at most %d UTF-16 units", MaxTextUnits))
	}
	if len(d.Variables) > MaxVariables {
		c.add("variables", "TOO_MANY", fmt.Sprintf("at most %d variables", MaxVariables))
		return
	}
	c.checkVariables(d.Variables)
}

func (c *checker) checkVariables(vars []Variable) {
	total := 0
	for i, v := range vars {
		total += units(v.Value)
		if !validText(v.Value) {
			c.add(fmt.Sprintf("variables[%d].value", i), "FORMAT", "must be UTF-8 without the character U+0000")
		}
		if (v.Name == "") != (vars[0].Name == "") {
			c.add(fmt.Sprintf("variables[%d].name", i), "CONFLICT", "either all variables are named or none is")
		}
		if len(v.Name) > maxVariableName || !plain(v.Name) {
			c.add(fmt.Sprintf("variables[%d].name", i), "FORMAT", fmt.Sprintf("at most %d bytes, no control characters", maxVariableName))
		}
		for _, before := range vars[:i] {
			if v.Name != "" && before.Name == v.Name {
				c.add(fmt.Sprintf("variables[%d].name", i), "DUPLICATE", "this name was given before")
			}
		}
	}
	if total > MaxTextUnits {
		c.add("variables", "TOO_LONG", fmt.Sprintf("at most %d UTF-16 units in all values together", MaxTextUnits))
	}
}

// times gives schedule and expiry in whole microseconds, as they travel; validity counts from the schedule.
func (c *checker) times(d *Draft, now time.Time) (schedule, expire time.Time) {
	start := now
	if d.Schedule.After(now) {
		schedule = d.Schedule.Truncate(time.Microsecond)
		start = schedule
	}
	if start.Sub(now) > MaxScheduleAhead {
		c.add("schedule_time", "OUT_OF_RANGE", "at most 90 days ahead")
	}
	validity := DefaultValidity
	if d.Validity != nil {
		validity = *d.Validity
	}
	if validity < MinValidity || validity > MaxValidity {
		c.add("validity_period", "OUT_OF_RANGE", "between 60s and 259200s")
	}
	return schedule, start.Add(validity).Truncate(time.Microsecond)
}

// plain tells whether s is UTF-8 without control characters.
func plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func validText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

func printableASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e })
}

// units counts UTF-16 units without encoding.
func units(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0xFFFF {
			n++
		}
	}
	return n
}
