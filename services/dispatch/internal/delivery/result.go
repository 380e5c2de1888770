package delivery

import (
	"time"

	"github.com/google/uuid"
)

// Kind is what became of a message at submit, or by its receipts. The numbers stand in rows.
type Kind int16

// The kinds. Released and Retried leave the message open: the operator is known not to have it.
const (
	Submitted   Kind = 1
	Failed      Kind = 2
	Unknown     Kind = 3
	Returned    Kind = 4
	Expired     Kind = 5
	Released    Kind = 6
	Delivered   Kind = 7
	Undelivered Kind = 8
	Retried     Kind = 9  // as Released, and it counts as an attempt
	Cancelled   Kind = 10 // withdrawn by its sender, who was told when it was
)

// Reason codes of this room; the operator's own come from the route's table.
const (
	ReasonUnanswered   = "SUBMIT_UNANSWERED"
	ReasonRefused      = "OPERATOR_REFUSED"
	ReasonUnavailable  = "OPERATOR_UNAVAILABLE"
	ReasonUndelivered  = "OPERATOR_UNDELIVERED"
	ReasonOpExpired    = "OPERATOR_EXPIRED"
	ReasonPromoWindow  = "PROMO_WINDOW"
	ReasonOptedOut     = "RECIPIENT_OPTED_OUT"
	ReasonExpired      = "MESSAGE_EXPIRED"
	ReasonUnreadable   = "CONTENT_UNREADABLE"
	ReasonUnencodable  = "CONTENT_NOT_ENCODABLE"
	ReasonTooManyParts = "SEGMENTS_TOO_MANY"
)

// open tells whether the message goes back to its lane.
func (k Kind) open() bool { return k == Released || k == Retried }

// Result is what is to be recorded about one message.
type Result struct {
	Message  *Message
	Kind     Kind
	At       time.Time
	Reason   string // canonical; empty for success
	Code     string // the operator's own; may be empty
	Segment  int    // 1-based: the segment that decided a failure of several; 0 else
	Due      time.Time
	Accepted []Accepted // segments whose ids are new with this result

	Intent bool // an intent names the message: recording needs no fence
	Late   bool // a late answer: the parcel has counted the message already
	Done   bool // the last open message of its parcel: the queue row goes. Set by the recorder
}

// Accepted is a segment the operator took.
type Accepted struct {
	Segment    int    // 1-based
	OperatorID string // canonical for its route
}

// lasting tells whether the message needs no further work of ours.
func (r *Result) lasting() bool { return !r.Kind.open() && !r.Late }

// Receipt is an operator's word about one of its message ids.
type Receipt struct {
	Route      string
	OperatorID string // canonical for its route
	State      State
	Code       string // err as the operator wrote it
	Reason     string // canonical, for failures
	Done       time.Time
	Received   time.Time
	Hash       [32]byte // SHA-256 of the PDU
}

// State is a receipt's message_state (SMPP 3.4 5.2.28), as it stands in rows.
type State int16

// The states that end a segment; all others are news on the way.
const (
	StateDelivered     State = 2
	StateExpired       State = 3
	StateDeleted       State = 4
	StateUndeliverable State = 5
	StateUnknown       State = 7
	StateRejected      State = 8
)

// Outcome is what a final state means for a segment; zero for one that is not final.
func (s State) Outcome() Kind {
	switch s {
	case StateDelivered:
		return Delivered
	case StateExpired:
		return Expired
	case StateDeleted, StateUndeliverable, StateUnknown, StateRejected:
		return Undelivered
	}
	return 0
}

// rank orders final outcomes: a later, higher one corrects an earlier one (X05).
func (k Kind) rank() int {
	switch k {
	case Delivered:
		return 3
	case Undelivered:
		return 2
	case Expired:
		return 1
	}
	return 0
}

// Heard is a segment's receipt as Aggregate reads it.
type Heard struct {
	Segment int // 1-based
	State   State
}

// Aggregate joins the receipts of a message's segments: Delivered once every segment has been delivered; else the
// gravest failure of those that have failed; zero while nothing is decided. A segment with several finals counts with
// its highest.
func Aggregate(segments int, heard []Heard) Kind {
	best := make([]Kind, segments)
	for _, h := range heard {
		k := h.State.Outcome()
		if h.Segment >= 1 && h.Segment <= segments && k.rank() > best[h.Segment-1].rank() {
			best[h.Segment-1] = k
		}
	}
	delivered, worst := 0, Kind(0)
	for _, k := range best {
		switch {
		case k == Delivered:
			delivered++
		case k.rank() > worst.rank():
			worst = k
		}
	}
	if delivered == segments {
		return Delivered
	}
	return worst
}

// Bind is a lease of one of a route's binds.
type Bind struct {
	Route string
	No    int
	Epoch int64
}

// Intent says that its messages are about to be submitted on a bind: 1..50 messages of one route.
type Intent struct {
	ID       uuid.UUID
	Bind     Bind
	Messages []*Message
}
