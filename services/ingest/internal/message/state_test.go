package message

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFold(t *testing.T) {
	e := func(kind Kind, round uint32) Event { return Event{Kind: kind, Round: round} }
	for name, c := range map[string]struct {
		events []Event
		want   Standing
	}{
		"nothing yet":           {nil, Standing{0, StateAccepted}},
		"cleared":               {[]Event{e(KindCleared, 0)}, Standing{0, StateQueued}},
		"delivered first":       {[]Event{e(KindDelivered, 0), e(KindSubmitted, 0), e(KindCleared, 0)}, Standing{0, StateDelivered}},
		"held, released":        {[]Event{e(KindHeld, 0), e(KindCleared, 0)}, Standing{0, StateQueued}},
		"a hold opens a round":  {[]Event{e(KindCleared, 0), e(KindReturned, 0), e(KindHeld, 1)}, Standing{1, StateHeld}},
		"returned alone":        {[]Event{e(KindCleared, 0), e(KindReturned, 0)}, Standing{0, StateQueued}},
		"refused below unknown": {[]Event{e(KindUnknown, 0), e(KindRefused, 0)}, Standing{0, StateUnknown}},
		"unknown, then receipt": {[]Event{e(KindUnknown, 0), e(KindDelivered, 0)}, Standing{0, StateDelivered}},
		"late receipt":          {[]Event{e(KindExpired, 0), e(KindDelivered, 0)}, Standing{0, StateDelivered}},
		"failed":                {[]Event{e(KindCleared, 0), e(KindFailed, 0)}, Standing{0, StateUndelivered}},
		"second round":          {[]Event{e(KindHeld, 1), e(KindRefused, 1), e(KindCleared, 0)}, Standing{1, StateRefused}},
	} {
		if got := Fold(slices.Values(c.events)); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// Any order, and any repetition, of the same events gives the same state.
func TestFoldForgetsOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		events := make([]Event, random.IntN(8))
		for i := range events {
			events[i] = Event{Kind: Kind(1 + random.IntN(int(kindEnd)-1)), Round: random.Uint32N(3)}
		}
		want := Fold(slices.Values(events))
		shuffled := append(slices.Clone(events), events[:len(events)/2]...)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if got := Fold(slices.Values(shuffled)); got != want {
			t.Fatalf("%v gives %+v, %v gives %+v", events, want, shuffled, got)
		}
	}
}

func sampleEvents() []Event {
	at := now.Add(1234567 * time.Microsecond)
	return []Event{
		{Index: 0, Kind: KindHeld, Time: at, Due: now.Add(time.Hour), Reasons: []Reason{{Code: "PROMO_WINDOW", Detail: "opens at 10:00"}}},
		{Index: 499, Kind: KindCleared, Round: 1, Time: at},
		{Index: 3, Kind: KindSubmitted, Time: at, Encoding: "UCS2", Segments: 2},
		{Index: 3, Kind: KindUndelivered, Time: at, OperatorTime: now.Add(-time.Minute), OperatorCode: "0x0b", Segments: 2, Reasons: []Reason{
			{Code: "OPERATOR_UNDELIVERED", Detail: "absent", Metadata: map[string]string{"b": "2", "a": "1"}}, {Code: "SECOND"},
		}},
	}
}

func TestPack(t *testing.T) {
	var pack []byte
	want := sampleEvents()
	for _, e := range want {
		pack = AppendEvent(pack, &e)
	}
	var got []Event
	for e, err := range Events(pack) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for n := range pack {
		count := 0 // must neither panic nor go on for ever
		for _, err := range Events(pack[:n]) {
			if count++; err == nil && count > len(want) {
				t.Fatalf("%d events in a part of %d", count, len(want))
			}
		}
	}
}

func TestContents(t *testing.T) {
	var pack []byte
	for _, i := range []int{0, 7, 499} {
		pack = AppendContent(pack, Rendered{Index: i, Content: []byte{byte(i), 1, 2}})
	}
	for i, want := range map[int][]byte{0: {0, 1, 2}, 7: {7, 1, 2}, 499: {243, 1, 2}, 8: nil} {
		if got, err := FindContent(pack, i); err != nil || !cmp.Equal(got, want) {
			t.Errorf("content %d is %v, %v", i, got, err)
		}
	}
	if _, err := FindContent(pack[:len(pack)-1], 499); err == nil {
		t.Error("a damaged pack is taken")
	}
}

func FuzzEvents(f *testing.F) {
	var pack []byte
	for _, e := range sampleEvents() {
		pack = AppendEvent(pack, &e)
	}
	f.Add(pack)
	f.Fuzz(func(t *testing.T, pack []byte) {
		n := 0
		for e, err := range Events(pack) {
			if n++; err == nil && (e.Kind.Word() == "" || n > len(pack)) {
				t.Errorf("event %+v after %d", e, n)
			}
		}
	})
}

func BenchmarkFold(b *testing.B) {
	var pack []byte
	for i := range 500 {
		e := Event{Index: i, Kind: KindSubmitted, Time: now, Encoding: "GSM7", Segments: 1}
		pack = AppendEvent(pack, &e)
	}
	for b.Loop() {
		Fold(func(yield func(Event) bool) {
			for e, err := range Events(pack) {
				if err != nil || !yield(e) {
					return
				}
			}
		})
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	e := Event{Index: 77, Kind: KindSubmitted, Time: now, Encoding: "GSM7", Segments: 1}
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendEvent(buf[:0], &e)
	}
}
