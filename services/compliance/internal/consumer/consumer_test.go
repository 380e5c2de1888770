package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consumer"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening/screeningtest"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/seal"
	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// calls records what the handler asks of the screener.
type calls struct {
	screened []screening.Parcel
	returned []screening.Returned
	answers  []screening.Answer
	err      error
}

func (c *calls) Screen(_ context.Context, p []screening.Parcel) error {
	c.screened = append(c.screened, p...)
	return c.err
}

func (c *calls) Return(_ context.Context, p []screening.Returned) error {
	c.returned = append(c.returned, p...)
	return c.err
}

func (c *calls) AddAnswers(_ context.Context, answers map[uuid.UUID][]screening.Answer) error {
	for _, all := range answers {
		c.answers = append(c.answers, all...)
	}
	return c.err
}

// TestAnswersOfOperators: failures and receipts that say 650 or 652 are noted, with nothing but ids; others are not.
func TestAnswersOfOperators(t *testing.T) {
	parcel, tenant, blocked, other := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	outcomes := []*dispatchv1.OutcomeParcel{{ParcelId: parcel[:], TenantId: tenant[:], Outcomes: []*dispatchv1.Outcome{
		{MessageId: blocked[:], TimeUs: 5, Reason: &typev1.Reason{Code: "PREFERENCE_BLOCKED"}},
		{MessageId: other[:], TimeUs: 5, Reason: &typev1.Reason{Code: "OPERATOR_REFUSED"}},
		{MessageId: other[:], TimeUs: 6, Reason: &typev1.Reason{Code: "SE_BLOCKED_DND_NO_CONSENT"}}}}}
	var c calls
	err := consumer.New(&c, &c).Handle(t.Context(), []eventbus.Delivery{
		delivery(t, consumer.EventFailed, &dispatchv1.MessagesFailed{Parcels: outcomes}),
		delivery(t, consumer.EventUndelivered, &dispatchv1.MessagesUndelivered{Parcels: outcomes})})
	want := screening.Answer{Tenant: tenant, Env: "live", Message: blocked, Code: preference.PreferenceBlocked, At: time.UnixMicro(5)}
	if err != nil || len(c.answers) != 4 || c.answers[0] != want || c.answers[1].Code != preference.ExplicitBlocked || len(c.screened)+len(c.returned) > 0 {
		t.Errorf("%v %+v", err, c.answers)
	}
	broken := []*dispatchv1.OutcomeParcel{{ParcelId: parcel[:1], TenantId: tenant[:]}}
	err = consumer.New(&c, &c).Handle(t.Context(), []eventbus.Delivery{delivery(t, consumer.EventFailed, &dispatchv1.MessagesFailed{Parcels: broken})})
	if errs.KindOf(err) != errs.Invalid {
		t.Error(err)
	}
}

func delivery(t *testing.T, event string, m proto.Message) eventbus.Delivery {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return eventbus.Delivery{Event: event, Env: "live", Lane: "bulk", Data: data}
}

func accepted(p screening.Parcel) *ingestv1.AcceptedParcel {
	out := &ingestv1.AcceptedParcel{ParcelId: p.ID[:], TenantId: p.Tenant[:], CorrelationId: p.Correlation[:]}
	for i := range p.Messages {
		m := &p.Messages[i]
		out.Messages = append(out.Messages, &ingestv1.AcceptedMessage{MessageId: m.ID[:], EntityId: m.EntityID, Header: m.Header,
			TemplateId: m.TemplateID, Content: m.Content, RecipientIndex: m.RecipientIndex, ExpireTimeUs: m.Expire, ScheduleTimeUs: 77})
	}
	return out
}

func TestAcceptedParcelsAreScreenedTogether(t *testing.T) {
	a, b := screeningtest.NewParcel(2), screeningtest.NewParcel(1)
	var c calls
	sampled := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	second := delivery(t, consumer.EventAccepted, &ingestv1.MessagesAccepted{Parcels: []*ingestv1.AcceptedParcel{accepted(b)}})
	second.Span = sampled
	err := consumer.New(&c, &c).Handle(t.Context(), []eventbus.Delivery{
		delivery(t, consumer.EventAccepted, &ingestv1.MessagesAccepted{Parcels: []*ingestv1.AcceptedParcel{accepted(a)}}), second,
		{Event: "onlinesms.ingest.v1.SomethingElse", Data: []byte("not ours")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*screening.Parcel{&a, &b} {
		for i := range p.Messages {
			p.Messages[i].Schedule = 77
		}
	}
	b.Trace = "00-01000000000000000000000000000000-0200000000000000-01"
	if diff := cmp.Diff([]screening.Parcel{a, b}, c.screened); diff != "" {
		t.Error(diff)
	}
}

func TestReturnedMessages(t *testing.T) {
	id, tenant, message, cleared := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	var c calls
	err := consumer.New(&c, &c).Handle(t.Context(), []eventbus.Delivery{delivery(t, consumer.EventReturned, &dispatchv1.MessagesReturned{
		Parcels: []*dispatchv1.OutcomeParcel{{ParcelId: id[:], TenantId: tenant[:], CorrelationId: id[:], Outcomes: []*dispatchv1.Outcome{
			{MessageId: message[:], ClearedParcelId: cleared[:], DueTimeUs: 5, Reason: &typev1.Reason{Code: "PROMO_WINDOW", Detail: "d"}}}}}})})
	if err != nil {
		t.Fatal(err)
	}
	want := []screening.Returned{{ID: id, Tenant: tenant, Correlation: id, Env: "live", Lane: "bulk", Messages: []screening.ReturnedMessage{
		{ID: message, Cleared: cleared, Due: 5, Reason: policy.Reason{Code: "PROMO_WINDOW", Detail: "d"}}}}}
	if diff := cmp.Diff(want, c.returned); diff != "" {
		t.Error(diff)
	}
}

func TestVerdicts(t *testing.T) {
	p := screeningtest.NewParcel(1)
	foreign := accepted(p)
	other := uuid.New()
	foreign.Messages[0].MessageId = other[:]
	short := accepted(p)
	short.TenantId = short.TenantId[:3]
	away := errs.E(errs.Unavailable, "", "", nil)
	good := delivery(t, consumer.EventAccepted, &ingestv1.MessagesAccepted{Parcels: []*ingestv1.AcceptedParcel{accepted(p)}})
	for name, c := range map[string]struct {
		d    eventbus.Delivery
		err  error
		want errs.Kind
	}{
		"no protobuf":       {eventbus.Delivery{Event: consumer.EventAccepted, Data: []byte{0xff}}, nil, errs.Invalid},
		"no return":         {eventbus.Delivery{Event: consumer.EventReturned, Data: []byte{0xff}}, nil, errs.Invalid},
		"foreign message":   {delivery(t, consumer.EventAccepted, &ingestv1.MessagesAccepted{Parcels: []*ingestv1.AcceptedParcel{foreign}}), nil, errs.Invalid},
		"short id":          {delivery(t, consumer.EventAccepted, &ingestv1.MessagesAccepted{Parcels: []*ingestv1.AcceptedParcel{short}}), nil, errs.Invalid},
		"screener is away":  {good, away, errs.Unavailable},
		"screener is wrong": {good, errors.New("x"), errs.Internal},
	} {
		if err := consumer.New(&calls{err: c.err}, nil).Handle(t.Context(), []eventbus.Delivery{c.d}); err == nil || errs.KindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// keys keeps data keys in memory, as ingest does in PostgreSQL.
type keys struct {
	mu      sync.Mutex
	id      uint64
	wrapped []byte
	err     error
}

func (k *keys) Wrapped(context.Context, uint64) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.wrapped, k.err
}

func (k *keys) Current(_ context.Context, _ string, _ uuid.UUID, _ time.Time, _ string, mint func(uint64) ([]byte, error)) (id uint64, wrapped []byte, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.wrapped == nil {
		k.id = 1
		k.wrapped, err = mint(1)
	}
	return k.id, k.wrapped, err
}

func sealer(t testing.TB, k *keys) *seal.Sealer {
	t.Helper()
	dir := t.TempDir()
	kekFile, ringFile := filepath.Join(dir, "kek"), filepath.Join(dir, "ring")
	if err := seal.GenerateFileKEK(kekFile); err != nil {
		t.Fatal(err)
	}
	kek, err := seal.ReadKEK(t.Context(), secret.File(kekFile), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := seal.CreateKeyring(t.Context(), kek, ringFile, "live", "test"); err != nil {
		t.Fatal(err)
	}
	ring, err := seal.OpenKeyring(t.Context(), secret.File(kekFile), secret.File(ringFile), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return seal.NewSealer(ring, k, time.Now)
}

func sealed(t testing.TB, s *seal.Sealer, p *screening.Parcel, m *screening.Message, c *ingestv1.Content) []byte {
	t.Helper()
	plain, err := proto.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Seal(t.Context(), nil, plain, seal.Binding{Env: p.Env, Tenant: p.Tenant, Message: m.ID, Class: seal.ClassContent})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestContentsOpenAndReseal(t *testing.T) {
	k := &keys{}
	s := sealer(t, k)
	p := screeningtest.NewParcel(2)
	m := &p.Messages[0]
	m.Content = sealed(t, s, &p, m, &ingestv1.Content{To: "+919876543210", Variables: []*ingestv1.Variable{{Name: "a", Value: "1"}, {Value: "2"}}})
	contents := consumer.NewContents(s.Opener())
	var c screening.Content
	if err := contents.Open(t.Context(), &p, m, &c); err != nil {
		t.Fatal(err)
	}
	want := screening.Content{To: "+919876543210", Values: []template.Value{{Name: "a", Text: "1"}, {Text: "2"}}}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	c.Text, want.Text = "rendered", "rendered"
	again, err := contents.Reseal(t.Context(), &p, m, &c)
	if err != nil || bytes.Contains(again, []byte("rendered")) {
		t.Fatalf("%q %v", again, err)
	}
	m.Content = again
	var back screening.Content
	if err := contents.Open(t.Context(), &p, m, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, back); diff != "" {
		t.Error(diff)
	}
	p.Messages[1].Content = again // another place
	if err := contents.Open(t.Context(), &p, &p.Messages[1], &back); errs.KindOf(err) != errs.Invalid {
		t.Errorf("opened elsewhere: %v", err)
	}
}

// TestRefusedKeyIsAway: that a provider refuses us must not refuse the sender's messages for good.
func TestRefusedKeyIsAway(t *testing.T) {
	k := &keys{}
	s := sealer(t, k)
	p := screeningtest.NewParcel(1)
	m := &p.Messages[0]
	m.Content = sealed(t, s, &p, m, &ingestv1.Content{To: "+919876543210"})
	k.err = errs.E(errs.Denied, "", "", nil)
	fresh := consumer.NewContents(&refusing{k})
	if err := fresh.Open(t.Context(), &p, m, &screening.Content{}); errs.KindOf(err) != errs.Unavailable {
		t.Error(err)
	}
}

type refusing struct{ k *keys }

func (r *refusing) Open(context.Context, []byte, []byte, seal.Binding) ([]byte, error) {
	return nil, r.k.err
}

func (r *refusing) Reseal(context.Context, []byte, []byte, []byte, seal.Binding) ([]byte, error) {
	return nil, r.k.err
}

func FuzzContent(f *testing.F) {
	f.Add([]byte{0x0a, 1, 'a', 0x12, 1, 'b', 0x1a, 2, 0x12, 0})
	f.Fuzz(func(t *testing.T, plain []byte) {
		var want ingestv1.Content
		var got screening.Content
		err := consumer.NewContents(plainOpener{}).Open(t.Context(), &screening.Parcel{}, &screening.Message{Content: plain}, &got)
		if proto.Unmarshal(plain, &want) != nil {
			return // generated code also refuses bad UTF-8, which Normalise replaces
		}
		if err != nil {
			t.Fatal(err)
		}
		if got.To != want.GetTo() || got.Text != want.GetText() || len(got.Values) != len(want.GetVariables()) {
			t.Fatalf("%+v, want %v", got, &want)
		}
	})
}

type plainOpener struct{}

func (plainOpener) Open(_ context.Context, dst, sealed []byte, _ seal.Binding) ([]byte, error) {
	return append(dst, sealed...), nil
}

func (plainOpener) Reseal(context.Context, []byte, []byte, []byte, seal.Binding) ([]byte, error) {
	return nil, nil
}
