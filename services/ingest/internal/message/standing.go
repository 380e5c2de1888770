package message

import (
	"encoding/binary"
	"iter"
)

// Standing is a state with the round it was reached in; the zero Standing is below all others.
type Standing struct {
	Round uint32
	State State
}

// Above tells whether s wins over o: the higher round, and within a round the higher rank.
func (s Standing) Above(o Standing) bool {
	if s.Round != o.Round {
		return s.Round > o.Round
	}
	return s.State > o.State
}

// Fold gives the standing of an accepted message from its events: the highest (round, rank). It is a maximum, so
// neither order nor repetition of events matters. REFUSED and CANCELLED rank below UNKNOWN: what may have reached an
// operator cannot be refused any more in that round.
func Fold(events iter.Seq[Event]) Standing {
	top := Standing{State: StateAccepted}
	for e := range events {
		if s := (Standing{e.Round, e.Kind.State()}); s.State != 0 && s.Above(top) {
			top = s
		}
	}
	return top
}

// MaxRound is the highest round that is told apart. Dispatch gives back what has no bind once a minute: after 17 hours
// of that, HELD and QUEUED are no longer told apart; all that comes after them is.
const MaxRound = 1<<roundBits - 1

const (
	roundBits   = 10
	stateBits   = 6 // half the state: all ranks are even
	standingLen = (roundBits + stateBits) / 8
)

// Standings are those of a parcel's messages by index, two bytes each: round in the upper 10 bits, half the state in the
// lower 6, so that the greater number is the higher standing.
type Standings []byte

// NewStandings are those of n messages just accepted.
func NewStandings(n int) Standings {
	s := make(Standings, n*standingLen)
	for i := range n {
		s.Raise(i, Standing{State: StateAccepted})
	}
	return s
}

// Len is how many messages the parcel has.
func (s Standings) Len() int { return len(s) / standingLen }

// At is the standing of the message at index i < Len.
func (s Standings) At(i int) Standing {
	v := binary.BigEndian.Uint16(s[i*standingLen:])
	return Standing{Round: uint32(v >> stateBits), State: State(v&(1<<stateBits-1)) * 2}
}

// Raise gives the message at index i the standing to, its round at most MaxRound, if that is above the one it has; false
// when it is not, or when the parcel has no such message.
func (s Standings) Raise(i int, to Standing) bool {
	to.Round = min(to.Round, MaxRound)
	if i >= s.Len() || !to.Above(s.At(i)) {
		return false
	}
	binary.BigEndian.PutUint16(s[i*standingLen:], uint16(to.Round)<<stateBits|uint16(to.State/2))
	return true
}

// States is the set of states that occur now.
func (s Standings) States() (set StateSet) {
	for i := range s.Len() {
		set |= SetOf(s.At(i).State)
	}
	return set
}

// StateSet is a set of states: state n is bit n/2, all ranks being even.
type StateSet int64

// SetOf is the set of one state; that of state 0 is the set of all.
func SetOf(s State) StateSet {
	if s == 0 {
		return -1
	}
	return 1 << (s / 2)
}
