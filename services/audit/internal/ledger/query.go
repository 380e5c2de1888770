package ledger

import (
	"time"

	"github.com/google/uuid"
)

// Query selects entries of one tenant and environment.
type Query struct {
	Tenant     uuid.UUID
	Env        string
	After      int64 // only higher indices; -1 from the beginning
	Limit      int
	Start, End time.Time // of receipt, half-open; zero for open
	Action     string    // an event's full name or a call's action; empty for all
	Actor      string    // empty for all
	Outcome    string    // empty for all
	Parcel     uuid.UUID // an accepted parcel; Nil for all
	Index      *uint16   // one message of Parcel
}

// Stored is an entry as it stands in the log.
type Stored struct {
	Record
	Index        int64
	MessageCount int32
}
