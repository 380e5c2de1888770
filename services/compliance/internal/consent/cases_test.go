package consent_test

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

const theEntity = "1701158019811140068"

var ist = time.FixedZone("IST", 19800)

// moment reads a time of a case file.
func moment(t *testing.T, s string) time.Time {
	t.Helper()
	if s == "" {
		return time.Time{}
	}
	for _, form := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05"} {
		if at, err := time.ParseInLocation(form, s, ist); err == nil {
			return at
		}
	}
	t.Fatalf("%q is no time", s)
	return time.Time{}
}

type oneEvent struct{ Kind, At, Entity, Purpose, Basis, Contract, Expires, Becomes string }

type oneOptOut struct{ Scope, Object, At string }

type oneCase struct {
	ID           string
	Requirement  []int
	Events       []oneEvent
	OptOuts      []oneOptOut `yaml:"opt_outs"`
	AskedPurpose string      `yaml:"asked_purpose"`
	Now          string
	Promotion    string // what it is worth for a promotional message; empty: nothing
	Contract     string // for a service message; not looked at when empty
	Ask          string // reason why he must not be asked
}

func or(s, usual string) string {
	if s == "" {
		return usual
	}
	return s
}

func cases(t *testing.T) (all []oneCase) {
	t.Helper()
	raw, err := os.ReadFile("testdata/cases/worth.yaml")
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	decoder.KnownFields(true)
	if err := decoder.Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCases runs the case file: D25-D28 and more. A case is added without Go.
func TestCases(t *testing.T) {
	named := map[int]bool{}
	for _, c := range cases(t) {
		for _, n := range c.Requirement {
			named[n] = true
		}
		t.Run(c.ID, func(t *testing.T) { c.run(t) })
	}
	for _, n := range []int{30, 31, 32, 33, 34} {
		if !named[n] {
			t.Errorf("no case names requirement %d", n)
		}
	}
}

func (c *oneCase) run(t *testing.T) {
	records := map[consent.Key]*consent.Record{}
	var order []consent.Key
	for _, e := range c.Events {
		w := e.wanted(t)
		if records[w.Key] == nil {
			records[w.Key] = &consent.Record{Key: w.Key}
			order = append(order, w.Key)
		}
		e.apply(t, records[w.Key], w)
	}
	var all, of []consent.Record
	for _, k := range order {
		if all = append(all, *records[k]); k.Entity == theEntity {
			of = append(of, *records[k])
		}
	}
	now := moment(t, c.Now)
	if got := consent.Promotion(of, or(c.AskedPurpose, consent.DefaultPurpose), now); string(got) != c.Promotion {
		t.Errorf("worth %q for promotion, want %q", got, c.Promotion)
	}
	if got := consent.Contract(of, now); c.Contract != "" && string(got) != c.Contract {
		t.Errorf("worth %q for service, want %q", got, c.Contract)
	}
	c.ask(t, all, now)
}

// ask compares whether he may be asked.
func (c *oneCase) ask(t *testing.T, all []consent.Record, now time.Time) {
	var outs []consent.OptOut
	for _, o := range c.OptOuts {
		outs = append(outs, consent.OptOut{Scope: consent.Scope(o.Scope), Object: o.Object, Since: moment(t, o.At)})
	}
	until := consent.CoolingUntil(consent.LastWithdrawal(theEntity, all, outs, now), now)
	if until.IsZero() != (c.Ask == "") {
		t.Errorf("not to be asked until %v, want %q", until, c.Ask)
	}
	if err := consent.ErrCoolingOff(until); c.Ask != "" && (reasonOf(err) != c.Ask || errs.KindOf(err) != errs.Denied) {
		t.Errorf("%v", err)
	}
}

func (e *oneEvent) wanted(t *testing.T) consent.Wanted {
	t.Helper()
	w := consent.Wanted{Kind: consent.Kind(e.Kind), Occur: moment(t, e.At), Source: "api",
		Key:   consent.Key{Entity: or(e.Entity, theEntity), Purpose: e.Purpose, Basis: consent.Basis(e.Basis), Contract: e.Contract},
		Grant: consent.Grant{Method: "web_form", Expires: moment(t, e.Expires)}}
	if wrong := w.Complete(func(s string) bool { return len(s) == 19 }, w.Occur.Add(time.Hour)); len(wrong) > 0 {
		t.Fatalf("%+v", wrong)
	}
	return w
}

// apply folds the event in and compares what becomes of it.
func (e *oneEvent) apply(t *testing.T, r *consent.Record, w consent.Wanted) {
	t.Helper()
	kind, changed, err := r.Next(w.Kind, w.Occur, w.Occur)
	got := string(kind)
	switch {
	case err != nil:
		got = reasonOf(err)
	case !changed:
		got = "nothing"
	}
	if want := or(e.Becomes, e.Kind); got != want {
		t.Errorf("%s at %s becomes %s, want %s", e.Kind, e.At, got, want)
	}
	if err == nil && changed {
		r.Apply(&consent.Event{ID: uuid.New(), Consent: r.ID, Key: w.Key, Kind: kind, Grant: w.Grant, Occur: w.Occur})
	}
}

// reasonOf is the canonical reason of an error; empty for none.
func reasonOf(err error) string {
	if e, ok := errors.AsType[*errs.Error](err); ok {
		return e.Reason
	}
	return ""
}
