package content_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/onlinesms/onlinesms/services/compliance/internal/content"
)

type oneCase struct {
	ID, Text string
	IDs      []string
	Want     []string
	NoneOf   []string `yaml:"none_of"`
}

// TestCases runs every case file, S01-S09 and requirements 45 and 46 among them: a case is added without Go.
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
		var f struct{ Cases []oneCase }
		if err := yaml.Unmarshal(raw, &f); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, c := range f.Cases {
			t.Run(filepath.Base(file)+"/"+c.ID, c.run)
		}
	}
}

func (c *oneCase) run(t *testing.T) {
	var s content.Scanner
	got := []string{}
	for _, f := range s.Append(nil, c.Text, c.IDs...) {
		got = append(got, describe(c.Text, f))
		if f.RuneStart != utf8.RuneCountInString(c.Text[:f.Start]) || f.RuneEnd != utf8.RuneCountInString(c.Text[:f.End]) {
			t.Errorf("%+v: runes are not those of the bytes", f)
		}
		for _, name := range c.NoneOf {
			if f.Kind.String() == name {
				t.Errorf("%s found", name)
			}
		}
	}
	if diff := cmp.Diff(c.Want, got); diff != "" && c.NoneOf == nil {
		t.Errorf("findings: %s", diff)
	}
}

func describe(text string, f content.Finding) string {
	certainty := "possible"
	if f.Certain {
		certainty = "certain"
	}
	return fmt.Sprintf("%s %s: %s", f.Kind, certainty, text[f.Start:f.End])
}
