package consent

import (
	"time"

	"github.com/google/uuid"
)

// Place is whose wishes: each environment of a tenant has its own.
type Place struct {
	Tenant uuid.UUID
	Env    string
}

// Added is what became of an event that was wanted.
type Added struct {
	Record  Record
	Changed bool
	Err     error // it cannot follow
}

// Standing is how a recipient's wishes stand at an instant, as the ledger knew them then.
type Standing struct {
	Records    []Record
	Events     map[uuid.UUID][]Event // by record, the oldest first
	OptOuts    []OptOut              // in force
	Suppressed bool                  // by the list of now
	Cooling    time.Time             // see CoolingUntil; of the entity asked about
}

// Part is a part of a file of wishes.
type Part struct {
	Import  uuid.UUID // zero begins one
	Kind    string
	Offset  int64
	Content []byte
	More    bool
	Total   int64
}
