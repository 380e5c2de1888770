package consumer

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	eventv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/event/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/seal"
)

// vault answers sealed values by their text, and errors for the words "destroyed" and "away".
type vault struct{ bindings []seal.Binding }

func (v *vault) Open(_ context.Context, dst, sealed []byte, b seal.Binding) ([]byte, error) {
	v.bindings = append(v.bindings, b)
	switch string(sealed) {
	case "destroyed":
		return nil, errs.E(errs.NotFound, "CONTENT_KEY_DESTROYED", "gone", nil)
	case "moved":
		return nil, errs.E(errs.Invalid, "CONTENT_UNREADABLE", "changed", nil)
	case "away":
		return nil, errs.E(errs.Unavailable, "KEYS_AWAY", "later", nil)
	}
	return append(dst, sealed...), nil
}

func content(t testing.TB, to, text string) []byte {
	t.Helper()
	b, err := proto.Marshal(&ingestv1.Content{To: to, Text: text})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wire is a cleared parcel with messages of these contents.
func wire(contents ...[]byte) *compliancev1.ClearedParcel {
	id, tenant := uuid.Must(uuid.NewV7()), uuid.New()
	p := &compliancev1.ClearedParcel{ParcelId: id[:], TenantId: tenant[:], CorrelationId: id[:]}
	for i, c := range contents {
		message := uuid.UUID{byte(i + 1)}
		p.Messages = append(p.Messages, &compliancev1.ClearedMessage{
			MessageId: message[:], EntityId: "1701158019811140068", Header: "ABCBNK", TemplateId: "1107160000000000011", Content: c,
			ChainHash: []byte{0xAB, 0x01}, ExpireTimeUs: 1_000_000, Category: typev1.Category_PROMOTIONAL, Round: 2,
		})
	}
	return p
}

func parcel(t testing.TB, w *compliancev1.ClearedParcel) *delivery.Parcel {
	t.Helper()
	payload, err := proto.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	return &delivery.Parcel{ID: uuid.UUID(w.ParcelId), Tenant: uuid.UUID(w.TenantId), Env: "test", Payload: payload}
}

func TestOpen(t *testing.T) {
	v := &vault{}
	p := parcel(t, wire(content(t, "+919812345678", "hello"), []byte("destroyed"), []byte("moved"), content(t, "+911", ""),
		content(t, "+911", strings.Repeat("न", 256*67))))
	if err := NewOpener(v).Open(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	m := p.Messages[0]
	if m.To != "919812345678" || m.Segments() != 1 || string(m.Text.Segments[0]) != "hello" || m.Unreadable != "" || m.Chain != "ab01" ||
		!m.Promotional || m.Round != 2 || !m.Expire.Equal(time.Unix(1, 0)) || m.Parcel != p || m.ID != (uuid.UUID{1}) {
		t.Errorf("message %+v", m)
	}
	if want := (seal.Binding{Env: "test", Tenant: p.Tenant, Message: m.ID, Class: seal.ClassContent}); v.bindings[0] != want {
		t.Errorf("binding %+v", v.bindings[0])
	}
	for i, want := range []string{"", "CONTENT_UNREADABLE", "CONTENT_UNREADABLE", "CONTENT_UNREADABLE", "CONTENT_NOT_ENCODABLE"} {
		if got := p.Messages[i].Unreadable; got != want || p.Messages[i].Index != uint16(i) {
			t.Errorf("message %d: %q, want %q", i, got, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	o := NewOpener(&vault{})
	if err := o.Open(t.Context(), parcel(t, wire([]byte("away")))); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("keys away: %v", err)
	}
	for name, p := range map[string]*delivery.Parcel{
		"empty": parcel(t, wire()), "too many": parcel(t, wire(make([][]byte, 501)...)), "no protobuf": {Payload: []byte{0xFF}},
	} {
		if err := o.Open(t.Context(), p); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	w := wire([]byte("x"))
	w.Messages[0].MessageId = nil
	if err := o.Open(t.Context(), parcel(t, w)); errs.KindOf(err) != errs.Invalid {
		t.Errorf("message without id: %v", err)
	}
}

// basket keeps what it is given.
type basket struct {
	parcels []*delivery.Parcel
	err     error
}

func (b *basket) Take(_ context.Context, parcels []*delivery.Parcel) error {
	b.parcels = append(b.parcels, parcels...)
	return b.err
}

func cleared(t testing.TB, parcels ...*compliancev1.ClearedParcel) eventbus.Delivery {
	t.Helper()
	data, err := proto.Marshal(&compliancev1.MessagesCleared{Metadata: &eventv1.Metadata{Producer: "compliance"}, Parcels: parcels})
	if err != nil {
		t.Fatal(err)
	}
	return eventbus.Delivery{Event: Cleared, Env: "live", Lane: "otp", Data: data}
}

func TestHandle(t *testing.T) {
	a, b, c := wire([]byte("a")), wire([]byte("b")), wire([]byte("c"))
	taker := &basket{err: errors.New("as it is")}
	batch := []eventbus.Delivery{cleared(t, a, b), cleared(t, c)}
	if err := NewHandler(taker).Handle(t.Context(), batch); err != taker.err {
		t.Errorf("the taker's error: %v", err)
	}
	if len(taker.parcels) != 3 {
		t.Fatalf("%d parcels", len(taker.parcels))
	}
	clear(batch[0].Data) // valid only until the handler returns
	got := &compliancev1.ClearedParcel{}
	p := taker.parcels[0]
	if err := proto.Unmarshal(p.Payload, got); err != nil || !proto.Equal(got, a) {
		t.Errorf("payload: %v", err)
	}
	if p.ID != uuid.UUID(a.ParcelId) || p.Tenant != uuid.UUID(a.TenantId) || p.Env != "live" || p.Lane != delivery.OTP {
		t.Errorf("parcel %+v", p)
	}
}

func TestHandleRefuses(t *testing.T) {
	good := cleared(t, wire([]byte("a")))
	for name, change := range map[string]func(*eventbus.Delivery){
		"another event":       func(d *eventbus.Delivery) { d.Event = "onlinesms.compliance.v1.MessagesHeld" },
		"another lane":        func(d *eventbus.Delivery) { d.Lane = "control" },
		"another environment": func(d *eventbus.Delivery) { d.Env = "prod" },
		"no event":            func(d *eventbus.Delivery) { d.Data = []byte{0xFF} },
	} {
		d := good
		change(&d)
		if err := NewHandler(&basket{}).Handle(t.Context(), []eventbus.Delivery{d}); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// BenchmarkOpen is a parcel of 500 messages, their content not sealed.
func BenchmarkOpen(b *testing.B) {
	contents := make([][]byte, 500)
	for i := range contents {
		contents[i] = content(b, "+919812345678", "Dear A1, order 99182 shipped. Track: https://abc.in/t?1 - ABCBNK")
	}
	o, p := NewOpener(&vault{}), parcel(b, wire(contents...))
	b.ReportAllocs()
	for b.Loop() {
		if err := o.Open(context.Background(), p); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/msg")
}
