package template_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
)

type caseFile struct {
	Requirement int // of the engine's checklist that the file proves; its cases run below that name
	Whitelist   []struct {
		Kind  template.CTAKind
		Value string
	}
	Profile   string // the portal whose spelling the templates have; empty is default
	Templates map[string]string
	Cases     []matchCase
}

// matchCase is one comparison. What is left out is not looked at.
type matchCase struct {
	ID, Template, Text, Want string
	Position, Offset         int
	Variable                 int
	Expected, Found, Fix     string
	Lenient                  *bool
	Values                   []string
}

// differs tells how a finding is not what the case wants.
func (c *matchCase) differs(f template.Finding) string {
	switch {
	case f.Code != c.Want:
		return "code " + f.Code
	case c.Position != 0 && f.Position != c.Position, c.Offset != 0 && f.Offset != c.Offset:
		return fmt.Sprintf("position %d, offset %d", f.Position, f.Offset)
	case c.Variable != 0 && f.Variable != c.Variable:
		return fmt.Sprintf("variable %d", f.Variable)
	case c.Expected != "" && f.Expected != c.Expected, c.Found != "" && f.Found != c.Found:
		return fmt.Sprintf("expected %q, found %q", f.Expected, f.Found)
	case c.Fix != "" && string(f.Fix) != c.Fix:
		return fmt.Sprintf("fix %q", f.Fix)
	default:
		return ""
	}
}

var repetition = regexp.MustCompile(`<(\S+?)\*(\d+)>`)

// expand turns <R*30> into thirty R.
func expand(s string) string {
	return repetition.ReplaceAllStringFunc(s, func(m string) string {
		part := repetition.FindStringSubmatch(m)
		n, _ := strconv.Atoi(part[2])
		return strings.Repeat(part[1], n)
	})
}

func (f *caseFile) whitelist(t *testing.T) *template.Whitelist {
	t.Helper()
	var ctas []template.CTA
	for _, c := range f.Whitelist {
		ctas = append(ctas, template.CTA{Kind: c.Kind, Value: c.Value})
	}
	w, err := template.NewWhitelist(ctas)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// eachFile reads the case files of a folder.
func eachFile[T any](t *testing.T, folder string, run func(f *T)) {
	t.Helper()
	files, err := filepath.Glob("testdata/" + folder + "/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no case files: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f := new(T)
		d := yaml.NewDecoder(bytes.NewReader(raw))
		d.KnownFields(true)
		if err := d.Decode(f); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		run(f)
	}
}

// TestCases runs every case file: a case is added without Go. The requirements of the checklist that are proven by cases
// all have some.
func TestCases(t *testing.T) {
	missing := map[int]bool{11: true, 12: true, 14: true, 15: true, 18: true, 19: true}
	eachFile(t, "cases", func(f *caseFile) {
		delete(missing, f.Requirement)
		t.Run(fmt.Sprintf("Requirement%d", f.Requirement), func(t *testing.T) { runCases(t, f) })
	})
	if len(missing) > 0 {
		t.Errorf("no cases for requirements %v", missing)
	}
}

func runCases(t *testing.T, f *caseFile) {
	w := f.whitelist(t)
	profile := template.Default()
	if f.Profile != "" {
		profile = template.ProfileNamed(f.Profile)
	}
	parsed := map[string]*template.Template{}
	if profile == nil {
		t.Fatalf("no profile %q", f.Profile)
	}
	for id, body := range f.Templates {
		p, err := profile.Parse(expand(body), nil)
		if err != nil {
			t.Fatalf("template %s: %v", id, err)
		}
		parsed[id] = p
	}
	for _, c := range f.Cases {
		t.Run(c.ID, func(t *testing.T) { runCase(t, &c, parsed[c.Template], template.Rules{Whitelist: w}) })
	}
}

func runCase(t *testing.T, c *matchCase, p *template.Template, rules template.Rules) {
	var m template.Matcher
	text, _ := template.Normalise(expand(c.Text))
	found := m.Match(p, text, rules)
	got := template.Finding{Code: "accept"}
	if len(found) > 0 {
		got = found[0]
	}
	if diff := c.differs(got); diff != "" {
		t.Errorf("got %s in %+v, want %+v", diff, found, *c)
	}
	for i := range c.Values {
		c.Values[i] = expand(c.Values[i])
	}
	if c.Values != nil && !slices.Equal(values(&m, text), c.Values) {
		t.Errorf("values %q, want %q", values(&m, text), c.Values)
	}
	lenient := m.Lenient(p, text, rules)
	if c.Lenient != nil && lenient != *c.Lenient {
		t.Errorf("lenient %v", lenient)
	}
	if (got.Code == template.NotMatched || got.Code == template.VariableTooLong) && got.Lenient != lenient {
		t.Errorf("the finding says lenient %v", got.Lenient)
	}
}
