package template_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
)

type caseFile struct {
	Whitelist []struct {
		Kind  template.CTAKind
		Value string
	}
	Templates map[string]string
	Cases     []struct {
		ID, Template, Text, Want string
		Position                 int
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
		runCases(t, &f)
	}
}

func runCases(t *testing.T, f *caseFile) {
	w := f.whitelist(t)
	parsed := map[string]*template.Template{}
	for id, body := range f.Templates {
		p, err := template.Parse(expand(body), nil)
		if err != nil {
			t.Fatalf("template %s: %v", id, err)
		}
		parsed[id] = p
	}
	var m template.Matcher
	for _, c := range f.Cases {
		t.Run(c.ID, func(t *testing.T) {
			text, _ := template.Normalise(expand(c.Text))
			found := m.Match(parsed[c.Template], text, template.Rules{Whitelist: w})
			got := template.Finding{Code: "accept"}
			if len(found) > 0 {
				got = found[0]
			}
			if got.Code != c.Want || c.Position != 0 && got.Position != c.Position {
				t.Errorf("got %+v, want %s at %d", found, c.Want, c.Position)
			}
		})
	}
}
