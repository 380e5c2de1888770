package preferencetest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Noon is the instant of the suite's runs.
var Noon = time.Date(2026, 11, 28, 12, 0, 0, 0, preference.IST)

// NewRun makes a run of Noon.
func NewRun(coverage preference.Coverage) preference.Run {
	return preference.NewRun(uuid.Must(uuid.NewV7()), "test provider", "ref-1", Noon, coverage)
}

// MustNumber reads ten digits.
func MustNumber(t testing.TB, national string) preference.Number {
	t.Helper()
	n, ok := preference.ParseNumber("+91" + national)
	if !ok {
		t.Fatalf("%q is no number", national)
	}
	return n
}

// RunRegisterTests holds a register to what it promises. open makes an empty one.
func RunRegisterTests(t *testing.T, open func(*testing.T) Register) {
	tests := map[string]func(*testing.T, Register){
		"nothing is known without a file":      withoutFile,
		"preferences of every form":            everyForm,
		"numbers outside of a list":            outsideOfList,
		"the last line of a number counts":     lastLine,
		"wrong lines leave the file in force":  wrongLines,
		"a run is fresh until the day is over": freshness,
		"changes are seen":                     changes,
		"a new file takes changes back":        newFile,
		"runs are judged":                      runs,
		"a cancelled import changes nothing":   cancelled,
		"an empty file changes nothing":        empty,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func load(t *testing.T, r Register, coverage preference.Coverage, lines ...string) preference.Run {
	t.Helper()
	run, err := r.Import(context.Background(), NewRun(coverage), strings.NewReader(strings.Join(lines, "\n")), nil)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func expect(t *testing.T, r Register, national, preferences string, scrubbed bool) {
	t.Helper()
	got := r.Look(MustNumber(t, national))
	if got.Scrubbed != scrubbed || got.Preference.String() != preferences {
		t.Errorf("number %s: %s, scrubbed %t; want %s, %t", national, got.Preference, got.Scrubbed, preferences, scrubbed)
	}
}

func withoutFile(t *testing.T, r Register) {
	expect(t, r, "9876543210", "none", false)
	if run, fresh := r.Freshness(Noon); fresh || run.Numbers != 0 {
		t.Errorf("fresh without a file: %+v", run)
	}
	if err := r.Update(preference.Change{Number: 1, Preference: preference.Full}); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("a change without a file: %v", err)
	}
}

func everyForm(t *testing.T, r Register) {
	run := load(t, r, preference.All, "number,preference,modes,days,bands", "9876543210,full", "9876543211,promo", "+919876543212,1|4", "09876543213,,sms",
		"919876543214,,,sun|holiday", "9876543215,8,voice|robo,mon,1|9", "9876543216,none", "9876543217", "6000000000,0", "9999999999,50", "")
	for national, want := range map[string]string{"9876543210": "full", "9876543211": "promo", "9876543212": "1|4", "9876543213": ",sms", "9876543214": ",,sun|holiday",
		"9876543215": "8,voice|robo,mon,1|9", "9876543216": "none", "9876543217": "full", "6000000000": "full", "9999999999": "promo", "9876543218": "none"} {
		expect(t, r, national, want, true)
	}
	if run.Numbers != 10 || run.Suppressed != 9 || run.Lines != 11 {
		t.Errorf("counts of %+v", run)
	}
}

func outsideOfList(t *testing.T, r Register) {
	load(t, r, preference.Listed, "9876543210,none", "9876543211,full")
	expect(t, r, "9876543210", "none", true)
	expect(t, r, "9876543211", "full", true)
	expect(t, r, "9876543212", "none", false)
}

func lastLine(t *testing.T, r Register) {
	run := load(t, r, preference.All, "9876543210,full", "9876543211,1,sms,sun,9", "9876543210,promo", "9876543211,full")
	expect(t, r, "9876543210", "promo", true)
	expect(t, r, "9876543211", "full", true)
	if run.Numbers != 2 || run.Lines != 4 {
		t.Errorf("counts of %+v", run)
	}
}

func wrongLines(t *testing.T, r Register) {
	load(t, r, preference.All, "9876543210,full")
	_, err := r.Import(context.Background(), NewRun(preference.All), strings.NewReader("9876543211,full\n5876543210,full\n9876543212,purple\n\n98765\n9876543213,1,sms,sun,10\n"), nil)
	e, ok := errors.AsType[*errs.Error](err)
	if !ok || e.Kind != errs.Invalid || e.Reason != preference.ReasonFileInvalid {
		t.Fatalf("error %v", err)
	}
	var fields []string
	for _, v := range e.Violations {
		fields = append(fields, v.Field)
		if strings.Contains(v.Detail, "98765") {
			t.Errorf("the error shows a number: %s", v.Detail)
		}
	}
	if want := []string{"line 2", "line 3", "line 5", "line 6"}; !cmp.Equal(fields, want) {
		t.Errorf("violations of %v, want %v", fields, want)
	}
	expect(t, r, "9876543210", "full", true)
	expect(t, r, "9876543211", "none", true)
}

func freshness(t *testing.T, r Register) {
	want := load(t, r, preference.All, "9876543210,full")
	for _, test := range []struct {
		at    time.Time
		fresh bool
	}{{Noon, true}, {Noon.Add(-time.Second), false},
		{time.Date(2026, 11, 28, 23, 59, 59, 999_999_999, preference.IST), true}, {time.Date(2026, 11, 29, 0, 0, 0, 0, preference.IST), false},
		{time.Date(2026, 11, 28, 18, 30, 1, 0, time.UTC), false}} {
		if run, fresh := r.Freshness(test.at); fresh != test.fresh || !cmp.Equal(run, want) {
			t.Errorf("at %s: fresh %t of %+v", test.at, fresh, run)
		}
	}
}

func changes(t *testing.T, r Register) {
	load(t, r, preference.Listed, "9876543210,full", "9876543211,1")
	rare, err := preference.Parse("2|3,live,tue,4")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Update(preference.Change{Number: MustNumber(t, "9876543210"), Preference: preference.None},
		preference.Change{Number: MustNumber(t, "9876543212"), Preference: rare}, preference.Change{Number: MustNumber(t, "7000000000"), Preference: preference.Full}); err != nil {
		t.Fatal(err)
	}
	expect(t, r, "9876543210", "none", true)
	expect(t, r, "9876543211", "1", true)
	expect(t, r, "9876543212", "2|3,live,tue,4", true)
	expect(t, r, "7000000000", "full", true)
	if err := r.Update(preference.Change{Number: preference.Numbers, Preference: preference.Full}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a change of no number: %v", err)
	}
	if err := r.Update(preference.Change{Number: 1, Preference: 3}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a change to no preference: %v", err)
	}
}

func newFile(t *testing.T, r Register) {
	load(t, r, preference.All, "9876543210,full")
	if err := r.Update(preference.Change{Number: MustNumber(t, "9876543211"), Preference: preference.Full}); err != nil {
		t.Fatal(err)
	}
	load(t, r, preference.All, "9876543212,full")
	expect(t, r, "9876543210", "none", true)
	expect(t, r, "9876543211", "none", true)
	expect(t, r, "9876543212", "full", true)
}

func runs(t *testing.T, r Register) {
	good := NewRun(preference.All)
	for name, spoil := range map[string]func(*preference.Run){
		"no id":             func(r *preference.Run) { r.ID = uuid.Nil },
		"no provider":       func(r *preference.Run) { r.Provider = "" },
		"a long reference":  func(r *preference.Run) { r.Reference = strings.Repeat("x", 127) },
		"no time":           func(r *preference.Run) { r.At = time.Time{} },
		"over before begun": func(r *preference.Run) { r.Expires = r.At.Add(-time.Second) },
		"unknown coverage":  func(r *preference.Run) { r.Coverage = 2 },
	} {
		bad := good
		spoil(&bad)
		if _, err := r.Import(context.Background(), bad, bytes.NewReader(nil), nil); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func empty(t *testing.T, r Register) {
	load(t, r, preference.All, "9876543210,full")
	for _, file := range []string{"", "\n\r\n", "number,preference\n"} {
		if _, err := r.Import(context.Background(), NewRun(preference.All), strings.NewReader(file), nil); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v", file, err)
		}
	}
	expect(t, r, "9876543210", "full", true)
}

func cancelled(t *testing.T, r Register) {
	load(t, r, preference.All, "9876543210,full")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Import(ctx, NewRun(preference.All), strings.NewReader("9876543211,full\n"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	expect(t, r, "9876543210", "full", true)
	expect(t, r, "9876543211", "none", true)
}
