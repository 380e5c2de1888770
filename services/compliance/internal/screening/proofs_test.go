package screening_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/msisdn"
)

// proofs answers the same of every message.
type proofs struct {
	consent    policy.Consent
	preference policy.Preference
	asked      int
}

func (p *proofs) Proof(_ uuid.UUID, _ *screening.Message, to msisdn.Number, _ time.Time, f *policy.Facts) {
	if to.E164() == "+919876543210" {
		p.asked++
		f.Consent, f.Preference = p.consent, p.preference
	}
}

// TestPromotionFailsClosed: without an answer on consent and preference promotion is refused, but for the override of the
// demonstration; with one it goes by the answer; the other categories are not asked about.
func TestPromotionFailsClosed(t *testing.T) {
	text := screening.Content{Text: "Fresh stock at ABC stores till Sunday. Opt out: https://abc.in/stop?x=1 - ABC"}
	otpText := screening.Content{Text: "482913 is your OTP for ABC login. Do not share it. - ABCBNK"}
	for name, c := range map[string]struct {
		template string
		proofs   *proofs
		want     []string
		asked    int
	}{
		"nobody to ask":   {stock, nil, []string{policy.ConsentNotLookedUp, policy.NotScrubbed}, 0},
		"no answer":       {stock, &proofs{}, []string{policy.ConsentNotLookedUp, policy.NotScrubbed}, 1},
		"not blocked":     {stock, &proofs{consent: policy.ConsentNone, preference: policy.NotBlocked}, nil, 1},
		"blocked":         {stock, &proofs{consent: policy.ConsentNone, preference: policy.Blocked}, []string{policy.PreferenceBlocked}, 1},
		"away":            {stock, &proofs{consent: policy.ConsentNone, preference: policy.PreferenceAway}, []string{policy.ScrubUnavailable}, 1},
		"a one-time code": {otp, &proofs{preference: policy.Blocked}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, noon)
			cfg := h.config(withoutOverride(t))
			if c.proofs != nil {
				cfg.Proofs = c.proofs
			}
			h.screener = screening.New(cfg)
			header, content := "512345", text
			if c.template == otp {
				header, content = "ABCBNK", otpText
			}
			out := h.screen(h.parcel(c.template, header, content))
			if diff := cmp.Diff(c.want, out.Messages[0].Codes); diff != "" {
				t.Error(diff)
			}
			if c.proofs != nil && c.proofs.asked != c.asked {
				t.Errorf("asked %d times", c.proofs.asked)
			}
		})
	}
}

// TestRoute (requirements 7 and 40): what is known of the route of an environment counts for its messages.
func TestRoute(t *testing.T) {
	otpText := screening.Content{Text: "482913 is your OTP for ABC login. Do not share it. - ABCBNK"}
	for name, c := range map[string]struct {
		route policy.Route
		want  []string
	}{
		"the chain ends with its telemarketer": {policy.Route{Telemarketer: "1302157243747322354"}, nil},
		"another telemarketer submits":         {policy.Route{Telemarketer: "1302157243747322355"}, []string{policy.TelemarketerNotOfRoute}},
		"six letters only":                     {policy.Route{SixOnly: true}, nil},
	} {
		h := newHouse(t, noon)
		cfg := h.config(snapshot(t, demoFile(t)))
		cfg.Route = func(env string) policy.Route {
			if env != "live" {
				return policy.Route{}
			}
			return c.route
		}
		h.screener = screening.New(cfg)
		out := h.screen(h.parcel(otp, "ABCBNK", otpText))
		if diff := cmp.Diff(c.want, out.Messages[0].Codes); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
