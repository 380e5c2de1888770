package webhook

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	eventv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/event/v1"
	feedv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/feed/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// shelf keeps what is published.
type shelf []eventbus.Raw

func (s *shelf) PublishRawBatch(_ context.Context, batch []eventbus.Raw) error {
	*s = append(*s, batch...)
	return nil
}

var at = time.Date(2026, 10, 12, 4, 35, 0, 123_000, time.UTC)

func head() *eventv1.Metadata {
	id := uuid.Must(uuid.NewV7())
	return &eventv1.Metadata{EventId: id[:], Time: timestamppb.New(at), Env: typev1.Environment_LIVE, Lane: typev1.Lane_BULK, Producer: "x"}
}

func event(t testing.TB, name string, m proto.Message) eventbus.Delivery {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return eventbus.Delivery{Event: name, Env: "live", Lane: "bulk", Data: data}
}

func outcomes(tenants ...uuid.UUID) *dispatchv1.MessagesUndelivered {
	pack := &dispatchv1.MessagesUndelivered{Metadata: head()}
	for i, tenant := range tenants {
		id, message := uuid.New(), uuid.UUID{byte(i)}
		pack.Parcels = append(pack.Parcels, &dispatchv1.OutcomeParcel{
			ParcelId: id[:], TenantId: tenant[:], CorrelationId: id[:], Outcomes: []*dispatchv1.Outcome{{
				MessageId: message[:], TimeUs: at.UnixMicro(), Route: "jio", Segments: 2, Encoding: "UCS2", OperatorCode: "633",
				Reason: &typev1.Reason{Code: "TEMPLATE_NOT_MATCHED"},
			}},
		})
	}
	return pack
}

func TestFeedIsOneTenantAnEventAndStable(t *testing.T) {
	a, b := uuid.New(), uuid.New()
	d := event(t, "onlinesms.dispatch.v1.MessagesUndelivered", outcomes(a, b, a))
	var out shelf
	for range 2 {
		if err := NewFeed(&out).Handle(t.Context(), []eventbus.Delivery{d}); err != nil {
			t.Fatal(err)
		}
	}
	if len(out) != 4 || !cmp.Equal(out[:2], out[2:]) {
		t.Fatalf("%d events, or a repeat is not the same", len(out))
	}
	if want := "onlinesms.feed.v1.MessagesUndelivered.live." + a.String(); out[0].Subject != want || out[0].ID == out[1].ID {
		t.Errorf("subject %s, want %s", out[0].Subject, want)
	}
	got := &feedv1.MessagesUndelivered{}
	if err := proto.Unmarshal(out[0].Data, got); err != nil || got.TenantId != a.String() || len(got.Messages) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	if id, err := uuid.FromBytes(got.Metadata.EventId); err != nil || id.String() != out[0].ID || got.Metadata.Producer != "dispatch" {
		t.Errorf("metadata %v", got.Metadata)
	}
	want := &feedv1.MessageUpdate{
		MessageId: uuid.UUID{2}.String(), State: typev1.MessageState_UNDELIVERED, Time: timestamppb.New(at), Segments: 2,
		Encoding: "UCS2", OperatorCode: "633", Reasons: []*typev1.Reason{{Code: "TEMPLATE_NOT_MATCHED"}},
	}
	if !proto.Equal(got.Messages[1], want) {
		t.Errorf("got %v, want %v", got.Messages[1], want)
	}
}

func TestFeedReadsEveryMessageEvent(t *testing.T) {
	parcel, tenant, message := uuid.New(), uuid.New(), uuid.New()
	secret := []byte("sealed content stays inside")
	for name, c := range map[string]struct {
		event proto.Message
		want  typev1.MessageState
	}{
		"onlinesms.ingest.v1.MessagesAccepted": {&ingestv1.MessagesAccepted{Metadata: head(), Parcels: []*ingestv1.AcceptedParcel{{
			ParcelId: parcel[:], TenantId: tenant[:], Messages: []*ingestv1.AcceptedMessage{{MessageId: message[:], Content: secret}},
		}}}, typev1.MessageState_ACCEPTED},
		"onlinesms.compliance.v1.MessagesCleared": {&compliancev1.MessagesCleared{Metadata: head(), Parcels: []*compliancev1.ClearedParcel{{
			ParcelId: parcel[:], TenantId: tenant[:], Messages: []*compliancev1.ClearedMessage{{MessageId: message[:], Content: secret}},
		}}}, typev1.MessageState_QUEUED},
		"onlinesms.compliance.v1.MessagesRefused": {&compliancev1.MessagesRefused{Metadata: head(), Parcels: []*compliancev1.RefusedParcel{{
			ParcelId: parcel[:], TenantId: tenant[:], Messages: []*compliancev1.RefusedMessage{{MessageId: message[:]}},
		}}}, typev1.MessageState_REFUSED},
		"onlinesms.compliance.v1.MessagesHeld": {&compliancev1.MessagesHeld{Metadata: head(), Parcels: []*compliancev1.HeldParcel{{
			ParcelId: parcel[:], TenantId: tenant[:], Messages: []*compliancev1.HeldMessage{{MessageId: message[:]}},
		}}}, typev1.MessageState_HELD},
		"onlinesms.compliance.v1.MessagesCancelled": {&compliancev1.MessagesCancelled{Metadata: head(), Parcels: []*compliancev1.CancelledParcel{{
			ParcelId: parcel[:], TenantId: tenant[:], Messages: []*compliancev1.CancelledMessage{{MessageId: message[:]}},
		}}}, typev1.MessageState_CANCELLED},
		"onlinesms.dispatch.v1.MessagesCancelled": {&dispatchv1.MessagesCancelled{Metadata: head(), Parcels: []*dispatchv1.OutcomeParcel{{
			ParcelId: parcel[:], TenantId: tenant[:], Outcomes: []*dispatchv1.Outcome{{MessageId: message[:]}},
		}}}, typev1.MessageState_CANCELLED},
	} {
		var out shelf
		if err := NewFeed(&out).Handle(t.Context(), []eventbus.Delivery{event(t, name, c.event)}); err != nil {
			t.Fatal(name, err)
		}
		got := &feedv1.MessagesAccepted{} // all feed events have its fields
		if err := proto.Unmarshal(out[0].Data, got); err != nil || len(got.Messages) != 1 {
			t.Fatal(name, got, err)
		}
		if m := got.Messages[0]; m.State != c.want || m.MessageId != message.String() {
			t.Errorf("%s: %v", name, m)
		}
	}
	names := map[string]bool{} // two services say that a message is cancelled
	for event := range shapes {
		names[event[strings.LastIndexByte(event, '.')+1:]] = true
	}
	if len(names) != 12 {
		t.Errorf("events of %d names are read, feed.v1 declares 12", len(names))
	}
}

func TestFeedPassesOverAndRefuses(t *testing.T) {
	var out shelf
	other := eventbus.Delivery{Event: "onlinesms.compliance.v1.RegistryChanged", Data: []byte("x")}
	if err := NewFeed(&out).Handle(t.Context(), []eventbus.Delivery{other}); err != nil || len(out) != 0 {
		t.Errorf("%v, %d events", err, len(out))
	}
	broken := eventbus.Delivery{Event: "onlinesms.dispatch.v1.MessagesFailed", Data: []byte{0x12, 0x05, 1}}
	if err := NewFeed(&out).Handle(t.Context(), []eventbus.Delivery{broken}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("broken event: %v", err)
	}
}

// BenchmarkFeed is an event of one parcel of 500 outcomes.
func BenchmarkFeed(b *testing.B) {
	pack := outcomes(uuid.New())
	one := pack.Parcels[0].Outcomes[0]
	for len(pack.Parcels[0].Outcomes) < 500 {
		pack.Parcels[0].Outcomes = append(pack.Parcels[0].Outcomes, one)
	}
	d := event(b, "onlinesms.dispatch.v1.MessagesUndelivered", pack)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := translate([]*eventbus.Delivery{&d}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/msg")
}

func TestABatchIsOneEventATenant(t *testing.T) {
	var published shelf
	tenant := uuid.New()
	var batch []eventbus.Delivery
	for range 5 {
		batch = append(batch, accepted(t, tenant))
	}
	if err := NewFeed(&published).Handle(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if len(published) != 1 {
		t.Fatalf("5 events of one tenant went out as %d", len(published))
	}
	var got feedv1.MessagesAccepted
	if err := proto.Unmarshal(published[0].Data, &got); err != nil || len(got.GetMessages()) != 5 {
		t.Errorf("%d messages are told of (%v), want 5", len(got.GetMessages()), err)
	}
}

// accepted is an event with one message of a tenant.
func accepted(t *testing.T, tenant uuid.UUID) eventbus.Delivery {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	data, err := proto.Marshal(&ingestv1.MessagesAccepted{Metadata: &eventv1.Metadata{}, Parcels: []*ingestv1.AcceptedParcel{{
		ParcelId: id[:], TenantId: tenant[:], Messages: []*ingestv1.AcceptedMessage{{MessageId: id[:]}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	event := "onlinesms.ingest.v1.MessagesAccepted"
	return eventbus.Delivery{Event: event, Env: "test", Lane: "otp", Subject: eventbus.Subject(event, "test", "otp"), Data: data}
}
