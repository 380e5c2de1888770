package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	store "github.com/onlinesms/onlinesms/services/compliance/internal/postgres"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening/screeningtest"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
	"github.com/onlinesms/onlinesms/services/internal/msisdn"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// traffic is generated messages of one tenant, in the clear, with the surroundings they are decided in.
type traffic struct {
	r        *rand.Rand
	tenant   uuid.UUID
	now      time.Time
	by       map[uuid.UUID]screening.Content
	snapshot *registry.Snapshot
}

func (g *traffic) Snapshot(uuid.UUID) *registry.Snapshot { return g.snapshot }

func (g *traffic) Open(_ context.Context, _ *screening.Parcel, m *screening.Message, into *screening.Content) error {
	*into = g.by[m.ID]
	return nil
}

func (g *traffic) Reseal(_ context.Context, _ *screening.Parcel, m *screening.Message, _ *screening.Content) ([]byte, error) {
	return m.Content, nil
}

// Proof answers by the number, all that there can be.
func (g *traffic) Proof(_ uuid.UUID, _ *screening.Message, to msisdn.Number, _ time.Time, f *policy.Facts) {
	f.Consent, f.Preference, f.BandOn = policy.Consent(to%7), policy.Preference(to/7%4), to%11 == 0
}

// moments of decisions: under every rule pack, by day and by night.
var moments = []time.Time{
	time.Date(2025, 1, 15, 12, 0, 0, 123456, policy.IST), time.Date(2025, 6, 1, 9, 59, 59, 999_999_999, policy.IST),
	time.Date(2026, 11, 23, 11, 0, 0, 1, policy.IST), time.Date(2026, 11, 23, 21, 30, 0, 0, policy.IST),
}

// fitting are templates of the demo registry with a header and a text that go with them.
var fitting = [][3]string{
	{"1107160000000000011", "ABCBNK", "482913 is your OTP for ABC login. Do not share it. - ABCBNK"},
	{"1107160000000000022", "ABCBNK", "Dear Asha, order 2345 shipped. Track: https://abc.in/t?o=2345 - ABCBNK"},
	{"1107160000000000033", "512345", "Fresh stock at ABC stores till Sunday. Opt out: https://abc.in/stop?x=1 - ABC"},
	{"1107160000000000044", "ABCBNK", "प्रिय ग्राहक, आपका ऑर्डर 2345 भेज दिया गया है। - ABCBNK"},
}

var texts = []string{
	"482913 is your OTP for ABC login. Do not share it. - ABCBNK",
	"482913 is your OTP for ABC login. Do not share it - ABCBNK",
	"Dear Asha, order 2345 shipped. Track: https://abc.in/t?o=2345 - ABCBNK",
	"Dear Asha, order 2345 shipped. Track: https://evil.xyz/t - ABCBNK",
	"Fresh stock at ABC stores till Sunday. Opt out: https://abc.in/stop?x=1 - ABC",
	"hello - ABCBNK", "\u200bhello", "",
}

// parcel makes one of n messages: in a campaign all are alike but for number and text, else each is of its own.
func (g *traffic) parcel(n int) screening.Parcel {
	p := screeningtest.NewParcel(n)
	p.Tenant = g.tenant
	campaign, fit := g.r.IntN(2) == 0, fitting[0]
	for i := range p.Messages {
		m := &p.Messages[i]
		if i == 0 || !campaign {
			fit = fitting[g.r.IntN(len(fitting))]
			if m.TemplateID, m.Header = fit[0], fit[1]; g.r.IntN(10) == 0 {
				m.TemplateID = []string{"1107160000000000055", "1107160000000000099", "99"}[g.r.IntN(3)]
				m.Header = []string{"VM-ABCBNK", "NOSUCH", "512345"}[g.r.IntN(3)]
			}
			m.Expire = g.now.Add(time.Duration(g.r.IntN(48)) * time.Hour).UnixMicro()
			if m.Schedule = 0; g.r.IntN(5) == 0 {
				m.Schedule = g.now.Add(time.Duration(g.r.IntN(30)-5) * time.Hour).UnixMicro()
			}
		} else {
			m.TemplateID, m.Header, m.Expire, m.Schedule = p.Messages[0].TemplateID, p.Messages[0].Header, p.Messages[0].Expire, p.Messages[0].Schedule
		}
		c := screening.Content{To: msisdn.Number(6_000_000_000 + g.r.Uint64N(4_000_000_000)).E164(), Text: fit[2]}
		if g.r.IntN(10) == 0 {
			c.Text = texts[g.r.IntN(len(texts))]
		}
		if c.Text == "" {
			c.Values = []template.Value{{Text: "482913"}}
		}
		if g.r.IntN(20) == 0 {
			c.To = "+911123456789"
		}
		g.by[m.ID] = c
	}
	return p
}

// generated records decisions on so many messages, made by the real Screener.
func generated(t testing.TB, s *store.Store, messages int) *traffic {
	t.Helper()
	packs, err := policy.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	g := &traffic{r: rand.New(rand.NewPCG(11, 12)), tenant: uuid.New(), by: map[uuid.UUID]screening.Content{}}
	if g.snapshot, err = registry.NewSnapshot(demo(t).Rows); err != nil {
		t.Fatal(err)
	}
	screener := screening.New(screening.Config{Registry: g, Packs: packs, Contents: g, Proofs: g, Store: s,
		Route: func(string) policy.Route { return policy.Route{Telemarketer: "1302157243747322354", AlphaPromo: true} },
		Now:   func() time.Time { return g.now }})
	const size = 500
	for done := 0; done < messages; {
		g.now = moments[done/size%len(moments)]
		var batch []screening.Parcel
		for len(batch) < 4 && done < messages {
			batch = append(batch, g.parcel(size))
			done += size
		}
		if err := screener.Screen(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		g.by = map[uuid.UUID]screening.Content{}
	}
	return g
}

// span covers everything that was accepted just now.
func span() (start, end time.Time) { return time.Now().Add(-time.Hour), time.Now().Add(time.Hour) }

// TestReplayOfRecordedDecisions (requirement 38, 62): 100,000 decisions that the Screener made and PostgreSQL keeps come
// out of their records as they were made, whatever pack and time they were made by; and what another pack would have made
// of them is told with its reason (requirement 72).
func TestReplayOfRecordedDecisions(t *testing.T) {
	messages := 100_000
	if testing.Short() || raceEnabled {
		messages = 10_000
	}
	s, _, _ := open(t)
	g := generated(t, s, messages)
	packs, err := policy.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	draft := packs.Version("third-amendment-draft")
	simulation := screening.Simulation{Pack: draft}
	seen, outcomes, reasons, would := map[uuid.UUID]bool{}, map[policy.Outcome]int{}, map[string]int{}, map[string]int64{}
	start, end := span()
	err = s.History(t.Context(), g.tenant, "live", start, end, func(r *screening.Recorded) bool {
		if seen[r.Message] || r.Facts == nil {
			t.Fatalf("%s: seen %v, facts %v", r.Message, seen[r.Message], r.Facts)
		}
		seen[r.Message] = true
		outcomes[r.Outcome]++
		for _, reason := range r.Reasons {
			reasons[reason.Code]++
		}
		d := r.Replay(packs.Version(r.Pack))
		if found := r.Differences(&d); len(found) > 0 {
			t.Fatalf("%s by %s: %+v; facts %+v", r.Message, r.Pack, found, r.Facts)
		}
		simulation.Add(r)
		if d := policy.Evaluate(draft, r.Facts, r.At); d.Outcome != r.Outcome {
			would[r.Outcome.String()+d.Outcome.String()]++
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d decisions made again: %v; %d reasons", len(seen), outcomes, len(reasons))
	if len(seen) != messages || len(outcomes) != 3 || len(reasons) < 12 {
		t.Errorf("%d of %d decisions; outcomes %v, reasons %v", len(seen), messages, outcomes, reasons)
	}
	told := map[string]int64{}
	for _, c := range simulation.Changes() {
		t.Logf("by %s: %s instead of %s for %s: %d, as %s", draft.Version, c.To, c.From, c.Reason, c.Count, c.Samples[0])
		if told[c.From.String()+c.To.String()] += c.Count; c.Reason == "" || len(c.Samples) == 0 || len(c.Samples) > 10 {
			t.Errorf("%+v", c)
		}
	}
	if len(would) == 0 || fmt.Sprint(told) != fmt.Sprint(would) || simulation.Decided() != int64(messages) {
		t.Errorf("told %v, would %v; %d decided", told, would, simulation.Decided())
	}
}

// TestHistoryIsTheTenantsOwn: other tenants, the other environment, times outside; and it ends when it is told to.
func TestHistoryIsTheTenantsOwn(t *testing.T) {
	s, _, _ := open(t)
	g := generated(t, s, 2000)
	start, end := span()
	count := func(tenant uuid.UUID, env string, start, end time.Time, most int) (n int) {
		err := s.History(t.Context(), tenant, env, start, end, func(*screening.Recorded) bool { n++; return n < most })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for name, got := range map[string][2]int{
		"all":              {count(g.tenant, "live", start, end, 1e6), 2000},
		"another tenant":   {count(uuid.New(), "live", start, end, 1e6), 0},
		"the other env":    {count(g.tenant, "test", start, end, 1e6), 0},
		"before":           {count(g.tenant, "live", start.Add(-time.Hour), start, 1e6), 0},
		"after":            {count(g.tenant, "live", end, end.Add(time.Hour), 1e6), 0},
		"until it is told": {count(g.tenant, "live", start, end, 700), 700},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %d decisions, want %d", name, got[0], got[1])
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	err := s.History(ctx, g.tenant, "live", start, end, func(*screening.Recorded) bool {
		if n++; n == 10 {
			cancel()
		}
		return true
	})
	if err == nil || n > 600 {
		t.Errorf("%d decisions after a cancellation, %v", n, err)
	}
}

// TestDigestSeesEveryChange (requirement 63): a record that was changed in the database has another digest.
func TestDigestSeesEveryChange(t *testing.T) {
	s, _, d := open(t)
	g := generated(t, s, 500)
	var message uuid.UUID
	start, end := span()
	if err := s.History(t.Context(), g.tenant, "live", start, end, func(r *screening.Recorded) bool { message = r.Message; return false }); err != nil {
		t.Fatal(err)
	}
	digest := func() [32]byte {
		found, err := s.Decisions(t.Context(), g.tenant, "live", message)
		if err != nil {
			t.Fatal(err)
		}
		return found[0].Digest
	}
	before := digest()
	for _, change := range []string{"rule_pack = '2025-05-06'", "decide_time = decide_time + interval '1 us'",
		"entries = set_byte(entries, length(entries) - 1, get_byte(entries, length(entries) - 1) # 1)"} {
		tag, err := d.DB.Worker.Exec(t.Context(), "UPDATE decisions SET "+change+" WHERE day = $1 AND parcel_id = $2",
			postgres.Day(screening.Accepted(message)), screening.Accepted(message))
		if err != nil || tag.RowsAffected() != 1 {
			t.Fatalf("%s: %v %v", change, tag, err)
		}
		if after := digest(); after == before {
			t.Errorf("%s is not seen", change)
		} else {
			before = after
		}
	}
}
