package eventbus

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	eventv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/event/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

const testSubject = "onlinesms.ingest.v1.MessagesAccepted.live.otp"

// accepted makes a parcel of n messages.
func accepted(t testing.TB, subject string, n int) Parcel {
	t.Helper()
	p := Parcel{ID: uuid.Must(uuid.NewV7()), Tenant: uuid.New(), Subject: subject, Entries: n}
	m := &ingestv1.AcceptedParcel{ParcelId: p.ID[:], TenantId: p.Tenant[:], AcceptTimeUs: 42}
	for i := range n {
		m.Messages = append(m.Messages, &ingestv1.AcceptedMessage{MessageId: bytes.Repeat([]byte{byte(i)}, 16),
			EntityId: "1701158019811140068", Header: "ABCBNK", TemplateId: "1107160000000000011",
			Content: make([]byte, 150), RecipientIndex: make([]byte, 16)})
	}
	var err error
	if p.Payload, err = proto.Marshal(m); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPackIsTheGeneratedEvent(t *testing.T) {
	now := time.Date(2026, 11, 22, 13, 0, 0, 123456789, time.UTC)
	q := newQueue(testSubject)
	for n := range 3 {
		q.pending = append(q.pending, waiting{accepted(t, testSubject, n+1), now})
	}
	p := q.cut()
	data, err := appendPack(nil, p, "ingest", now)
	if err != nil {
		t.Fatal(err)
	}
	var event ingestv1.MessagesAccepted
	if err := proto.Unmarshal(data, &event); err != nil {
		t.Fatal(err)
	}
	head := event.GetMetadata()
	if !bytes.Equal(head.GetEventId(), p.id[:]) || !head.GetTime().AsTime().Equal(now) || head.GetProducer() != "ingest" ||
		head.GetEnv() != typev1.Environment_LIVE || head.GetLane() != typev1.Lane_OTP {
		t.Errorf("metadata = %v", head)
	}
	for i, parcel := range event.GetParcels() {
		if len(parcel.GetMessages()) != i+1 || !bytes.Equal(parcel.GetParcelId(), p.parcels[i].ID[:]) {
			t.Errorf("parcel %d = %v", i, parcel)
		}
	}
	if got := len(event.GetParcels()); got != 3 {
		t.Errorf("%d parcels, want 3", got)
	}
}

func TestCutLimits(t *testing.T) {
	small := Parcel{Entries: 20, Payload: make([]byte, 10)}
	large := Parcel{Entries: 1, Payload: make([]byte, 200<<10)}
	giant := Parcel{Entries: 500, Payload: make([]byte, 900<<10)}
	tests := []struct {
		name, lane string
		pending    []Parcel
		want       []int // parcels an event
	}{
		{"otp by 50 entries", LaneOTP, []Parcel{small, small, small, small, small}, []int{2, 2, 1}},
		{"bulk by 500 entries", LaneBulk, repeated(small, 30), []int{25, 5}},
		{"by bytes", LaneBulk, []Parcel{large, large, small}, []int{1, 2}},
		{"one that is larger than any limit goes alone", LaneOTP, []Parcel{giant, small}, []int{1, 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			q := newQueue(Subject("onlinesms.ingest.v1.MessagesAccepted", "live", test.lane))
			for _, p := range test.pending {
				q.pending = append(q.pending, waiting{parcel: p})
			}
			var got []int
			for !q.empty() {
				got = append(got, len(q.cut().parcels))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func repeated(p Parcel, n int) []Parcel {
	all := make([]Parcel, n)
	for i := range all {
		all[i] = p
	}
	return all
}

// Cutting a long queue costs each parcel a constant: 200,000 parcels, 50 at a time, in order.
func TestCutKeepsOrder(t *testing.T) {
	q := newQueue(testSubject)
	const n = 200_000
	for i := range n {
		q.pending = append(q.pending, waiting{parcel: Parcel{Entries: 1, Trace: fmt.Sprint(i)}})
	}
	for i := 0; !q.empty(); {
		for _, p := range q.cut().parcels {
			if p.Trace != fmt.Sprint(i) {
				t.Fatalf("parcel %s at place %d", p.Trace, i)
			}
			i++
		}
		if q.empty() && i != n {
			t.Fatalf("%d parcels, want %d", i, n)
		}
	}
}

func TestParcelsReadsWhatGeneratedCodeWrites(t *testing.T) {
	correlation, causation := uuid.New(), uuid.New()
	id, tenant := uuid.Must(uuid.NewV7()), uuid.New()
	event := &ingestv1.MessagesAccepted{Metadata: &eventv1.Metadata{Producer: "ingest"},
		Parcels: []*ingestv1.AcceptedParcel{
			{ParcelId: id[:], TenantId: tenant[:], CorrelationId: correlation[:], CausationId: causation[:], AcceptTimeUs: 7,
				Messages: []*ingestv1.AcceptedMessage{{Header: "ABCBNK"}}},
			{ParcelId: id[:], TenantId: tenant[:]},
		}}
	data, err := proto.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	views, err := Parcels(data)
	if err != nil {
		t.Fatal(err)
	}
	for i := range views {
		var whole ingestv1.AcceptedParcel
		if err := proto.Unmarshal(views[i].Payload, &whole); err != nil || !proto.Equal(&whole, event.Parcels[i]) {
			t.Errorf("payload %d = %v, %v", i, &whole, err)
		}
		views[i].Payload = nil
	}
	want := []ParcelView{{ID: id, Tenant: tenant, Correlation: correlation, Causation: causation}, {ID: id, Tenant: tenant}}
	if diff := cmp.Diff(want, views); diff != "" {
		t.Error(diff)
	}
	head, err := Metadata(data)
	if err != nil || head.GetProducer() != "ingest" {
		t.Errorf("Metadata = %v, %v", head, err)
	}
}

func TestParcelsRefuses(t *testing.T) {
	id := bytes.Repeat([]byte{1}, 16)
	encode := func(p *eventv1.Parcel) []byte {
		data, err := proto.Marshal(&eventv1.Pack{Parcels: []*eventv1.Parcel{p}})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, data := range map[string][]byte{
		"no id":          encode(&eventv1.Parcel{TenantId: id}),
		"no tenant":      encode(&eventv1.Parcel{ParcelId: id}),
		"short id":       encode(&eventv1.Parcel{ParcelId: id[:15], TenantId: id}),
		"long causation": encode(&eventv1.Parcel{ParcelId: id, TenantId: id, CausationId: append(id[:16:16], 1)}),
		"cut off":        encode(&eventv1.Parcel{ParcelId: id, TenantId: id})[:20],
		"no protobuf":    {0xff, 0xff, 0xff},
	} {
		if views, err := Parcels(data); err == nil {
			t.Errorf("%s: Parcels = %v, want an error", name, views)
		}
	}
}

// FuzzParcels holds Parcels against the generated decoder: the same parcels, and an error exactly when one breaks the
// rules of its ids.
func FuzzParcels(f *testing.F) {
	data, err := appendPack(nil, pack{subject: testSubject, parcels: []Parcel{accepted(f, testSubject, 2)}}, "ingest", time.Unix(1, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{0x12, 0x00})
	f.Add([]byte{0x13, 0x14})
	f.Fuzz(func(t *testing.T, data []byte) {
		views, err := Parcels(data)
		var event eventv1.Pack
		if proto.Unmarshal(data, &event) != nil {
			return // metadata is checked by Metadata, not by Parcels
		}
		want, ok := viewsOf(&event)
		if ok != (err == nil) {
			t.Fatalf("Parcels = %v, by generated code ok is %v", err, ok)
		}
		for i := range views {
			views[i].Payload = nil
		}
		if diff := cmp.Diff(want, views); ok && diff != "" {
			t.Fatal(diff)
		}
	})
}

func viewsOf(event *eventv1.Pack) (views []ParcelView, ok bool) {
	for _, p := range event.GetParcels() {
		var v ParcelView
		for id, field := range map[*uuid.UUID][]byte{&v.ID: p.GetParcelId(), &v.Tenant: p.GetTenantId(),
			&v.Correlation: p.GetCorrelationId(), &v.Causation: p.GetCausationId()} {
			if len(field) != 0 && len(field) != 16 {
				return nil, false
			}
			copy(id[:], field)
		}
		if v.ID == uuid.Nil || v.Tenant == uuid.Nil {
			return nil, false
		}
		views = append(views, v)
	}
	return views, true
}

func BenchmarkAppendPack(b *testing.B) {
	for _, n := range []int{1, 100, 500} {
		b.Run(fmt.Sprintf("parcels=%d", n), func(b *testing.B) {
			p := pack{subject: testSubject, id: uuid.New()}
			for range n {
				p.parcels = append(p.parcels, accepted(b, testSubject, 1))
			}
			now := time.Unix(1, 0)
			var buffer []byte
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if buffer, err = appendPack(buffer[:0], p, "ingest", now); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(buffer)))
		})
	}
}

func BenchmarkParcels(b *testing.B) {
	p := pack{subject: testSubject}
	for range 5 {
		p.parcels = append(p.parcels, accepted(b, testSubject, 100))
	}
	data, err := appendPack(nil, p, "ingest", time.Unix(1, 0))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parcels(data); err != nil {
			b.Fatal(err)
		}
	}
}
