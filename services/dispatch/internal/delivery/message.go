package delivery

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/encoding"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

// Lane is the priority class a message keeps for life; lower goes first.
type Lane uint8

// The lanes.
const (
	OTP Lane = iota
	Interactive
	Bulk
)

const lanes = 3

var laneNames = [lanes]string{"otp", "interactive", "bulk"}

// String is the lane as it stands in subjects and rows.
func (l Lane) String() string { return laneNames[l] }

// LaneOf reads a lane as String writes it.
func LaneOf(s string) (Lane, error) {
	for i, n := range laneNames {
		if n == s {
			return Lane(i), nil
		}
	}
	return 0, fmt.Errorf("there is no lane %q for messages", s)
}

// Parcel is a cleared parcel: 1..500 messages of one tenant, as it stands in the queue. Payload is the
// compliance.v1.ClearedParcel as it came; the rest is read from it and from its event's subject.
type Parcel struct {
	ID, Tenant  uuid.UUID
	Correlation uuid.UUID
	Env         string
	Lane        Lane
	Route       string
	Trace       string // W3C traceparent of the event it came in; may be empty
	HandedOver  bool   // for whichever replica holds a bind of the route
	Payload     []byte
	Messages    []*Message

	open atomic.Int32 // messages without a lasting result
}

// Start counts the messages that still need a result. Called once, before any of them gets one.
func (p *Parcel) Start(open int) { p.open.Store(int32(open)) }

// settle counts one lasting result and tells whether it was the last.
func (p *Parcel) settle() bool { return p.open.Add(-1) == 0 }

// Message is one message on its way to an operator.
type Message struct {
	Parcel *Parcel
	Index  uint16 // position in the parcel, which intents and results name
	ID     uuid.UUID
	Round  uint32

	Recipient   [16]byte  // keyed hash of the number
	Decided     time.Time // when it was cleared
	Expire      time.Time // no submit after it; zero: none
	Promotional bool
	Header      string // source address
	Entity      string // DLT id
	Template    string // DLT id
	Chain       string // PE-TM chain hash as 64 lowercase hex digits
	To          string // recipient, E.164 without the plus; in memory only
	Text        encoding.Message

	Unreadable string // canonical reason why its content cannot be opened or encoded; it fails without a submit

	tlvs     smpp.TLVs // entity, template and chain for its route; shared by messages of one template
	attempts int       // submits refused for a passing reason
	ids      []string  // operator's ids by segment; empty where not accepted. nil before the first answer
	notDue   time.Time
}

// Segments is how many submit_sm the message needs.
func (m *Message) Segments() int { return len(m.Text.Segments) }

// missing is how many segments the operator has not accepted.
func (m *Message) missing() int {
	n := len(m.Text.Segments)
	for _, id := range m.ids {
		if id != "" {
			n--
		}
	}
	return n
}

// accept notes that the operator has a segment.
func (m *Message) accept(segment int, id string) {
	if m.ids == nil {
		m.ids = make([]string, len(m.Text.Segments))
	}
	m.ids[segment] = id
}
