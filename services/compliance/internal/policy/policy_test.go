package policy_test

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

func builtin(t testing.TB) policy.Packs {
	t.Helper()
	packs, err := policy.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return packs
}

// TestPackInForce: by date, the day beginning at midnight IST; a draft never (requirement 38).
func TestPackInForce(t *testing.T) {
	packs := builtin(t)
	for at, want := range map[string]string{
		"2024-01-01T00:00:00Z": "2024-12-11", // before all: the first
		"2025-05-05T18:29:59Z": "2024-12-11",
		"2025-05-05T18:30:00Z": "2025-05-06",
		"2026-01-16T18:29:59Z": "2025-05-06",
		"2026-01-16T18:30:00Z": "2026-01-17",
		"2026-11-22T00:00:00Z": "2026-01-17",
		"2030-01-01T00:00:00Z": "2026-01-17",
	} {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := packs.At(when).Version; got != want {
			t.Errorf("at %s: %s, want %s", at, got, want)
		}
	}
	if draft := packs.Version("third-amendment-draft"); draft == nil || !draft.Draft || packs.Version("x") != nil {
		t.Errorf("the draft: %+v", draft)
	}
	for _, p := range packs {
		if p.Jurisdiction != "India" || !strings.HasPrefix(p.Source, "https://") || p.Regulation == "" {
			t.Errorf("%s: %+v", p.Version, p)
		}
	}
}

func TestPackRefusals(t *testing.T) {
	good, err := os.ReadFile("packs/2026-01-17.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	pack := string(good)
	if _, err := policy.LoadPacks(fstest.MapFS{"a.yaml": file(pack)}); err != nil {
		t.Fatal(err)
	}
	for name, fs := range map[string]fstest.MapFS{
		"no rule packs":               {},
		"no rule packs but drafts":    {"a.yaml": file("draft: true\n" + pack)},
		"field colour not found":      {"a.yaml": file(pack + "colour: red\n")},
		"required":                    {"a.yaml": file("version: x\n")},
		"is there twice":              {"a.yaml": file(pack), "b.yaml": file(pack)},
		"six_only is missing":         {"a.yaml": file(strings.Replace(pack, "six_only: false, ", "", 1))},
		"neither refuse nor allow":    {"a.yaml": file(strings.Replace(pack, "variables: refuse", "variables: maybe", 1))},
		"must open before":            {"a.yaml": file(strings.Replace(pack, `"21:00"`, `"10:01"`, 1))},
		"none of enforce, warn":       {"a.yaml": file(strings.Replace(pack, "category_digit: enforce", "category_digit: yes", 1))},
		"transactional.max_age are r": {"a.yaml": file(strings.Replace(pack, "max_age: 30m, ", "", 1))},
	} {
		if _, err := policy.LoadPacks(fs); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWindow: next is inside the window, not before the time asked for, and nothing between is inside. Before 1970 too.
func TestWindow(t *testing.T) {
	w := policy.Window{Open: 10 * time.Hour, Close: 21 * time.Hour}
	inside := func(at time.Time) bool { h := at.In(policy.IST).Hour(); return h >= 10 && h < 21 }
	for _, start := range []time.Time{time.Date(2026, 3, 29, 0, 0, 0, 1, time.UTC), time.Date(1969, 12, 30, 0, 0, 0, 0, time.UTC)} {
		for minute := range 3 * 24 * 60 {
			at := start.Add(time.Duration(minute) * time.Minute)
			next := w.Next(at)
			if !inside(next) || next.Before(at) || inside(at) && !next.Equal(at) || !inside(at) && inside(next.Add(-1)) {
				t.Fatalf("after %s comes %s", at, next)
			}
		}
	}
}
