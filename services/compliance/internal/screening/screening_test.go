package screening_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening/screeningtest"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

func TestStoreInMemory(t *testing.T) {
	screeningtest.RunStoreTests(t, func(*testing.T) screeningtest.Harness {
		s := screeningtest.NewStore()
		return screeningtest.Harness{Store: s, Outgoing: s.Outgoing,
			Decisions: func(_, m uuid.UUID) []screening.Decided { return s.Decisions(m) }}
	})
}

// contents keeps content in clear, by message, for tests.
type contents struct {
	by     map[uuid.UUID]screening.Content
	err    error
	broken map[uuid.UUID]bool // messages that fail for an unknown reason
}

func (c *contents) Open(_ context.Context, _ *screening.Parcel, m *screening.Message, into *screening.Content) error {
	*into = c.by[m.ID]
	if c.broken[m.ID] {
		return errors.New("broken")
	}
	return c.err
}

func (c *contents) Reseal(_ context.Context, _ *screening.Parcel, _ *screening.Message, from *screening.Content) ([]byte, error) {
	return []byte("resealed:" + from.Text), nil
}

// demo is the registry of make up for every tenant.
type demo struct{ snapshot *registry.Snapshot }

func (d demo) Snapshot(uuid.UUID) *registry.Snapshot { return d.snapshot }

type house struct {
	t        *testing.T
	screener *screening.Screener
	store    *screeningtest.Store
	contents *contents
	now      time.Time
}

func newHouse(t *testing.T, now time.Time) *house {
	t.Helper()
	h := &house{t: t, store: screeningtest.NewStore(), contents: &contents{by: map[uuid.UUID]screening.Content{}}, now: now}
	h.screener = screening.New(h.config(snapshot(t, demoFile(t))))
	return h
}

func (h *house) config(s *registry.Snapshot) screening.Config {
	packs, err := policy.Builtin()
	if err != nil {
		h.t.Fatal(err)
	}
	return screening.Config{Registry: demo{s}, Packs: packs, Contents: h.contents, Store: h.store,
		Now: func() time.Time { return h.now }}
}

func demoFile(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("../../../../deploy/local/demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func snapshot(t *testing.T, file string) *registry.Snapshot {
	t.Helper()
	parsed, err := registry.ParseFile([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	s, err := registry.NewSnapshot(parsed.Rows)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// withoutOverride is the demo registry as it would stand outside of demonstrations.
func withoutOverride(t *testing.T) *registry.Snapshot {
	t.Helper()
	const override = "      overrides: [preference_unchecked_allowed]\n"
	file := demoFile(t)
	if !strings.Contains(file, override) {
		t.Fatal("the demo's promotional template has no override")
	}
	return snapshot(t, strings.Replace(file, override, "", 1))
}

// parcel makes a parcel of one message under a template.
func (h *house) parcel(templateID, header string, c screening.Content) screening.Parcel {
	p := screeningtest.NewParcel(1)
	p.Messages[0].TemplateID, p.Messages[0].Header = templateID, header
	p.Messages[0].Expire = h.now.Add(48 * time.Hour).UnixMicro()
	if c.To == "" {
		c.To = "+919876543210"
	}
	h.contents.by[p.Messages[0].ID] = c
	return p
}

func (h *house) screen(p screening.Parcel) screeningtest.Outgoing {
	h.t.Helper()
	if err := h.screener.Screen(h.t.Context(), []screening.Parcel{p, p}); err != nil {
		h.t.Fatal(err)
	}
	out := h.store.Outgoing()
	return out[len(out)-1]
}

const (
	otp, shipped, stock, hindi, anything = "1107160000000000011", "1107160000000000022", "1107160000000000033",
		"1107160000000000044", "1107160000000000055"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, policy.IST)

func TestOutcomes(t *testing.T) {
	shippedText := "Dear Asha, order 2345 shipped. Track: https://abc.in/t?o=2345 - ABCBNK"
	for name, c := range map[string]struct {
		template, header, env string
		content               screening.Content
		want                  []string // codes; none when cleared
		sealed                string
	}{
		"otp":              {otp, "ABCBNK", "live", screening.Content{Text: "482913 is your OTP for ABC login. Do not share it. - ABCBNK"}, nil, "sealed"},
		"off by one":       {otp, "ABCBNK", "live", screening.Content{Text: "482913 is your OTP for ABC login. Do not share it - ABCBNK"}, []string{template.NotMatched}, ""},
		"wrong header":     {otp, "NOSUCH", "live", screening.Content{Text: "482913 is your OTP for ABC login. Do not share it. - ABCBNK"}, []string{policy.HeaderNotFound}, ""},
		"with a prefix":    {otp, "VM-ABCBNK", "live", screening.Content{Text: "482913 is your OTP for ABC login. Do not share it. - ABCBNK"}, []string{policy.HeaderHasPrefix}, ""},
		"variables":        {shipped, "ABCBNK", "live", screening.Content{Values: []template.Value{{Text: "Asha"}, {Text: "2345"}, {Text: "https://abc.in/t?o=2345"}}}, nil, "resealed:" + shippedText},
		"text of the same": {shipped, "ABCBNK", "live", screening.Content{Text: shippedText}, nil, "sealed"},
		"too few variables": {shipped, "ABCBNK", "live", screening.Content{Values: []template.Value{{Text: "Asha"}}},
			[]string{template.VariableCount}, ""},
		"decomposed": {shipped, "ABCBNK", "live", screening.Content{Text: "Dear Jose\u0301, order 2345 shipped. Track: https://abc.in/t?o=2345 - ABCBNK"}, nil,
			"resealed:Dear Jos\u00e9, order 2345 shipped. Track: https://abc.in/t?o=2345 - ABCBNK"},
		"landline": {otp, "ABCBNK", "live", screening.Content{To: "+911123456789", Text: "482913 is your OTP for ABC login. Do not share it. - ABCBNK"},
			[]string{policy.RecipientInvalid}, ""},
		"anything in test": {anything, "ABCBNK", "test", screening.Content{Text: "€\n😀 https://evil.xyz - ABCBNK"}, nil, "sealed"},
		"anything in live": {anything, "ABCBNK", "live", screening.Content{Text: "hello - ABCBNK"}, []string{policy.TemplateInactive}, ""},
		"promotional at noon": {stock, "512345", "live", screening.Content{Text: "Fresh stock at ABC stores till Sunday. Opt out: https://abc.in/stop?x=1 - ABC"},
			nil, "sealed"},
		"hindi": {hindi, "ABCBNK", "live", screening.Content{Text: "प्रिय ग्राहक, आपका ऑर्डर 2345 भेज दिया गया है। - ABCBNK"}, nil, "sealed"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, noon)
			p := h.parcel(c.template, c.header, c.content)
			p.Env = c.env
			out := h.screen(p)
			m := screeningtest.OutgoingMessage{ID: p.Messages[0].ID, Codes: c.want, Content: c.sealed}
			if diff := cmp.Diff([]screeningtest.OutgoingMessage{m}, out.Messages); diff != "" {
				t.Error(diff)
			}
			if n := len(h.store.Outgoing()); n != 1 {
				t.Errorf("%d parcels went out", n)
			}
		})
	}
}

func TestMismatchIsExplained(t *testing.T) {
	h := newHouse(t, noon)
	p := h.parcel(otp, "ABCBNK", screening.Content{Text: "482913 is your OTP for ABC login. Do not share it - ABCBNK"})
	h.screen(p)
	r := h.store.Decisions(p.Messages[0].ID)[0].Reasons[0]
	want := policy.Reason{Code: template.NotMatched, Metadata: map[string]string{"position": "50", "offset": "49",
		"expected": ". - ABCBNK", "found": "a space", "fix": "full_stop_missing", "lenient": "true"},
		Detail: "The text differs from its template at character 50: the template has there: . - ABCBNK; the text has a space. " +
			"Put the full stop where the template has it. Some operators ignore this difference, others refuse the message."}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error(diff)
	}
}

// TestPromotionWaitsForTheBand: held at 22:00 IST, not released before 10:00, cleared then; and its content was rendered
// and sealed once.
func TestPromotionWaitsForTheBand(t *testing.T) {
	h := newHouse(t, time.Date(2026, 11, 23, 22, 0, 0, 0, policy.IST))
	p := h.parcel(stock, "512345", screening.Content{Values: []template.Value{{Text: "Sunday"}, {Text: "https://abc.in/stop?x=1"}}})
	p.Messages[0].Schedule = 0
	if out := h.screen(p); out.Outcome != policy.Held || out.Messages[0].Codes[0] != policy.PromoWindow {
		t.Fatalf("%+v", out)
	}
	release := func() int {
		t.Helper()
		n, err := h.store.Release(t.Context(), p.Lane, h.now, 100, h.screener.Decide)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	h.now = time.Date(2026, 11, 24, 9, 59, 59, 999, policy.IST)
	if n := release(); n != 0 {
		t.Fatal("released before 10:00")
	}
	h.now = time.Date(2026, 11, 24, 10, 0, 0, 0, policy.IST)
	h.contents.by[p.Messages[0].ID] = screening.Content{To: "+919876543210", Text: "Fresh stock at ABC stores till Sunday. Opt out: https://abc.in/stop?x=1 - ABC"}
	if n := release(); n != 1 {
		t.Fatal("not released at 10:00")
	}
	out := h.store.Outgoing()
	last := out[len(out)-1]
	if last.Outcome != policy.Cleared || last.Messages[0].Round != 0 ||
		last.Messages[0].Content != "resealed:Fresh stock at ABC stores till Sunday. Opt out: https://abc.in/stop?x=1 - ABC" {
		t.Errorf("%+v", last)
	}
}

func TestReturned(t *testing.T) {
	h := newHouse(t, noon)
	a := h.parcel(otp, "ABCBNK", screening.Content{Text: "482913 is your OTP for ABC login. Do not share it. - ABCBNK"})
	b := h.parcel(otp, "ABCBNK", screening.Content{Text: "482913 is your OTP for ABC login. Do not share it. - ABCBNK"})
	b.Tenant = a.Tenant
	first, second := h.screen(a), h.screen(b)
	due := noon.Add(time.Hour)
	why := policy.R(policy.PromoWindow)
	returned := screening.Returned{ID: uuid.Must(uuid.NewV7()), Tenant: a.Tenant, Env: a.Env, Lane: a.Lane, Messages: []screening.ReturnedMessage{
		{ID: a.Messages[0].ID, Cleared: first.ID, Due: due.UnixMicro(), Reason: why},
		{ID: b.Messages[0].ID, Cleared: second.ID, Due: b.Messages[0].Expire, Reason: why}}}
	for range 2 { // the second delivery has no effect
		if err := h.screener.Return(t.Context(), []screening.Returned{returned, returned}); err != nil {
			t.Fatal(err)
		}
	}
	out := h.store.Outgoing()[2:]
	if len(out) != 2 || out[0].Outcome != policy.Held || out[1].Outcome != policy.Refused {
		t.Fatalf("%+v", out)
	}
	want := [][]screeningtest.OutgoingMessage{{{ID: a.Messages[0].ID, Round: 1, Codes: []string{policy.PromoWindow}}},
		{{ID: b.Messages[0].ID, Round: 1, Codes: []string{policy.MessageExpired, policy.PromoWindow}}}}
	if diff := cmp.Diff(want, [][]screeningtest.OutgoingMessage{out[0].Messages, out[1].Messages}); diff != "" {
		t.Error(diff)
	}
	h.now = due
	if n, err := h.store.Release(t.Context(), a.Lane, due, 10, h.screener.Decide); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if last := h.store.Outgoing()[4]; last.Outcome != policy.Cleared || last.Messages[0].Round != 1 {
		t.Errorf("%+v", last)
	}
}

func TestReturnedByAnotherTenant(t *testing.T) {
	h := newHouse(t, noon)
	a := h.parcel(otp, "ABCBNK", screening.Content{Text: "482913 is your OTP for ABC login. Do not share it. - ABCBNK"})
	cleared := h.screen(a)
	err := h.screener.Return(t.Context(), []screening.Returned{{ID: uuid.Must(uuid.NewV7()), Tenant: uuid.New(), Env: a.Env, Lane: a.Lane,
		Messages: []screening.ReturnedMessage{{ID: a.Messages[0].ID, Cleared: cleared.ID}}}})
	if errs.KindOf(err) != errs.Invalid {
		t.Errorf("got %v", err)
	}
}

func TestContentThatCannotBeRead(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"erased":  {errs.E(errs.NotFound, "CONTENT_KEY_DESTROYED", "", nil), policy.ContentUnreadable},
		"damaged": {errs.E(errs.Invalid, "CONTENT_UNREADABLE", "", nil), policy.ContentUnreadable},
		"away":    {errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "", nil), ""},
		"broken":  {errors.New("broken"), ""},
	} {
		h := newHouse(t, noon)
		p := h.parcel(otp, "ABCBNK", screening.Content{})
		h.contents.err = c.err
		err := h.screener.Screen(t.Context(), []screening.Parcel{p})
		if c.want == "" {
			if !errors.Is(err, c.err) || len(h.store.Outgoing()) != 0 {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if out := h.store.Outgoing(); err != nil || out[0].Messages[0].Codes[0] != c.want {
			t.Errorf("%s: %v %+v", name, err, out)
		}
	}
}

func TestIndexAndParcelOfAMessage(t *testing.T) {
	p := screeningtest.NewParcel(500)
	for i, m := range p.Messages {
		if screening.Accepted(m.ID) != p.ID || screening.Index(m.ID) != i {
			t.Fatalf("message %d: %s", i, m.ID)
		}
	}
}

// BenchmarkPreview tries batches as BatchScrub does.
func BenchmarkPreview(b *testing.B) {
	packs, err := policy.Builtin()
	if err != nil {
		b.Fatal(err)
	}
	raw, err := os.ReadFile("../../../../deploy/local/demo.yaml")
	if err != nil {
		b.Fatal(err)
	}
	file, err := registry.ParseFile(raw)
	if err != nil {
		b.Fatal(err)
	}
	rows, err := registry.NewSnapshot(file.Rows)
	if err != nil {
		b.Fatal(err)
	}
	s := screening.New(screening.Config{Registry: demo{rows}, Packs: packs, Now: time.Now})
	drafts := make([]screening.Draft, screening.MaxDrafts)
	for i := range drafts {
		drafts[i] = screening.Draft{EntityID: "1701158019811140068", Header: "ABCBNK", TemplateID: shipped, Content: screening.Content{
			To: "09876543210", Text: "Dear Asha, order 2345 shipped. Track: https://abc.in/t?o=2345 - ABCBNK"}}
	}
	b.ReportAllocs()
	for b.Loop() {
		previews, err := s.Preview(b.Context(), uuid.Nil, "live", drafts, nil, time.Time{})
		if err != nil || previews[0].Outcome != policy.Cleared {
			b.Fatal(err, previews[0])
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/screening.MaxDrafts, "ns/message")
}
