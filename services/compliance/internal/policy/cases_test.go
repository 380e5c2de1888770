package policy_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

type headerRow struct {
	Kind, Status string
	Foreign      bool
}

// oneCase is a message as a case file describes it: everything not said is in order.
type oneCase struct {
	ID, Want, Header, Category              string
	Also                                    []string
	Now, Due, Expire, Schedule              time.Time
	Entity, Template                        string
	EntityStatus                            string `yaml:"entity_status"`
	ChainStatus                             string `yaml:"chain_status"`
	TemplateStatus                          string `yaml:"template_status"`
	TemplateForeign                         bool   `yaml:"template_foreign"`
	Unmapped, Untyped, Landline, Unreadable bool
	Goods                                   *int
	Pack                                    struct {
		SixOnly      bool `yaml:"six_only"`
		IgnoreDigit  bool `yaml:"ignore_digit"`
		NoAlphaPromo bool `yaml:"no_alpha_promo"`
	}
}

type caseFile struct {
	Now     time.Time
	Headers map[string]headerRow
	Cases   []oneCase
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

func (c *oneCase) facts(t *testing.T, headers map[string]headerRow) *policy.Facts {
	t.Helper()
	or := func(s, fallback string) string {
		if s == "" {
			return fallback
		}
		return s
	}
	f := &policy.Facts{
		Unreadable: c.Unreadable, Mobile: !c.Landline, Chain: status(t, c.ChainStatus), Schedule: c.Schedule, Expire: c.Expire,
		Entity: policy.Entity{ID: or(c.Entity, "1701158019811140068"), Status: status(t, c.EntityStatus)},
		Template: policy.Template{ID: or(c.Template, "1107160000000000011"), Status: status(t, c.TemplateStatus), Goods: -1,
			OfEntity: !c.TemplateForeign, OfHeader: !c.Unmapped, Untyped: c.Untyped},
		Header: policy.Header{Text: or(c.Header, "ABCBNK")},
	}
	if c.Goods != nil {
		f.Template.Goods = *c.Goods
	}
	if c.Category != "none" {
		category, err := policy.ParseCategory(or(c.Category, "service"))
		if err != nil {
			t.Fatal(err)
		}
		f.Template.Category = category
	}
	if h, ok := headers[f.Header.Text]; ok {
		kind, err := policy.ParseKind(h.Kind)
		if err != nil {
			t.Fatal(err)
		}
		f.Header.Kind, f.Header.Status, f.Header.OfEntity = kind, status(t, h.Status), !h.Foreign
	}
	return f
}

func (c *oneCase) pack(t *testing.T, now time.Time) *policy.Pack {
	t.Helper()
	packs, err := policy.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	pack := *packs.At(now)
	pack.SixOnly = pack.SixOnly || c.Pack.SixOnly
	pack.CategoryDigit = pack.CategoryDigit && !c.Pack.IgnoreDigit
	pack.AlphaPromo = pack.AlphaPromo && !c.Pack.NoAlphaPromo
	return &pack
}

// TestCases runs every case file: a case is added without Go.
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
		if err := yaml.Unmarshal(raw, &f); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, c := range f.Cases {
			t.Run(c.ID, func(t *testing.T) { c.run(t, &f) })
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
	if len(c.Also) == 0 && len(got) > 0 {
		got = got[:1]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reasons: %s", diff)
	}
	if (d.Outcome == policy.Held) != !c.Due.IsZero() || !d.Due.Equal(c.Due) {
		t.Errorf("%s due %s, want due %s", d.Outcome, d.Due, c.Due)
	}
}
