package screening_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/content"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/msisdn"
)

// register is a real register with a memory of operators' answers.
type register struct {
	*preference.Store
	*preference.Feedback
}

func (r register) Answered(_ string, n preference.Number, now time.Time) preference.Code {
	return r.Has(n, now)
}

const recipient = "+919876543210"

// newRegister imports lines scrubbed at a time; none for a register without file.
func newRegister(t *testing.T, at time.Time, lines string) register {
	t.Helper()
	s, err := preference.Open(filepath.Join(t.TempDir(), "register"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if lines != "" {
		run := preference.NewRun(uuid.Must(uuid.NewV7()), "file", "r1", at, preference.Listed)
		if _, err := s.Import(t.Context(), run, strings.NewReader(lines), nil); err != nil {
			t.Fatal(err)
		}
	}
	return register{s, preference.NewFeedback(64, time.Hour)}
}

// TestRequirement28And29Preferences: D01-D24, D29-D31 with the real register: what is scrubbed and free goes, what is
// blocked by any part does not, a number outside of the run is refused, and without a run of the day promotion waits while
// codes go on. The run that was asked stands with the decision.
func TestRequirement28And29Preferences(t *testing.T) {
	stockText := screening.Content{Text: "Fresh stock at ABC stores till Sunday. Opt out: https://abc.in/stop?x=1 - ABC"}
	otpText := screening.Content{Text: "482913 is your OTP for ABC login. Do not share it. - ABCBNK"}
	monday := time.Date(2026, 11, 23, 12, 0, 0, 0, policy.IST)
	scrubbed := monday.Add(-time.Hour)
	for name, c := range map[string]struct {
		lines      string
		at, now    time.Time
		template   string
		consent    policy.Consent
		unanswered bool // by operators
		want       []string
		part       string
	}{
		"D01 free":                      {lines: "9876543210,none", want: nil},
		"D07 fully blocked":             {lines: "9876543210", want: []string{policy.PreferenceBlocked}, part: "all"},
		"D08 blocked and consented":     {lines: "9876543210", consent: policy.ConsentValid},
		"D12 promotion blocked":         {lines: "9876543210,promo", want: []string{policy.PreferenceBlocked}, part: "promotional"},
		"D14 this category":             {lines: "9876543210,5", want: []string{policy.PreferenceBlocked}, part: "category"},
		"D15 another category":          {lines: "9876543210,1|2"},
		"D16 the mode":                  {lines: "9876543210,,sms", want: []string{policy.PreferenceBlocked}, part: "mode"},
		"another mode":                  {lines: "9876543210,,voice|robo"},
		"D17 the day":                   {lines: "9876543210,,,mon", want: []string{policy.PreferenceBlocked}, part: "day"},
		"another day":                   {lines: "9876543210,,,sun"},
		"the band":                      {lines: "9876543210,,,,5", want: []string{policy.PreferenceBlocked}, part: "band"},
		"a holiday":                     {lines: "9876543210,,,holiday", at: time.Date(2026, 10, 2, 10, 30, 0, 0, policy.IST), now: time.Date(2026, 10, 2, 12, 0, 0, 0, policy.IST), want: []string{policy.PreferenceBlocked}, part: "day"},
		"D19 a code":                    {lines: "9876543210", template: otp},
		"D29 the same day":              {lines: "9876543210,none", now: time.Date(2026, 11, 23, 20, 59, 59, 0, policy.IST)},
		"D29 the next day":              {lines: "9876543210,none", now: time.Date(2026, 11, 24, 12, 0, 0, 0, policy.IST), want: []string{policy.ScrubUnavailable}},
		"D30 not in the run":            {lines: "9876543211,none", want: []string{policy.NotScrubbed}},
		"D31 no run":                    {want: []string{policy.ScrubUnavailable}},
		"D31 no run, consented":         {consent: policy.ConsentValid},
		"D31 no run, a code":            {template: otp},
		"free, but an operator refused": {lines: "9876543210,none", unanswered: true, want: []string{policy.PreferenceBlocked}, part: "operator"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.at.IsZero() {
				c.at = scrubbed
			}
			if c.now.IsZero() {
				c.now = monday
			}
			h := newHouse(t, c.now)
			cfg := h.config(withoutOverride(t))
			r := newRegister(t, c.at, c.lines)
			if c.unanswered {
				n, _ := preference.ParseNumber(recipient)
				r.Put(n, preference.PreferenceBlocked, c.now)
			}
			if c.consent == policy.ConsentUnknown {
				c.consent = policy.ConsentNone
			}
			cfg.Preferences, cfg.Proofs = r, &proofs{consent: c.consent}
			h.screener = screening.New(cfg)
			p := h.parcel(stock, "512345", stockText)
			if c.template == otp {
				p = h.parcel(otp, "ABCBNK", otpText)
			}
			screened, err := h.screener.Decide(t.Context(), []screening.Parcel{p})
			if err != nil {
				t.Fatal(err)
			}
			v := screened[0].Verdicts[0]
			var codes []string
			for _, reason := range v.Reasons {
				codes = append(codes, reason.Code)
			}
			if diff := cmp.Diff(c.want, codes); diff != "" {
				t.Error(diff)
			}
			if c.part != "" && v.Reasons[0].Metadata["part"] != c.part {
				t.Errorf("%v, want part %s", v.Reasons[0].Metadata, c.part)
			}
			run, fresh := r.Freshness(c.now)
			asked := fresh && c.template != otp
			if asked != (screened[0].Run != uuid.Nil) || asked && screened[0].Run != run.ID {
				t.Errorf("run %v stands with the decision, asked %v", screened[0].Run, asked)
			}
		})
	}
}

// TestManyRecipients: more messages than are looked up at once each get their own answer.
func TestManyRecipients(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, policy.IST)
	h := newHouse(t, now)
	var lines strings.Builder
	for i := range 150 {
		lines.WriteString("98765432" + string([]byte{'0' + byte(i/10%10), '0' + byte(i%10)}))
		if i%3 != 0 {
			lines.WriteString(",none")
		}
		lines.WriteString("\n")
		if i == 99 {
			break
		}
	}
	cfg := h.config(withoutOverride(t))
	cfg.Preferences, cfg.Proofs = newRegister(t, now.Add(-time.Minute), lines.String()), consented{}
	h.screener = screening.New(cfg)
	var parcels []screening.Parcel
	for i := range 100 {
		parcels = append(parcels, h.parcel(stock, "512345", screening.Content{To: "+9198765432" + string([]byte{'0' + byte(i/10), '0' + byte(i%10)}),
			Text: "Fresh stock at ABC stores till Sunday. Opt out: https://abc.in/stop?x=1 - ABC"}))
	}
	all := parcels[0]
	for _, p := range parcels[1:] {
		all.Messages = append(all.Messages, p.Messages...)
	}
	screened, err := h.screener.Decide(t.Context(), []screening.Parcel{all})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range screened[0].Verdicts {
		if (v.Outcome == policy.Refused) != (i%3 == 0) {
			t.Errorf("message %d: %v %v", i, v.Outcome, v.Reasons)
		}
	}
}

// consented says of everybody that nothing was said.
type consented struct{}

func (consented) Proof(_ uuid.UUID, _ *screening.Message, _ msisdn.Number, _ time.Time, f *policy.Facts) {
	f.Consent = policy.ConsentNone
}

// tenantsPolicy is one policy for all tenants.
type tenantsPolicy content.Policy

func (p tenantsPolicy) ContentPolicy(uuid.UUID) content.Policy { return content.Policy(p) }

// TestRequirement45And46Content: what the text holds blocks or is noted, by the tenant's policy; the message's own ids are
// nothing; no value stands in the decision.
func TestRequirement45And46Content(t *testing.T) {
	const text = "Dear Aadhaar 234123412346, order 1107160000000000022 shipped. Track: https://abc.in/t?x=1 - ABCBNK"
	for name, c := range map[string]struct {
		text     string
		policy   content.Policy
		want     policy.Outcome
		reasons  []string
		findings []string
	}{
		"by default":       {text, nil, policy.Refused, []string{policy.ContentSensitive}, nil},
		"warned of":        {text, content.Policy{{Kind: content.Aadhaar, Action: content.Warn}}, policy.Cleared, nil, []string{policy.ContentSensitive}},
		"allowed":          {text, content.Policy{{Kind: content.Aadhaar, Action: content.Allow}}, policy.Cleared, nil, nil},
		"another sort":     {text, content.Policy{{Kind: content.Aadhaar, Categories: []policy.Category{policy.Transactional}, Action: content.Allow}}, policy.Refused, []string{policy.ContentSensitive}, nil},
		"the message's id": {"Dear Asha, order 1107160000000000022 shipped. Track: https://abc.in/t?x=1 - ABCBNK", nil, policy.Cleared, nil, nil},
		"data in a link":   {"Dear Asha, order 7 shipped. Track: https://abc.in/t?mobile=9876543210 - ABCBNK", nil, policy.Refused, []string{policy.ContentLinkPersonal}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, noon)
			cfg := h.config(snapshot(t, demoFile(t)))
			cfg.ContentPolicies = tenantsPolicy(c.policy)
			h.screener = screening.New(cfg)
			screened, err := h.screener.Decide(t.Context(), []screening.Parcel{h.parcel(shipped, "ABCBNK", screening.Content{Text: c.text})})
			if err != nil {
				t.Fatal(err)
			}
			v := screened[0].Verdicts[0]
			codes := func(all []policy.Reason) (codes []string) {
				for _, r := range all {
					codes = append(codes, r.Code)
					for _, value := range r.Metadata {
						if strings.Contains(value, "2346") || strings.Contains(value, "98765") {
							t.Errorf("a value is told: %v", r.Metadata)
						}
					}
					if r.Metadata["types"] == "" || r.Metadata["positions"] == "" {
						t.Errorf("%v", r)
					}
				}
				return codes
			}
			if v.Outcome != c.want {
				t.Errorf("%v: %v", v.Outcome, v.Reasons)
			}
			if diff := cmp.Diff(c.reasons, codes(v.Reasons)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.findings, codes(v.Findings)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
