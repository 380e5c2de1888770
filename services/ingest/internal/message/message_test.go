package message

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// now is the clock of the tests: 2026-11-22 10:00 IST.
var now = time.Date(2026, 11, 22, 4, 30, 0, 0, time.UTC)

func draft() Draft {
	return Draft{
		To: "+919876543210", EntityID: "1701158019811140068", Header: "ABCBNK",
		TemplateID: "1107160000000000011", Text: "482913 is your OTP for ABC login. Do not share it. - ABCBNK",
	}
}

// TestNormalizeNumber: ingest takes every form package msisdn reads, and tells a number in one form.
func TestNormalizeNumber(t *testing.T) {
	for in, want := range map[string]string{"098765 43210": "+919876543210", "+৯১ ৯৮৭৬৫ ৪৩২১০": "+919876543210", "1401234567": ""} {
		if got, ok := NormalizeNumber(in); got != want || ok != (want != "") {
			t.Errorf("NormalizeNumber(%q) = %q, %v", in, got, ok)
		}
	}
	if got := MaskNumber("+919876543210"); got != "+9198XXXXXX10" {
		t.Error(got)
	}
}

func TestNew(t *testing.T) {
	d := draft()
	d.To, d.ClientReference = "098765 43210", "order-17"
	got, violations := New(d, "", now)
	if len(violations) > 0 {
		t.Fatal(violations)
	}
	want := Message{
		To: "+919876543210", EntityID: d.EntityID, Header: "ABCBNK", TemplateID: d.TemplateID, Text: d.Text,
		ClientReference: "order-17", Expire: now.Add(24 * time.Hour),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNewHopeless(t *testing.T) {
	d := draft()
	d.To = "5876543210"
	got, violations := New(d, "", now)
	if len(violations) > 0 || got.Refusal == nil || got.Refusal.Code != "RECIPIENT_INVALID" || got.To != d.To {
		t.Errorf("New = %+v, %v", got, violations)
	}
	if strings.Contains(got.Refusal.Detail, "5876543210") {
		t.Error("the reason holds the number")
	}
}

func TestNewLeavesTheHeadersFormToCompliance(t *testing.T) {
	for _, header := range []string{"VM-ABCBNK", "VM-ABCBNK-S", "+919876543210", "abc", "ABCDEFGHIJ", "எபிசி"} {
		d := draft()
		d.Header = header
		if m, violations := New(d, "", now); len(violations) > 0 || m.Refusal != nil {
			t.Errorf("header %q: %v %v", header, violations, m.Refusal)
		}
	}
}

func TestNewTimes(t *testing.T) {
	minute, hour := time.Minute, time.Hour
	for name, c := range map[string]struct {
		validity         *time.Duration
		schedule         time.Time
		wantSchedule     time.Time
		wantExpireBehind time.Duration
	}{
		"default":   {wantExpireBehind: 24 * time.Hour},
		"a minute":  {validity: &minute, wantExpireBehind: time.Minute},
		"past":      {validity: &hour, schedule: now.Add(-hour), wantExpireBehind: hour},
		"scheduled": {validity: &hour, schedule: now.Add(48 * hour), wantSchedule: now.Add(48 * hour), wantExpireBehind: 49 * hour},
		"farthest":  {schedule: now.Add(MaxScheduleAhead), wantSchedule: now.Add(MaxScheduleAhead), wantExpireBehind: 91 * 24 * hour},
	} {
		d := draft()
		d.Validity, d.Schedule = c.validity, c.schedule
		m, violations := New(d, "", now)
		if len(violations) > 0 || !m.Schedule.Equal(c.wantSchedule) || m.Expire.Sub(now) != c.wantExpireBehind {
			t.Errorf("%s: schedule %v, expire %v, %v", name, m.Schedule, m.Expire, violations)
		}
	}
}

func TestNewMalformed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Draft)
		want   []string // field and reason of each violation
	}{
		"empty":               {func(d *Draft) { *d = Draft{} }, []string{"to REQUIRED", "entity_id REQUIRED", "template_id REQUIRED", "header REQUIRED", "text REQUIRED"}},
		"long recipient":      {func(d *Draft) { d.To = strings.Repeat("9", 65) }, []string{"to TOO_LONG"}},
		"NUL in recipient":    {func(d *Draft) { d.To = "98765\x0043210" }, []string{"to FORMAT"}},
		"I02 18 digits":       {func(d *Draft) { d.EntityID = d.EntityID[1:] }, []string{"entity_id ENTITY_ID_INVALID"}},
		"I04 letter":          {func(d *Draft) { d.EntityID = "170115801981114006X" }, []string{"entity_id ENTITY_ID_INVALID"}},
		"I06 space":           {func(d *Draft) { d.EntityID = " 1701158019811140068" }, []string{"entity_id ENTITY_ID_INVALID"}},
		"Devanagari digit":    {func(d *Draft) { d.TemplateID = "१" + d.TemplateID[3:] }, []string{"template_id TEMPLATE_ID_INVALID"}},
		"long header":         {func(d *Draft) { d.Header = strings.Repeat("A", 33) }, []string{"header TOO_LONG"}},
		"control in header":   {func(d *Draft) { d.Header = "ABC\nNK" }, []string{"header FORMAT"}},
		"text and variables":  {func(d *Draft) { d.Variables = []Variable{{Value: "1"}} }, []string{"variables CONFLICT"}},
		"long text":           {func(d *Draft) { d.Text = strings.Repeat("😀", 1001) }, []string{"text TOO_LONG"}},
		"text not UTF-8":      {func(d *Draft) { d.Text = "\xff" }, []string{"text FORMAT"}},
		"too many variables":  {func(d *Draft) { d.Text = ""; d.Variables = make([]Variable, 101) }, []string{"variables TOO_MANY"}},
		"some named":          {func(d *Draft) { d.Text = ""; d.Variables = []Variable{{"a", "1"}, {"", "2"}} }, []string{"variables[1].name CONFLICT"}},
		"named twice":         {func(d *Draft) { d.Text = ""; d.Variables = []Variable{{"a", "1"}, {"a", "2"}} }, []string{"variables[1].name DUPLICATE"}},
		"long values":         {func(d *Draft) { d.Text = ""; d.Variables = []Variable{{"", strings.Repeat("x", 2001)}} }, []string{"variables TOO_LONG"}},
		"long reference":      {func(d *Draft) { d.ClientReference = strings.Repeat("x", 65) }, []string{"client_reference FORMAT"}},
		"reference not ASCII": {func(d *Draft) { d.ClientReference = "résumé" }, []string{"client_reference FORMAT"}},
		"short validity":      {func(d *Draft) { v := 59 * time.Second; d.Validity = &v }, []string{"validity_period OUT_OF_RANGE"}},
		"long validity":       {func(d *Draft) { v := 73 * time.Hour; d.Validity = &v }, []string{"validity_period OUT_OF_RANGE"}},
		"far schedule":        {func(d *Draft) { d.Schedule = now.Add(MaxScheduleAhead + time.Second) }, []string{"schedule_time OUT_OF_RANGE"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := draft()
			c.change(&d)
			_, violations := New(d, "", now)
			var got []string
			for _, v := range violations {
				got = append(got, v.Field+" "+v.Reason)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	d := draft()
	b.ReportAllocs()
	for b.Loop() {
		if _, violations := New(d, "", now); violations != nil {
			b.Fatal(violations)
		}
	}
}
