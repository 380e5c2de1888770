package template_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
)

type lintFile struct {
	Whitelist []struct {
		Kind  template.CTAKind
		Value string
	}
	Cases []struct {
		ID, Category, Body string
		Want               []string
	}
}

// TestRequirement17And22Lint runs every case file of Lint: fixed part, variable count and adjacency (17), opt-out of
// promotional templates (22), and the rest. A case is added without Go.
func TestRequirement17And22Lint(t *testing.T) {
	eachFile(t, "lint", func(f *lintFile) {
		list := caseFile{Whitelist: f.Whitelist}
		whitelist := list.whitelist(t)
		for _, c := range f.Cases {
			t.Run(c.ID, func(t *testing.T) {
				found := parse(t, c.Body).Lint(template.Registration{Category: c.Category, Brands: []string{"ABC"}, Whitelist: whitelist})
				got := []string{}
				for _, l := range found {
					got = append(got, string(l.Severity)+" "+l.Code)
					if l.Sentence == "" || l.Remedy == "" {
						t.Errorf("%+v says nothing", l)
					}
				}
				if diff := cmp.Diff(c.Want, got); diff != "" {
					t.Error(diff)
				}
			})
		}
	})
}

func TestLintLeavesOutWhatItCannotKnow(t *testing.T) {
	found := parse(t, "Dear {#alphanumeric#}, your order has been shipped, see https://xyz.in now").Lint(template.Registration{})
	if len(found) != 0 {
		t.Errorf("%+v", found)
	}
}

func TestLintNamesTheVariable(t *testing.T) {
	found := parse(t, "Dear {#alphanumeric#}, order {#var#} has been shipped. - ABC").Lint(template.Registration{})
	if i := slices.IndexFunc(found, func(l template.Lint) bool { return l.Code == template.LintUntyped }); i < 0 || found[i].Variable != 2 {
		t.Errorf("%+v", found)
	}
}
