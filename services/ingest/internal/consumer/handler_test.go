package consumer_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/consumer"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

type store struct{ chunks []message.Chunk }

func (s *store) Record(_ context.Context, chunks []message.Chunk) error {
	s.chunks = append(s.chunks, chunks...)
	return nil
}

var (
	tenant = uuid.MustParse("01930000-0000-7000-8000-00000000000a")
	event  = uuid.MustParse("01930000-0000-7000-8000-00000000000e")
	first  = uuid.MustParse("01930000-0000-7000-8000-000000000400")
	second = uuid.MustParse("01930000-0000-7000-8000-000000000800")
	at     = time.Date(2026, 11, 22, 4, 30, 0, 0, time.UTC)
)

func deliver(t testing.TB, m proto.Message) eventbus.Delivery {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return eventbus.Delivery{Event: string(m.ProtoReflect().Descriptor().FullName()), Env: "live", Lane: "bulk", Data: data}
}

func id(parcel uuid.UUID, i int) []byte {
	id := message.IDAt(parcel, i)
	return id[:]
}

// read gives the events in a chunk.
func read(t *testing.T, c message.Chunk) (events []message.Event) {
	t.Helper()
	for e, err := range message.Events(c.Pack) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

func TestCompliance(t *testing.T) {
	s := &store{}
	reason := &typev1.Reason{Code: "TEMPLATE_NOT_MATCHED", Detail: "d", Metadata: map[string]string{"position": "17"}}
	err := consumer.NewHandler(s).Handle(t.Context(), []eventbus.Delivery{
		deliver(t, &compliancev1.MessagesCleared{Parcels: []*compliancev1.ClearedParcel{{
			ParcelId: event[:], TenantId: tenant[:], DecideTimeUs: at.UnixMicro(),
			Messages: []*compliancev1.ClearedMessage{{MessageId: id(first, 0), Content: []byte("sealed")}, {MessageId: id(first, 2), Round: 1}},
		}}}),
		deliver(t, &compliancev1.MessagesRefused{Parcels: []*compliancev1.RefusedParcel{{
			ParcelId: event[:], TenantId: tenant[:], DecideTimeUs: at.UnixMicro(),
			Messages: []*compliancev1.RefusedMessage{{MessageId: id(first, 1), Reasons: []*typev1.Reason{reason}}},
		}}}),
		deliver(t, &compliancev1.MessagesHeld{Parcels: []*compliancev1.HeldParcel{{
			ParcelId: event[:], TenantId: tenant[:], DecideTimeUs: at.UnixMicro(),
			Messages: []*compliancev1.HeldMessage{{MessageId: id(first, 3), DueTimeUs: at.Add(time.Hour).UnixMicro(), Reason: &typev1.Reason{Code: "PROMO_WINDOW"}}},
		}}}),
	})
	if err != nil || len(s.chunks) != 3 {
		t.Fatalf("%d chunks, %v", len(s.chunks), err)
	}
	want := [][]message.Event{
		{{Index: 0, Kind: message.KindCleared, Time: at}, {Index: 2, Kind: message.KindCleared, Round: 1, Time: at}},
		{{Index: 1, Kind: message.KindRefused, Time: at, Reasons: []message.Reason{{Code: reason.Code, Detail: "d", Metadata: reason.Metadata}}}},
		{{Index: 3, Kind: message.KindHeld, Time: at, Due: at.Add(time.Hour), Reasons: []message.Reason{{Code: "PROMO_WINDOW"}}}},
	}
	for i, c := range s.chunks {
		if diff := cmp.Diff(want[i], read(t, c)); diff != "" {
			t.Error(diff)
		}
		if c.Parcel != first || c.Event != event || c.Tenant != tenant || c.Env != "live" {
			t.Errorf("chunk %d: %+v", i, c)
		}
	}
	if diff := cmp.Diff([]message.Rendered{{Index: 0, Content: []byte("sealed")}, {Index: 2}}, s.chunks[0].Rendered); diff != "" {
		t.Error(diff)
	}
	marks := [][]message.Mark{
		{{Index: 0, Standing: message.Standing{State: message.StateQueued}}, {Index: 2, Standing: message.Standing{Round: 1, State: message.StateQueued}}},
		{{Index: 1, Standing: message.Standing{State: message.StateRefused}}},
		{{Index: 3, Standing: message.Standing{State: message.StateHeld}}},
	}
	for i, c := range s.chunks {
		if diff := cmp.Diff(marks[i], c.Marks); diff != "" {
			t.Error(diff)
		}
	}
}

// A parcel of outcomes may speak of several accepted parcels: a chunk for each.
func TestDispatch(t *testing.T) {
	parcel := func(o ...*dispatchv1.Outcome) []*dispatchv1.OutcomeParcel {
		return []*dispatchv1.OutcomeParcel{{ParcelId: event[:], TenantId: tenant[:], Outcomes: o}}
	}
	outcome := func(parcel uuid.UUID, i int) *dispatchv1.Outcome {
		return &dispatchv1.Outcome{MessageId: id(parcel, i), Round: 1, TimeUs: at.UnixMicro(), DoneTimeUs: at.Add(-time.Minute).UnixMicro(), Encoding: "UCS2", Segments: 2,
			Route: "sim", OperatorCode: "0x0b", Reason: &typev1.Reason{Code: "R"}}
	}
	three := parcel(outcome(first, 0), outcome(second, 5), outcome(first, 7))
	for _, c := range []struct {
		event proto.Message
		kind  message.Kind
		state message.State
	}{
		{&dispatchv1.MessagesSubmitted{Parcels: three}, message.KindSubmitted, message.StateSubmitted},
		{&dispatchv1.MessagesUnknown{Parcels: three}, message.KindUnknown, message.StateUnknown},
		{&dispatchv1.MessagesReturned{Parcels: three}, message.KindReturned, 0},
		{&dispatchv1.MessagesFailed{Parcels: three}, message.KindFailed, message.StateUndelivered},
		{&dispatchv1.MessagesExpired{Parcels: three}, message.KindExpired, message.StateExpired},
		{&dispatchv1.MessagesUndelivered{Parcels: three}, message.KindUndelivered, message.StateUndelivered},
		{&dispatchv1.MessagesDelivered{Parcels: three}, message.KindDelivered, message.StateDelivered},
	} {
		s := &store{}
		if err := consumer.NewHandler(s).Handle(t.Context(), []eventbus.Delivery{deliver(t, c.event)}); err != nil {
			t.Fatal(err)
		}
		if len(s.chunks) != 2 || s.chunks[0].Parcel != first || s.chunks[1].Parcel != second {
			t.Fatalf("%d chunks", len(s.chunks))
		}
		want := message.Event{Index: 7, Kind: c.kind, Round: 1, Time: at, OperatorTime: at.Add(-time.Minute), Encoding: "UCS2", Segments: 2, OperatorCode: "0x0b", Reasons: []message.Reason{{Code: "R"}}}
		if diff := cmp.Diff(want, read(t, s.chunks[0])[1]); diff != "" {
			t.Error(diff)
		}
		marks := s.chunks[0].Marks
		if c.state == 0 && len(marks) > 0 || c.state != 0 && (len(marks) != 2 || marks[1] != message.Mark{Index: 7, Standing: message.Standing{Round: 1, State: c.state}}) {
			t.Errorf("%T: marks %+v", c.event, marks)
		}
	}
}

func TestUnreadableAndUnknown(t *testing.T) {
	s := &store{}
	h := consumer.NewHandler(s)
	bad := deliver(t, &dispatchv1.MessagesDelivered{})
	for name, data := range map[string][]byte{
		"not protobuf": {0xff},
		"no parcel id": deliver(t, &dispatchv1.MessagesDelivered{Parcels: []*dispatchv1.OutcomeParcel{{TenantId: tenant[:]}}}).Data,
		"no tenant":    deliver(t, &dispatchv1.MessagesDelivered{Parcels: []*dispatchv1.OutcomeParcel{{ParcelId: event[:]}}}).Data,
		"short message id": deliver(t, &dispatchv1.MessagesDelivered{Parcels: []*dispatchv1.OutcomeParcel{
			{ParcelId: event[:], TenantId: tenant[:], Outcomes: []*dispatchv1.Outcome{{MessageId: []byte("short")}}}}}).Data,
	} {
		bad.Data = data
		if err := h.Handle(t.Context(), []eventbus.Delivery{bad}); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := h.Handle(t.Context(), []eventbus.Delivery{{Event: "onlinesms.dispatch.v1.InboundReceived"}}); err != nil || len(s.chunks) > 0 {
		t.Errorf("an event we do not know: %v", err)
	}
}

func BenchmarkHandle(b *testing.B) {
	p := &dispatchv1.OutcomeParcel{ParcelId: event[:], TenantId: tenant[:]}
	for i := range message.MaxParcel {
		p.Outcomes = append(p.Outcomes, &dispatchv1.Outcome{MessageId: id(first, i), TimeUs: at.UnixMicro(), Encoding: "GSM7", Segments: 1,
			Route: "sim", ReceiptHash: make([]byte, 32)})
	}
	batch := []eventbus.Delivery{deliver(b, &dispatchv1.MessagesDelivered{Parcels: []*dispatchv1.OutcomeParcel{p}})}
	b.ReportAllocs()
	for b.Loop() {
		if err := consumer.NewHandler(&store{}).Handle(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
}
