package policy_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

// inOrder are the facts of a message that nothing is wrong with, of a category.
func inOrder(c policy.Category) *policy.Facts {
	f := &policy.Facts{Mobile: true, Consent: policy.ConsentNone, Preference: policy.NotBlocked,
		Entity: policy.Entity{ID: theEntity, Status: policy.Active},
		Chain:  policy.Chain{Status: policy.Active, Telemarketer: policy.Active, Last: theTelemarketer},
		Header: policy.Header{Text: "ABCBNK", Status: policy.Active, OfEntity: true},
		Template: policy.Template{ID: theTemplate, Status: policy.Active, Category: c, Goods: -1, OfEntity: true, OfHeader: true,
			Headers: 1, OptOut: policy.Yes}}
	if c == policy.Promotional {
		f.Header.Text, f.Header.Kind = "512345", policy.PromotionalHeader
	}
	return f
}

// moments are before, in and after the time band of promotion, and at its edge.
var moments = []time.Time{
	time.Date(2026, 10, 12, 9, 59, 59, 0, policy.IST), time.Date(2026, 10, 12, 10, 0, 30, 0, policy.IST),
	time.Date(2026, 10, 12, 14, 0, 0, 0, policy.IST), time.Date(2026, 10, 12, 21, 30, 0, 0, policy.IST),
}

// verdict names the one of four things a decision is; anything else is a fault.
func verdict(d policy.Decision, now time.Time) (string, error) {
	first := ""
	if len(d.Reasons) > 0 {
		first = d.Reasons[0].Code
	}
	switch {
	case d.Outcome == policy.Cleared && first == "" && d.Due.IsZero():
		return "allow", nil
	case d.Outcome == policy.Held && severity(first) == "hold" && d.Due.After(now):
		return "defer", nil
	case d.Outcome == policy.Refused && first == policy.MessageExpired && d.Due.IsZero():
		return "expire", nil
	case d.Outcome == policy.Refused && severity(first) == "refusal" && d.Due.IsZero():
		return "deny", nil
	}
	return "", fmt.Errorf("none of allow, deny, defer and expire: %+v", d)
}

func severity(code string) string {
	entry, ok := policy.Explain(code)
	if !ok {
		return ""
	}
	return entry.Severity
}

// judge evaluates twice: the answers must be the same, and be one of the four.
func judge(t *testing.T, pack *policy.Pack, f *policy.Facts, now time.Time) (policy.Decision, string) {
	t.Helper()
	d, before := policy.Evaluate(pack, f, now), *f
	again := policy.Evaluate(pack, f, now)
	if d.Outcome != again.Outcome || !d.Due.Equal(again.Due) || d.Warnings != again.Warnings || len(d.Reasons) != len(again.Reasons) ||
		len(d.Reasons) > 0 && d.Reasons[0].Code != again.Reasons[0].Code {
		t.Fatalf("not deterministic: %+v gave %+v and %+v", f, d, again)
	}
	if f.Entity != before.Entity || f.Template != before.Template || f.Consent != before.Consent {
		t.Fatal("the facts were changed")
	}
	v, err := verdict(d, now)
	if err != nil {
		t.Fatalf("%s at %s: %+v: %v", pack.Version, now, f, err)
	}
	return d, v
}

// TestTotalOverRules (requirement 73): every combination of pack, category, consent, preference, time, schedule, expiry,
// doubt and override is exactly one of allow, deny, defer and expire, always the same one; and promotion is never allowed
// without an answer or outside of its hours.
func TestTotalOverRules(t *testing.T) {
	seen := map[string]int{}
	for _, pack := range builtin(t) {
		for category := range policy.Category(7) {
			for consent := range policy.Consent(8) {
				for preference := range policy.Preference(5) {
					for _, now := range moments {
						for flags := range 3 * 3 * 3 * 2 * 2 * 2 {
							f := inOrder(category)
							f.Consent, f.Preference = consent, preference
							vary(f, flags, now)
							_, v := judge(t, pack, f, now)
							seen[v]++
							if v == "allow" {
								mayGo(t, pack, f, now)
							}
						}
					}
				}
			}
		}
	}
	if len(seen) != 4 {
		t.Errorf("seen: %v", seen)
	}
}

// vary sets what has to do with time and proof, by the digits of n.
func vary(f *policy.Facts, n int, now time.Time) {
	digit := func(base int) int { d := n % base; n /= base; return d }
	switch digit(3) {
	case 1:
		f.Schedule = now.Add(-time.Hour)
	case 2:
		f.Schedule = now.Add(time.Hour)
	}
	switch digit(3) {
	case 1:
		f.Expire = now
	case 2:
		f.Expire = now.Add(30 * time.Minute)
	}
	switch digit(3) {
	case 1:
		f.Transaction, f.Template.OptOut = now.Add(-time.Minute), policy.No
	case 2:
		f.Transaction, f.Template.OptOut = now.Add(-time.Hour), policy.Unanswered
	}
	f.ClockDoubt, f.BandOn, f.Template.PreferenceUnchecked = digit(2) == 1, digit(2) == 1, digit(2) == 1
}

// mayGo holds an allowed message against the rules in other words than those of the code.
func mayGo(t *testing.T, pack *policy.Pack, f *policy.Facts, now time.Time) {
	t.Helper()
	category := pack.Effective(f.Template.Category)
	if category != policy.Promotional && category != policy.ServiceExplicit {
		return
	}
	answered := f.Consent == policy.ConsentValid || f.Preference == policy.NotBlocked && !pack.ConsentRequired &&
		(f.Consent == policy.ConsentNone || f.Consent == policy.ConsentExpired || f.Consent == policy.ConsentEnded)
	if !answered && !f.Template.PreferenceUnchecked {
		t.Fatalf("promotion without an answer: %+v", f)
	}
	h := now.In(policy.IST).Hour()
	if category == policy.Promotional && (h < 10 || h >= 21) && !f.BandOn {
		t.Fatalf("promotion at %s", now)
	}
}

// TestTotalOverRegistry: every combination of statuses, of which a message goes only when all are active.
func TestTotalOverRegistry(t *testing.T) {
	pack, now := builtin(t).At(moments[2]), moments[2]
	statuses := []policy.Status{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 99}
	allowed := 0
	for _, es := range statuses {
		for _, cs := range statuses {
			for _, hs := range statuses {
				for _, ts := range statuses {
					for n := range 3 * 3 * 2 {
						f := inOrder(policy.Service)
						f.Entity.Status, f.Chain.Status, f.Header.Status, f.Template.Status = es, cs, hs, ts
						f.Chain.Telemarketer = policy.Status(n % 3)
						f.Template.AtOperator = policy.Status(n / 3 % 3)
						f.Header.Kind = policy.Kind(n / 9)
						_, v := judge(t, pack, f, now)
						active := es == 1 && cs == 1 && hs == 1 && ts == 1 && n%3 == 1 && n/3%3 != 2 && n/9 == 0
						if (v == "allow") != active {
							t.Fatalf("%s: %+v", v, f)
						}
						if active {
							allowed++
						}
					}
				}
			}
		}
	}
	if allowed != 2 {
		t.Errorf("%d allowed", allowed)
	}
}

// denials are all ways to make a message one that may not go.
var denials = map[string]func(*policy.Facts){
	"unreadable":      func(f *policy.Facts) { f.Unreadable = true },
	"landline":        func(f *policy.Facts) { f.Mobile = false },
	"stop":            func(f *policy.Facts) { f.Stops |= policy.StopHeader },
	"entity id":       func(f *policy.Facts) { f.Entity.ID = "1" },
	"entity":          func(f *policy.Facts) { f.Entity.Status = policy.Blacklisted },
	"entity operator": func(f *policy.Facts) { f.Entity.AtOperator = policy.NotRegistered },
	"chain":           func(f *policy.Facts) { f.Chain.Status = policy.Suspended },
	"telemarketer":    func(f *policy.Facts) { f.Chain.Telemarketer = policy.Unknown },
	"hash":            func(f *policy.Facts) { f.Chain.Differs = true },
	"route":           func(f *policy.Facts) { f.Route.Telemarketer = "1302157243747322355" },
	"header form":     func(f *policy.Facts) { f.Header.Text = "VM-ABCBNK" },
	"header":          func(f *policy.Facts) { f.Header.Status = policy.Inactive },
	"header validity": func(f *policy.Facts) { f.Header.Until = moments[0].Add(-time.Hour) },
	"header owner":    func(f *policy.Facts) { f.Header.OfEntity = false },
	"template id":     func(f *policy.Facts) { f.Template.ID = "1" },
	"template":        func(f *policy.Facts) { f.Template.Status = policy.Unknown },
	"template owner":  func(f *policy.Facts) { f.Template.OfEntity = false },
	"link":            func(f *policy.Facts) { f.Template.OfHeader = false },
	"category":        func(f *policy.Facts) { f.Template.Category = policy.NoCategory },
	"requested":       func(f *policy.Facts) { f.Requested = 99 },
	"unlisted":        func(f *policy.Facts) { f.Template.Unlisted = true },
	"text": func(f *policy.Facts) {
		f.Text = append(f.Text[:len(f.Text):len(f.Text)], policy.R("TEMPLATE_NOT_MATCHED"))
	},
	"expired": func(f *policy.Facts) { f.Expire = moments[0].Add(-time.Hour) },
}

// TestDenialsAreMonotone (requirement 73): whatever is known of a message, one more thing that denies it refuses it, and
// what refused it before still stands among the reasons unless it depends on the object that is now unknown.
func TestDenialsAreMonotone(t *testing.T) {
	packs, r := builtin(t), rand.New(rand.NewPCG(5, 6))
	for name, deny := range denials {
		for range 2000 {
			pack, now := packs[r.IntN(len(packs))], moments[r.IntN(len(moments))]
			if pack = packs.Version(pack.Version); name == "chain" && !pack.Chain {
				continue
			}
			f := inOrder(policy.Category(r.IntN(7)))
			f.Consent, f.Preference = policy.Consent(r.IntN(8)), policy.Preference(r.IntN(5))
			vary(f, r.IntN(216), now)
			for other, also := range denials {
				if other != name && r.IntN(20) == 0 && f.Entity.Status == policy.Active {
					also(f)
				}
			}
			stands := f.Entity.Status != policy.Unknown && f.Header.Status != policy.Unknown && f.Template.Status != policy.Unknown
			deny(f)
			d, _ := judge(t, pack, f, now)
			if d.Outcome != policy.Refused && stands && policy.IsID(f.Template.ID) {
				t.Fatalf("%s: %s: %+v", name, d.Outcome, f)
			}
			if d.Outcome == policy.Cleared {
				t.Fatalf("%s cleared: %+v", name, f)
			}
		}
	}
}

// TestReplay: the same pack gives the same answer, reason by reason and word by word.
func TestReplay(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, pack := range builtin(t) {
		for range 2000 {
			f, now := inOrder(policy.Category(r.IntN(7))), moments[r.IntN(len(moments))]
			vary(f, r.IntN(216), now)
			for _, deny := range denials {
				if r.IntN(8) == 0 {
					deny(f)
				}
			}
			if a, b := policy.Evaluate(pack, f, now), policy.Evaluate(pack, f, now); !reflect.DeepEqual(a, b) {
				t.Fatalf("%+v and %+v", a, b)
			}
		}
	}
}

// TestClearedAllocatesNothing: also with warnings.
func TestClearedAllocatesNothing(t *testing.T) {
	pack, now := builtin(t).At(moments[2]), moments[2]
	for category := policy.Promotional; category <= policy.Government; category++ {
		f := inOrder(category)
		f.SeriesUnknown, f.Transaction = true, now.Add(-time.Hour)
		if n := testing.AllocsPerRun(100, func() {
			if policy.Evaluate(pack, f, now).Outcome != policy.Cleared {
				t.Fatal("not cleared")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", category, n)
		}
	}
}

func BenchmarkEvaluate(b *testing.B) {
	pack, now := builtin(b).At(moments[2]), moments[2]
	f := inOrder(policy.Promotional)
	b.ReportAllocs()
	for b.Loop() {
		if policy.Evaluate(pack, f, now).Outcome != policy.Cleared {
			b.Fatal("not cleared")
		}
	}
}
