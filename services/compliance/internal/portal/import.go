package portal

import (
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
)

// State is where an import stands.
type State string

// The states.
const (
	Uploading State = "UPLOADING"
	Queued    State = "QUEUED"
	Running   State = "RUNNING"
	Succeeded State = "SUCCEEDED"
	Failed    State = "FAILED"
)

// Final tells whether an import in this state will not move any more.
func (s State) Final() bool { return s == Succeeded || s == Failed }

// Modes of an import.
const (
	ModeImport  = "import"
	ModeCompare = "compare"
)

// Import is a file on its way into the registry, or being compared with it.
type Import struct {
	ID, Tenant  uuid.UUID
	State       State
	Mode, Actor string
	Portal      string // as named; once read, as recognised
	Entity      string // of lines that name none
	Kind        registry.Kind
	Size        int64 // bytes uploaded
	Percent     int
	Done, Lines int64
	Result
	Create, Finish time.Time
}

// Result is how an import has ended.
type Result struct {
	Created, Changed, Unchanged int64
	Problems, Warnings          int64  // warnings are among the problems
	Reason, Detail              string // of a failure
}

// Job is an import in hand: nobody else works on it until its lease is over.
type Job struct {
	Import
	Holder   uuid.UUID // of this claim
	Attempts int       // claims so far, this one included
	Content  []byte
}
