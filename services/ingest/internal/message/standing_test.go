package message

import (
	"math/rand/v2"
	"slices"
	"testing"
)

var states = []State{StateAccepted, StateHeld, StateQueued, StateRefused, StateCancelled, StateUnknown, StateSubmitted,
	StateExpired, StateUndelivered, StateDelivered}

// Every standing can be kept, and the kept ones compare as the standings do.
func TestStandings(t *testing.T) {
	s := NewStandings(2)
	if s.Len() != 2 || s.At(1) != (Standing{State: StateAccepted}) || s.States() != SetOf(StateAccepted) {
		t.Errorf("new: %v", s)
	}
	for _, round := range []uint32{0, 1, 2, MaxRound} {
		for _, state := range states {
			want := Standing{round, state}
			if raised := s.Raise(0, want); raised == (want == Standing{State: StateAccepted}) || s.At(0) != want || s.Raise(0, want) {
				t.Fatalf("raised to %+v: %v, is %+v", want, raised, s.At(0))
			}
			if s.At(1) != (Standing{State: StateAccepted}) || s.States() != SetOf(StateAccepted)|SetOf(state) {
				t.Fatalf("the message beside it: %+v, states %b", s.At(1), s.States())
			}
		}
	}
	if s.Raise(0, Standing{MaxRound + 7, StateHeld}) || s.At(0) != (Standing{MaxRound, StateDelivered}) {
		t.Errorf("beyond the last round: %+v", s.At(0))
	}
	if s.Raise(2, Standing{1, StateHeld}) {
		t.Error("a message that the parcel does not have was raised")
	}
	for _, state := range states {
		if !state.Known() || SetOf(state)&SetOf(0) == 0 {
			t.Errorf("state %d", state)
		}
	}
}

// The standing raised by each event, in any order, is the fold of all.
func TestStandingsFold(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		s, events := NewStandings(1), make([]Event, random.IntN(8))
		for i := range events {
			events[i] = Event{Kind: Kind(1 + random.IntN(int(kindEnd)-1)), Round: random.Uint32N(3)}
			if state := events[i].Kind.State(); state != 0 {
				s.Raise(0, Standing{events[i].Round, state})
			}
		}
		if want := Fold(slices.Values(events)); s.At(0) != want {
			t.Fatalf("%v raise to %+v and fold to %+v", events, s.At(0), want)
		}
	}
}

func BenchmarkRaise(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		s := NewStandings(MaxParcel)
		for i := range MaxParcel {
			s.Raise(i, Standing{State: StateSubmitted})
		}
		s.States()
	}
}
