package policy_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/onlinesms/onlinesms/services/compliance/internal/complaint"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

// object is a registered object of a case; what is not said is in order.
type object struct {
	ID           string
	Status       string // none: not registered
	AtOperator   string `yaml:"at_operator"`
	Kind         string // of a header
	Telemarketer string // of a chain: the worst of its members
	Last         string // of a chain
	Foreign      bool
	Differs      bool // of a chain
	Unmapped     bool // of a template
	Untyped      bool
	Unlisted     bool
	Unchecked    bool   // of a template: the override
	OptOut       string `yaml:"opt_out"` // of a template: yes, no
	Goods        *int
	Headers      int
	Category     string
	From, Until  time.Time
	AlphaPromo   bool `yaml:"alpha_promo"` // of a route, as the next ones
	SixOnly      bool `yaml:"six_only"`
	Operator     string
}

// oneCase is a message as a case file describes it: everything not said is in order.
type oneCase struct {
	ID, Want, Header        string
	Also, Warn              []string
	Requirement             []int // of the list of what an engine must do; for readers
	Pack                    string
	Rule                    map[string]string // fields of the pack that differ
	Now, Due                time.Time
	Expire, Schedule        time.Time
	Transaction             time.Time
	Category, Requested     string // of the template, of the caller
	Entity, Chain, Template object
	HeaderRow               *object `yaml:"header_row"`
	Route                   object
	Stops                   []string
	Consent, Preference     string
	ConsentRequired         bool `yaml:"consent_required"`
	OptedOut                bool `yaml:"opted_out"`
	Suppressed              bool
	Complaints              string // standing of the entity
	BandOn                  bool   `yaml:"band_on"`
	ClockDoubt              bool   `yaml:"clock_doubt"`
	Landline, Unreadable    bool
	SeriesUnknown           bool     `yaml:"series_unknown"`
	Text                    []string // codes of findings
}

type caseFile struct {
	Now     time.Time
	Headers map[string]object
	Cases   []oneCase
}

var (
	consents = []string{"unknown", "away", "none", "valid", "expired", "revoked", "ended"}
	prefs    = []string{"unknown", "away", "not_blocked", "blocked"}
	answers  = []string{"", "no", "yes"}
	scopes   = []string{"tenant", "entity", "header", "template"}
	standing = []string{"good", "warned", "braked", "stopped"}
)

// index is the place of a word in its enumeration.
func index(t *testing.T, words []string, word, fallback string) uint8 {
	t.Helper()
	if word == "" {
		word = fallback
	}
	i := slices.Index(words, word)
	if i < 0 {
		t.Fatalf("%q is none of %v", word, words)
	}
	return uint8(i)
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

func status(t *testing.T, s string) policy.Status {
	t.Helper()
	if s == "none" {
		return policy.Unknown
	}
	got, err := policy.ParseStatus(s)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func atOperator(t *testing.T, s string) policy.Status {
	t.Helper()
	if s == "" {
		return policy.Unknown
	}
	return status(t, s)
}

func category(t *testing.T, s string) policy.Category {
	t.Helper()
	if s == "none" {
		return policy.NoCategory
	}
	got, err := policy.ParseCategory(s)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

const (
	theEntity, theTemplate = "1701158019811140068", "1107160000000000011"
	theTelemarketer        = "1302157243747322354"
)

func (c *oneCase) facts(t *testing.T, headers map[string]object) *policy.Facts {
	t.Helper()
	f := &policy.Facts{
		Unreadable: c.Unreadable, Mobile: !c.Landline, SeriesUnknown: c.SeriesUnknown,
		Schedule: c.Schedule, Expire: c.Expire, Transaction: c.Transaction, BandOn: c.BandOn, ClockDoubt: c.ClockDoubt,
		Consent:         policy.Consent(index(t, consents, c.Consent, "none")),
		Preference:      policy.Preference(index(t, prefs, c.Preference, "not_blocked")),
		ConsentRequired: c.ConsentRequired, OptedOut: c.OptedOut, Suppressed: c.Suppressed,
		Complaints: complaint.Standing(index(t, standing, c.Complaints, "good")),
		Route: policy.Route{Operator: c.Route.Operator, Telemarketer: c.Route.Telemarketer, AlphaPromo: c.Route.AlphaPromo,
			SixOnly: c.Route.SixOnly},
		Entity: policy.Entity{ID: or(c.Entity.ID, theEntity), Status: status(t, c.Entity.Status), AtOperator: atOperator(t, c.Entity.AtOperator)},
		Chain: policy.Chain{Status: status(t, c.Chain.Status), AtOperator: atOperator(t, c.Chain.AtOperator),
			Telemarketer: status(t, c.Chain.Telemarketer), Last: or(c.Chain.Last, theTelemarketer), Differs: c.Chain.Differs},
		Template: c.template(t),
	}
	if c.Requested != "" {
		f.Requested = category(t, c.Requested)
	}
	for _, scope := range c.Stops {
		f.Stops |= 1 << index(t, scopes, scope, "")
	}
	for _, code := range c.Text {
		f.Text = append(f.Text, policy.R(code))
	}
	f.Header.Text = or(c.Header, "ABCBNK")
	if h, ok := headers[f.Header.Text]; ok {
		c.header(t, &f.Header, h)
	}
	return f
}

func (c *oneCase) header(t *testing.T, into *policy.Header, h object) {
	t.Helper()
	if c.HeaderRow != nil {
		kind := h.Kind
		h = *c.HeaderRow
		h.Kind = or(h.Kind, kind)
	}
	kind, err := policy.ParseKind(h.Kind)
	if err != nil {
		t.Fatal(err)
	}
	into.Kind, into.Status, into.AtOperator = kind, status(t, h.Status), atOperator(t, h.AtOperator)
	into.OfEntity, into.From, into.Until = !h.Foreign, h.From, h.Until
}

func (c *oneCase) template(t *testing.T) policy.Template {
	t.Helper()
	o := &c.Template
	goods := -1
	if o.Goods != nil {
		goods = *o.Goods
	}
	return policy.Template{ID: or(o.ID, theTemplate), Status: status(t, o.Status), AtOperator: atOperator(t, o.AtOperator),
		Category: category(t, or(c.Category, "service")), Goods: goods, OfEntity: !o.Foreign, OfHeader: !o.Unmapped,
		Headers: max(o.Headers, 1), Untyped: o.Untyped, Unlisted: o.Unlisted, PreferenceUnchecked: o.Unchecked,
		OptOut: policy.Answer(index(t, answers, o.OptOut, "yes")), From: o.From, Until: o.Until}
}

// pack is the one in force, or the one named, with the rules that differ.
func (c *oneCase) pack(t *testing.T, now time.Time) *policy.Pack {
	t.Helper()
	pack := *builtin(t).At(now)
	if c.Pack != "" {
		pack = *builtin(t).Version(c.Pack)
	}
	strict := func(s string) policy.Strictness {
		return policy.Strictness(index(t, []string{"ignore", "warn", "enforce"}, s, ""))
	}
	for rule, value := range c.Rule {
		switch rule {
		case "six_only":
			pack.SixOnly = value == "true"
		case "category_digit":
			pack.CategoryDigit = strict(value)
		case "opt_out":
			pack.OptOut = strict(value)
		case "transaction_old":
			pack.Transaction.Old = strict(value)
		case "transaction_missing":
			pack.Transaction.Missing = strict(value)
		case "chain":
			pack.Chain = value == "enforce"
		default:
			t.Fatalf("%s is no rule of the test", rule)
		}
	}
	return &pack
}

// TestCases runs every case file: H01-H22, I01-I06, W01-W15 and more. A case is added without Go.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no case files: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f caseFile
		decoder := yaml.NewDecoder(bytes.NewReader(raw))
		decoder.KnownFields(true)
		if err := decoder.Decode(&f); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, c := range f.Cases {
			t.Run(filepath.Base(file)+"/"+c.ID, func(t *testing.T) { c.run(t, &f) })
		}
	}
}

func (c *oneCase) run(t *testing.T, f *caseFile) {
	now := c.Now
	if now.IsZero() {
		now = f.Now
	}
	d := policy.Evaluate(c.pack(t, now), c.facts(t, f.Headers), now)
	var got []string
	for _, r := range d.Reasons {
		got = append(got, r.Code)
		if r.Detail == "" {
			t.Errorf("%s has no sentence", r.Code)
		}
	}
	var want []string
	if c.Want != "cleared" {
		want = append([]string{c.Want}, c.Also...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reasons: %s", diff)
	}
	if diff := cmp.Diff(c.Warn, d.Warnings.Codes()); diff != "" {
		t.Errorf("warnings: %s", diff)
	}
	if (d.Outcome == policy.Held) != !c.Due.IsZero() || !d.Due.Equal(c.Due) {
		t.Errorf("%s due %s, want due %s", d.Outcome, d.Due, c.Due)
	}
}
