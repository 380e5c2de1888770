package policy_test

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

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

func TestPackInForce(t *testing.T) {
	packs := builtin(t)
	for at, want := range map[string]string{
		"2024-01-01T00:00:00Z": "2025-05-06", // before all: the first
		"2025-05-05T18:30:00Z": "2025-05-06", // midnight IST
		"2026-01-16T18:29:59Z": "2025-05-06",
		"2026-01-16T18:30:00Z": "2026-01-17",
		"2026-11-22T00:00:00Z": "2026-01-17",
	} {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := packs.At(when).Version; got != want {
			t.Errorf("at %s: %s, want %s", at, got, want)
		}
	}
}

func TestPackRefusals(t *testing.T) {
	const good = `version: "x"
effective_from: "2025-05-06T00:00:00+05:30"
regulation: r
source: s
promotional_window: {open: "10:00", close: "21:00"}
header: {category_digit: enforce}
untyped_variables: allow
`
	if _, err := policy.LoadPacks(fstest.MapFS{"a.yaml": {Data: []byte(good)}}); err != nil {
		t.Fatal(err)
	}
	for name, fs := range map[string]fstest.MapFS{
		"none":          {},
		"unknown field": {"a.yaml": {Data: []byte(good + "colour: red\n")}},
		"empty":         {"a.yaml": {Data: []byte("version: x\n")}},
	} {
		if _, err := policy.LoadPacks(fs); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestEvaluateIsTotal walks every combination of statuses, flags and times: a decision is always made, a refusal always
// says why, a hold always has a later time, and the same facts give the same answer.
func TestEvaluateIsTotal(t *testing.T) {
	pack := builtin(t)[0]
	now := time.Date(2026, 10, 12, 16, 0, 0, 0, time.UTC) // 21:30 IST
	statuses := []policy.Status{policy.Unknown, policy.Active, policy.Inactive, policy.Suspended, 99}
	seen := map[policy.Outcome]int{}
	for _, es := range statuses {
		for _, hs := range statuses {
			for _, ts := range statuses {
				for category := range policy.Category(6) {
					for flags := range 256 {
						f := combination(es, hs, ts, category, flags, now)
						d := policy.Evaluate(pack, f, now)
						seen[d.Outcome]++
						if problem := inconsistent(d, now); problem != "" {
							t.Fatalf("%s: %+v gave %+v", problem, f, d)
						}
						if flags%32 == 7 && !cmp.Equal(d, policy.Evaluate(pack, f, now)) {
							t.Fatalf("not deterministic: %+v", f)
						}
					}
				}
			}
		}
	}
	if len(seen) != 3 {
		t.Errorf("outcomes seen: %v", seen)
	}
}

func combination(es, hs, ts policy.Status, category policy.Category, flags int, now time.Time) *policy.Facts {
	flag := func(i int) bool { return flags>>i&1 == 1 }
	f := &policy.Facts{Unreadable: flag(0), Mobile: !flag(1), Chain: policy.Active,
		Entity: policy.Entity{ID: "1701158019811140068", Status: es},
		Header: policy.Header{Text: "512345", Status: hs, OfEntity: !flag(2)},
		Template: policy.Template{ID: "1107160000000000011", Status: ts, Category: category, Goods: -1,
			OfEntity: !flag(3), OfHeader: !flag(4), Untyped: flag(5)}}
	if category == policy.Promotional {
		f.Header.Kind = policy.PromotionalHeader
	}
	if flag(6) {
		f.Schedule = now.Add(time.Hour)
	}
	if flag(7) {
		f.Expire = now.Add(30 * time.Minute)
	}
	return f
}

func inconsistent(d policy.Decision, now time.Time) string {
	switch {
	case d.Outcome == policy.Cleared && len(d.Reasons) > 0:
		return "cleared with reasons"
	case d.Outcome != policy.Cleared && len(d.Reasons) == 0:
		return "no reason"
	case d.Outcome == policy.Held && !d.Due.After(now):
		return "held without a later time"
	}
	return ""
}

func BenchmarkEvaluate(b *testing.B) {
	pack := builtin(b)[0]
	now := time.Date(2026, 10, 12, 6, 30, 0, 0, time.UTC)
	f := combination(policy.Active, policy.Active, policy.Active, policy.Promotional, 0, now)
	b.ReportAllocs()
	for b.Loop() {
		if policy.Evaluate(pack, f, now).Outcome != policy.Cleared {
			b.Fatal("not cleared")
		}
	}
}
