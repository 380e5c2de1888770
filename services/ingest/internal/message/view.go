package message

import (
	"time"

	"github.com/google/uuid"
)

// Summary is one line of a list.
type Summary struct {
	ID              uuid.UUID
	Lane            string
	Accept          time.Time
	Header          string
	TemplateID      string
	ClientReference string
	Standing        Standing
}

// Detail is all that is known of a message; Content is still sealed.
type Detail struct {
	Summary
	EntityID string
	Expire   time.Time
	Schedule time.Time // zero when none was asked for
	Content  []byte
	Rendered []byte  // sealed content with the text made from variables, once cleared; else nil
	Events   []Event // in no particular order
}

// Query asks for a tenant's messages of one environment, newest first.
type Query struct {
	Tenant    uuid.UUID
	Env       string
	State     State     // 0 for all
	Start     time.Time // accepted at or after
	End       time.Time // accepted before
	Reference string    // exactly this one; empty for all
	Before    uuid.UUID // go on after this id, which the page before named; zero for the first page
	Limit     int       // 1..500
}

// Scheduled narrows down which waiting messages are withdrawn; empty fields match all.
type Scheduled struct {
	Header, TemplateID string
	Start, End         time.Time // of the schedule: at or after, before
}

// Page answers a Query. It may hold fewer than Limit messages, or none, and yet not be the last: it looks at a bounded
// number of parcels.
type Page struct {
	Messages []Summary
	Next     uuid.UUID // Query.Before of the next page; zero at the end
}

// Chunk is what one event parcel says of one accepted parcel.
type Chunk struct {
	Parcel uuid.UUID // accepted
	Tenant uuid.UUID
	Env    string
	Event  uuid.UUID // id of the parcel of the event
	Pack   []byte    // AppendEvent
	Marks  []Mark
	// Rendered is the sealed content of each message that was cleared. It is kept for accepted parcels with messages
	// sent by variables, whose text nobody else has.
	Rendered []Rendered
}

// Rendered is the sealed content of a message as it goes out.
type Rendered struct {
	Index   int
	Content []byte
}

// Mark says that a message reached a standing.
type Mark struct {
	Index    int
	Standing Standing
}
