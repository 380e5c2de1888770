package api

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	"google.golang.org/protobuf/types/known/timestamppb"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Bounds of a message to try: those ingest accepts messages within.
const (
	maxUnits        = 2000 // UTF-16 units of a text, or of all values together
	maxVariables    = 100
	maxName         = 64 // bytes
	maxTo           = 64
	maxWord         = 32 // bytes of a header or an id; longer ones are none
	minValidity     = time.Minute
	maxValidity     = 72 * time.Hour
	defaultValidity = 24 * time.Hour
	maxAhead        = 90 * 24 * time.Hour
	maxViolations   = 100
)

// Words of violations.
const (
	outOfRange = "OUT_OF_RANGE"
	tooLong    = "TOO_LONG"
	conflict   = "CONFLICT"
	required   = "REQUIRED"
)

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

func (c *checker) time(field string, at *timestamppb.Timestamp) {
	if at != nil && !at.IsValid() {
		c.add(field, outOfRange, "a time between the years 1 and 9999")
	}
}

// draft reads a message. Its ids, header and number may be wrong: that is for the rules to say.
func (c *checker) draft(m *compliancev1.ScrubMessage, now time.Time) screening.Draft {
	if m == nil {
		c.add("to", required, "the message is missing")
		return screening.Draft{}
	}
	for _, field := range []struct {
		name, value string
		most        int
	}{{"to", m.GetTo(), maxTo}, {"entity_id", m.GetEntityId(), maxWord}, {"header", m.GetHeader(), maxWord}, {"template_id", m.GetTemplateId(), maxWord}} {
		switch {
		case field.value == "":
			c.add(field.name, required, "the field is missing")
		case len(field.value) > field.most:
			c.add(field.name, tooLong, fmt.Sprintf("at most %d bytes", field.most))
		}
	}
	d := screening.Draft{EntityID: m.GetEntityId(), Header: m.GetHeader(), TemplateID: m.GetTemplateId(),
		Content: screening.Content{To: m.GetTo(), Text: m.GetText(), Values: c.values(m)}}
	d.Schedule, d.Expire = c.times(m, now)
	return d
}

func (c *checker) values(m *compliancev1.ScrubMessage) []template.Value {
	text, variables := m.GetText(), m.GetVariables()
	switch {
	case text == "" && len(variables) == 0:
		c.add("text", required, "either text or variables must be given")
	case text != "" && len(variables) > 0:
		c.add("variables", conflict, "text and variables exclude each other")
	case len(variables) > maxVariables:
		c.add("variables", "TOO_MANY", fmt.Sprintf("at most %d variables", maxVariables))
		return nil
	}
	c.text("text", text, units(text))
	total, values := 0, make([]template.Value, len(variables))
	for i, v := range variables {
		total += units(v.GetValue())
		c.name(variables, i)
		values[i] = template.Value{Name: v.GetName(), Text: v.GetValue()}
	}
	for i := range values {
		c.text(fmt.Sprintf("variables[%d].value", i), values[i].Text, total)
	}
	return values
}

func (c *checker) name(variables []*ingestv1.Variable, i int) {
	name, field := variables[i].GetName(), fmt.Sprintf("variables[%d].name", i)
	if (name == "") != (variables[0].GetName() == "") {
		c.add(field, conflict, "either all variables are named or none is")
	}
	if len(name) > maxName {
		c.add(field, tooLong, fmt.Sprintf("at most %d bytes", maxName))
	}
	for _, before := range variables[:i] {
		if name != "" && before.GetName() == name {
			c.add(field, "DUPLICATE", "this name was given before")
		}
	}
}

// text bounds a text; total is the units of all that counts with it.
func (c *checker) text(field, text string, total int) {
	if strings.ContainsRune(text, 0) {
		c.add(field, "FORMAT", "must be without the character U+0000")
	}
	if total > maxUnits {
		c.add(field, tooLong, fmt.Sprintf("at most %d UTF-16 units in all", maxUnits))
	}
}

// times gives schedule and expiry in whole microseconds, as messages carry them; validity counts from the schedule.
func (c *checker) times(m *compliancev1.ScrubMessage, now time.Time) (schedule, expire time.Time) {
	c.time("schedule_time", m.GetScheduleTime())
	start := now
	if at := m.GetScheduleTime(); at != nil && at.AsTime().After(now) {
		schedule = at.AsTime().Truncate(time.Microsecond)
		start = schedule
	}
	if start.Sub(now) > maxAhead {
		c.add("schedule_time", outOfRange, "at most 90 days ahead")
	}
	validity := defaultValidity
	if m.GetValidityPeriod() != nil {
		validity = m.GetValidityPeriod().AsDuration()
	}
	if validity < minValidity || validity > maxValidity {
		c.add("validity_period", outOfRange, "between 60s and 259200s")
	}
	return schedule, start.Add(validity).Truncate(time.Microsecond)
}

func units(s string) (n int) {
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}
