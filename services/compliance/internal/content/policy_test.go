package content_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onlinesms/onlinesms/services/compliance/internal/content"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func TestJudge(t *testing.T) {
	card := content.Finding{Kind: content.Card, Certain: true, RuneStart: 5}
	maybe := content.Finding{Kind: content.Aadhaar, RuneStart: 9}
	pin := content.Finding{Kind: content.PIN, Certain: true}
	link := content.Finding{Kind: content.URLData, Certain: true}
	otp := content.Finding{Kind: content.OTP, Certain: true}
	allowCard := content.Rule{Kind: content.Card, Action: content.Allow, Until: noon.Add(time.Hour)}
	tests := map[string]struct {
		policy   content.Policy
		category policy.Category
		findings []content.Finding
		at       time.Time
		want     content.Action
		codes    []string
	}{
		"nothing":                    {want: content.Allow},
		"allowed kind":               {findings: []content.Finding{otp}, want: content.Allow},
		"certain blocks":             {findings: []content.Finding{card}, want: content.Block, codes: []string{content.ReasonSensitive}},
		"a check digit only warns":   {findings: []content.Finding{maybe}, want: content.Warn, codes: []string{content.ReasonSensitive}},
		"each code once, by action":  {findings: []content.Finding{link, maybe, pin, card}, want: content.Block, codes: []string{content.ReasonCredential, content.ReasonSensitive, content.ReasonLink, content.ReasonSensitive}},
		"tenant allows":              {policy: content.Policy{allowCard}, findings: []content.Finding{card}, want: content.Allow},
		"until its end":              {policy: content.Policy{allowCard}, findings: []content.Finding{card}, at: noon.Add(time.Hour), want: content.Block, codes: []string{content.ReasonSensitive}},
		"last rule decides":          {policy: content.Policy{allowCard, {Kind: content.Card, Action: content.Warn}}, findings: []content.Finding{card}, want: content.Warn, codes: []string{content.ReasonSensitive}},
		"rule of another category":   {policy: content.Policy{{Kind: content.OTP, Action: content.Block, Categories: []policy.Category{policy.Promotional}}}, category: policy.Transactional, findings: []content.Finding{otp}, want: content.Allow},
		"rule of the category":       {policy: content.Policy{{Kind: content.OTP, Action: content.Block, Categories: []policy.Category{policy.Promotional}}}, category: policy.Promotional, findings: []content.Finding{otp}, want: content.Block, codes: []string{content.ReasonSensitive}},
		"doubt never blocks by rule": {policy: content.Policy{{Kind: content.Aadhaar, Action: content.Block}}, findings: []content.Finding{maybe}, want: content.Warn, codes: []string{content.ReasonSensitive}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.at.IsZero() {
				test.at = noon
			}
			v := content.Judge(test.policy, test.category, test.findings, test.at)
			var codes []string
			for _, r := range v.Reasons {
				codes = append(codes, r.Code)
				if r.Detail == "" || r.Metadata["types"] == "" || r.Metadata["positions"] == "" {
					t.Errorf("%+v lacks what mends it", r)
				}
			}
			if v.Action != test.want || !cmp.Equal(codes, test.codes) {
				t.Errorf("%s %v, want %s %v", v.Action, codes, test.want, test.codes)
			}
		})
	}
}

func TestReasonTellsTypesAndPlaces(t *testing.T) {
	v := content.Judge(nil, policy.Service, []content.Finding{{Kind: content.Card, Certain: true, RuneStart: 4}, {Kind: content.Passport, Certain: true, RuneStart: 40},
		{Kind: content.Card, Certain: true, RuneStart: 60}}, noon)
	want := map[string]string{"action": "block", "types": "card,passport", "positions": "5,61,41"}
	if len(v.Reasons) != 1 || !cmp.Equal(v.Reasons[0].Metadata, want) {
		t.Errorf("%+v, want %v", v.Reasons, want)
	}
}

func TestKindNames(t *testing.T) {
	for k := content.Aadhaar; k <= content.URLData; k++ {
		if got, err := content.ParseKind(k.String()); err != nil || got != k {
			t.Errorf("%d: %q is read as %d, %v", k, k, got, err)
		}
	}
	if _, err := content.ParseKind("colour"); err == nil {
		t.Error("an unknown kind is read")
	}
}

func BenchmarkJudge(b *testing.B) {
	findings := []content.Finding{{Kind: content.Phone}, {Kind: content.OTP, Certain: true}}
	b.ReportAllocs()
	for b.Loop() {
		content.Judge(nil, policy.Service, findings, noon)
	}
}
