package message

import "time"

// State is where a message stands; the numbers are those of type.v1.MessageState and are the ranks of design 4.7.
type State int16

// The states, lowest rank first.
const (
	StateAccepted    State = 10
	StateHeld        State = 20
	StateQueued      State = 30
	StateRefused     State = 32
	StateCancelled   State = 34
	StateUnknown     State = 40
	StateSubmitted   State = 50
	StateExpired     State = 60
	StateUndelivered State = 70
	StateDelivered   State = 80
)

// Known tells whether s is one of the states.
func (s State) Known() bool {
	switch s {
	case StateAccepted, StateHeld, StateQueued, StateUnknown, StateSubmitted,
		StateRefused, StateCancelled, StateExpired, StateUndelivered, StateDelivered:
		return true
	}
	return false
}

// Kind is what happened to a message. The numbers are stored: never reuse one.
type Kind uint8

// The kinds, with the word the timeline shows for each.
const (
	KindHeld Kind = iota + 1
	KindCleared
	KindRefused
	KindReturned
	KindUnknown
	KindSubmitted
	KindFailed
	KindExpired
	KindUndelivered
	KindDelivered
	KindCancelled
	kindEnd
)

var kinds = [kindEnd]struct {
	word  string
	state State
}{
	KindHeld:        {"HELD", StateHeld},
	KindCleared:     {"CLEARED", StateQueued},
	KindRefused:     {"REFUSED", StateRefused},
	KindReturned:    {"RETURNED", 0}, // dispatch gave it back; the hold that follows speaks for the state
	KindUnknown:     {"UNKNOWN", StateUnknown},
	KindSubmitted:   {"SUBMITTED", StateSubmitted},
	KindFailed:      {"FAILED", StateUndelivered},
	KindExpired:     {"EXPIRED", StateExpired},
	KindUndelivered: {"UNDELIVERED", StateUndelivered},
	KindDelivered:   {"DELIVERED", StateDelivered},
	KindCancelled:   {"CANCELLED", StateCancelled},
}

// Word is the kind as the timeline shows it.
func (k Kind) Word() string { return kinds[k].word }

// State is the state the kind speaks for; 0 for none.
func (k Kind) State() State { return kinds[k].state }

// Event is what happened to one message.
type Event struct {
	Index        int // of the message in its parcel
	Kind         Kind
	Round        uint32    // each hold opens one, from 0 to MaxRound
	Time         time.Time // by the clock of the service that says so; microseconds
	Due          time.Time // release time of a hold; else zero
	Reasons      []Reason  // the deciding one first
	Encoding     string    // GSM7 or UCS2, once submitted
	Segments     int       // once submitted
	OperatorCode string
	OperatorTime time.Time // done date of the operator's receipt, by his clock; else zero
}
