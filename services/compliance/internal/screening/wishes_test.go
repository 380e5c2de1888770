package screening_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
)

// wishes answers the same of every message, or fails.
type wishes struct {
	said  screening.Said
	err   error
	asked []screening.Asked
	calls int
}

func (w *wishes) Said(_ context.Context, asked []screening.Asked, _ time.Time) ([]screening.Said, error) {
	w.calls++
	w.asked = append(w.asked, asked...)
	said := make([]screening.Said, len(asked))
	for i := range said {
		said[i] = w.said
	}
	return said, w.err
}

// TestRequirement29WishesAway (D31): while consents and opt-outs cannot be asked for, promotion waits, also that of a
// template with the override, and codes go on.
func TestRequirement29WishesAway(t *testing.T) {
	promo := screening.Content{Text: "Fresh stock at ABC stores till Sunday. Opt out: https://abc.in/stop?x=1 - ABC"}
	code := screening.Content{Text: "482913 is your OTP for ABC login. Do not share it. - ABCBNK"}
	for name, c := range map[string]struct {
		wishes           *wishes
		template, header string
		content          screening.Content
		outcome          policy.Outcome
		want             []string
	}{
		"away, promotion":             {&wishes{err: errors.New("away")}, stock, "512345", promo, policy.Held, []string{policy.ScrubUnavailable}},
		"away, a code":                {&wishes{err: errors.New("away")}, otp, "ABCBNK", code, policy.Cleared, nil},
		"opted out":                   {&wishes{said: screening.Said{OptedOut: true}}, stock, "512345", promo, policy.Refused, []string{policy.OptedOut}},
		"a code to one who opted out": {&wishes{said: screening.Said{OptedOut: true}}, otp, "ABCBNK", code, policy.Cleared, nil},
		"suppressed":                  {&wishes{said: screening.Said{Suppressed: true}}, otp, "ABCBNK", code, policy.Refused, []string{policy.RecipientSuppressed}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, noon)
			cfg := h.config(snapshot(t, demoFile(t)))
			cfg.Wishes = c.wishes
			h.screener = screening.New(cfg)
			out := h.screen(h.parcel(c.template, c.header, c.content))
			if diff := cmp.Diff(c.want, out.Messages[0].Codes); diff != "" || out.Outcome != c.outcome {
				t.Errorf("%s: %s", out.Outcome, diff)
			}
			if c.wishes.calls != 1 || c.wishes.asked[0].Promotion != (c.template == stock) || c.wishes.asked[0].Header != c.header {
				t.Errorf("asked %d times: %+v", c.wishes.calls, c.wishes.asked)
			}
		})
	}
}
