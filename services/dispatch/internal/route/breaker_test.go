package route

import (
	"testing"
	"time"
)

// Requirement 59 and X07: twenty refusals of a template within a minute stop it on that route, and only it.
func TestRequirement59Breaker(t *testing.T) {
	p := Profile{"sim", "E", "ABCBNK", "T"}
	now := time.Date(2026, 10, 12, 11, 0, 0, 0, IST)
	b := NewBreaker()
	for i := range 20 {
		b.Submitted(p, now)
		if opened := b.Refused(p, "TEMPLATE_NOT_MATCHED", now); opened != (i == 19) {
			t.Errorf("refusal %d opened it: %v", i+1, opened)
		}
	}
	if b.Open(p, now).IsZero() || !b.Open(Profile{"sim", "E", "ABCBNK", "U"}, now).IsZero() || !b.Open(Profile{"other", "E", "ABCBNK", "T"}, now).IsZero() {
		t.Error("it is not this profile alone that is stopped")
	}
	if until := b.Open(p, now); until.Sub(now) != 10*time.Minute || !b.Open(p, until).IsZero() {
		t.Errorf("open until %v", until)
	}
	for name, c := range map[string]struct {
		reason    string
		submitted int // for each refusal
		spacing   time.Duration
	}{
		"the recipient's preference":        {"PREFERENCE_BLOCKED", 1, 0},
		"a variable of the message":         {"TEMPLATE_VARIABLE_TOO_LONG", 1, 0},
		"a code nobody has mapped":          {Unmapped, 1, 0},
		"few among many":                    {"TEMPLATE_NOT_MATCHED", 10, 0},
		"twenty in more than a minute each": {"TEMPLATE_NOT_MATCHED", 1, 61 * time.Second},
	} {
		b, at := NewBreaker(), now
		for range 40 {
			for range c.submitted {
				b.Submitted(p, at)
			}
			if b.Refused(p, c.reason, at) {
				t.Errorf("%s opens it", name)
			}
			at = at.Add(c.spacing)
		}
	}
}

func TestBreakerIsBounded(t *testing.T) {
	b, now := NewBreaker(), time.Now()
	for i := range 3 * breakerKeys {
		b.Submitted(Profile{Template: string(rune(i))}, now)
	}
	if len(b.seen) > breakerKeys {
		t.Errorf("%d profiles", len(b.seen))
	}
}

func BenchmarkBreaker(b *testing.B) {
	br, p, now := NewBreaker(), Profile{"sim", "1701158019811140068", "ABCBNK", "1107160000000000011"}, time.Now()
	b.ReportAllocs()
	for b.Loop() {
		br.Submitted(p, now)
		br.Open(p, now)
	}
}
