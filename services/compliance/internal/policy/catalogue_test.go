package policy_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

func decode(t *testing.T, path string, into any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// TestCatalogue: every entry is whole, in the words it may use, and once there, by name and by alias.
func TestCatalogue(t *testing.T) {
	form, seen := regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$`), map[string]bool{}
	for _, e := range policy.Catalogue() {
		if !form.MatchString(e.Reason) || e.Title == "" || e.Remedy == "" || e.Remedy[len(e.Remedy)-1] != '.' ||
			!slices.Contains([]string{"refusal", "hold", "warning", "failure"}, e.Severity) ||
			!slices.Contains([]string{"principal_entity", "telemarketer", "operator", "subscriber", "platform"}, e.Owner) ||
			!slices.Contains([]string{"never", "after_change", "later", "deferred", "once", "whole"}, e.Retry) {
			t.Errorf("%+v", e)
		}
		for _, word := range append([]string{e.Reason}, e.Aliases...) {
			if seen[word] {
				t.Errorf("%s is there twice", word)
			}
			seen[word] = true
			if found, ok := policy.Explain(word); !ok || found.Reason != e.Reason {
				t.Errorf("%s explains %+v", word, found)
			}
		}
		if r := policy.R(e.Reason); r.Detail != e.Remedy {
			t.Errorf("%s says %q", e.Reason, r.Detail)
		}
	}
	if _, ok := policy.Explain("NO_SUCH_WORD"); ok || len(seen) < 75 {
		t.Errorf("%d words", len(seen))
	}
}

// TestAliases: what vectors and papers call them.
func TestAliases(t *testing.T) {
	for alias, want := range map[string]string{"NOT_MATCHED": "TEMPLATE_NOT_MATCHED", "VAR_TOO_LONG": "TEMPLATE_VARIABLE_TOO_LONG",
		"650": policy.PreferenceBlocked, "651": policy.PromoWindow, "KILL_SWITCH": policy.SendingStopped} {
		if e, ok := policy.Explain(alias); !ok || e.Reason != want {
			t.Errorf("%s: %+v", alias, e)
		}
	}
}

// TestPublicCatalogue (requirement 76): the catalogue the door serves has every reason in the same words.
func TestPublicCatalogue(t *testing.T) {
	type entry struct{ Reason, Title, Severity, Owner, Retry, Remedy string }
	var file struct{ Reasons []entry }
	decode(t, "../../../ingest/internal/door/reasons.yaml", &file)
	public := map[string]entry{}
	for _, e := range file.Reasons {
		public[e.Reason] = e
	}
	for _, e := range policy.Catalogue() {
		want := entry{e.Reason, e.Title, e.Severity, e.Owner, e.Retry, e.Remedy}
		if diff := cmp.Diff(want, public[e.Reason]); diff != "" {
			t.Errorf("%s: %s", e.Reason, diff)
		}
	}
}

// basic are the tables that dispatch reads as one.
var basic = []string{"smpp", "a", "b", "c", "d", "t"}

// codesOf are all codes of an entry in dispatch's table of this name.
func codesOf(e *policy.Entry, table string) (codes []string) {
	tables := []string{table}
	if table == "" {
		tables = basic
	}
	for _, t := range tables {
		codes = append(codes, e.Codes[t]...)
		for _, code := range e.BySuspension[t] {
			codes = append(codes, code)
		}
	}
	return codes
}

// TestCodesAgreeWithDispatch (requirement 58): what dispatch takes an operator's code for is a reason that predicts this
// code, and every code predicted is one that dispatch knows, by table.
func TestCodesAgreeWithDispatch(t *testing.T) {
	var rows []struct {
		Table, Reason string
		Codes         []string
	}
	decode(t, "../../../dispatch/internal/route/codes.yaml", &rows)
	meaning := map[[2]string]string{}
	for _, row := range rows {
		e, ok := policy.Explain(row.Reason)
		if !ok {
			t.Errorf("%s is not in the catalogue", row.Reason)
			continue
		}
		for _, code := range row.Codes {
			meaning[[2]string{row.Table, code}] = row.Reason
			if !slices.Contains(codesOf(e, row.Table), code) {
				t.Errorf("dispatch takes %s (table %q) for %s, which the catalogue does not have it for", code, row.Table, row.Reason)
			}
		}
	}
	predicted := 0
	for _, e := range policy.Catalogue() {
		for _, table := range []string{"", "a_old", "e"} {
			for _, code := range codesOf(&e, table) {
				predicted++
				if meaning[[2]string{table, code}] == "" {
					t.Errorf("%s predicts %s (table %q), which dispatch does not know", e.Reason, code, table)
				}
			}
		}
	}
	if predicted < 200 {
		t.Errorf("%d codes", predicted)
	}
}

// TestPredictedCodes runs the files of testdata/codes: X07-X09 and more. A case is added without Go.
func TestPredictedCodes(t *testing.T) {
	files, err := filepath.Glob("testdata/codes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no case files: %v", err)
	}
	for _, file := range files {
		var cases []struct{ ID, Reason, Suspension, Table, Code string }
		decode(t, file, &cases)
		for _, c := range cases {
			t.Run(c.ID, func(t *testing.T) {
				r := policy.R(c.Reason)
				if c.Suspension != "" {
					r = policy.R(c.Reason, "suspension", c.Suspension)
				}
				if got := policy.OperatorCode(c.Table, r); got != c.Code {
					t.Errorf("%q, want %q", got, c.Code)
				}
			})
		}
	}
}
