package screening_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening/screeningtest"
)

// Requirements 2 and 8 where a message is decided: with the operators of the live routes, within the validity; a trial
// reaches no operator.
func TestRequirement2And8WhereMessagesAreDecided(t *testing.T) {
	const pe, tm = "1701158019811140068", "1302157243747322354"
	objects := []registry.Object{
		{Kind: registry.Telemarketers, ID: tm, Detail: registry.Detail{Role: "TM-DF"}},
		{Kind: registry.Entities, ID: pe, Detail: registry.Detail{Chain: []string{tm}}},
		{Kind: registry.Headers, ID: "ABCBNK", Entity: pe, Operators: map[string]string{"VI": "inactive"}, ValidUntil: noon.Add(time.Hour)},
		{Kind: registry.Templates, ID: otp, Entity: pe, Detail: registry.Detail{Category: "transactional", Headers: []string{"ABCBNK"}, Body: "{#numeric#} is it"}},
	}
	snapshot, err := registry.NewSnapshot(registry.Rows{Objects: objects})
	if err != nil {
		t.Fatal(err)
	}
	packs, err := policy.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env       string
		operators []string
		after     time.Duration
		want      string
	}{
		"its operator has it inactive": {"live", []string{"VI"}, 0, policy.HeaderInactive},
		"another has it active":        {"live", []string{"VI", "JIO"}, 0, ""},
		"no operator is named":         {"live", nil, 0, ""},
		"a trial":                      {"test", []string{"VI"}, 0, ""},
		"its validity is over":         {"live", nil, time.Hour, policy.HeaderSuspended},
	} {
		in := &contents{by: map[uuid.UUID]screening.Content{}}
		s := screening.New(screening.Config{Registry: demo{snapshot}, Packs: packs, Contents: in, Store: screeningtest.NewStore(),
			Now: func() time.Time { return noon.Add(c.after) }, Operators: c.operators})
		p := screeningtest.NewParcel(1)
		p.Env, p.Messages[0].EntityID, p.Messages[0].Header, p.Messages[0].TemplateID = c.env, pe, "ABCBNK", otp
		p.Messages[0].Expire = noon.Add(48 * time.Hour).UnixMicro()
		in.by[p.Messages[0].ID] = screening.Content{To: "+919876543210", Text: "482913 is it"}
		decided, err := s.Decide(t.Context(), []screening.Parcel{p})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if reasons := decided[0].Verdicts[0].Reasons; len(reasons) > 0 {
			got = reasons[0].Code
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
