package inbound

import (
	"time"

	"github.com/google/uuid"
)

// Query asks for a page of a tenant's messages, the newest first.
type Query struct {
	Tenant     Owner
	Env        string
	Before     uuid.UUID // the last id of the page before; zero for the first page
	Start, End time.Time // of arrival, End not included
	Sender     *[16]byte // keyed hash of the number; nil: of all
	To         string    // empty: of all
	Action     Action    // empty: of all
	Limit      int
}
