package preference

import (
	"time"

	"github.com/google/uuid"
)

// Coverage is which numbers a run speaks of.
type Coverage uint32

// The coverages.
const (
	// Listed: the numbers in the file, with "none" for those found free. Every other number is unscrubbed. This is what a
	// scrubbing service answers: access providers scrub the list they are given.
	Listed Coverage = iota
	// All: the file is the whole register; a number that is not in it has nothing registered.
	All
)

// Run is one scrub of the preference register, the provenance of a file. It is valid until the end of its day: access
// providers' scrub results expire at 23:59:59 IST.
type Run struct {
	ID         uuid.UUID
	Provider   string    // who scrubbed, at most 126 bytes
	Reference  string    // its reference of the run, at most 126 bytes
	At         time.Time // when it scrubbed
	Expires    time.Time // 23:59:59 IST of that day
	Coverage   Coverage
	Numbers    uint64 // distinct numbers in the file
	Suppressed uint64 // of these, with anything blocked
	Lines      uint64 // of the file, repeated numbers included
}

// NewRun makes the record of a scrub that took place at an instant.
func NewRun(id uuid.UUID, provider, reference string, at time.Time, coverage Coverage) Run {
	return Run{ID: id, Provider: provider, Reference: reference, At: at, Expires: EndOfDay(at), Coverage: coverage}
}

// EndOfDay is 23:59:59 IST of the day of an instant.
func EndOfDay(at time.Time) time.Time {
	y, m, d := at.In(IST).Date()
	return time.Date(y, m, d, 23, 59, 59, 0, IST)
}

// Fresh tells whether the run is valid at an instant: through the second 23:59:59, and not before it took place.
func (r Run) Fresh(now time.Time) bool {
	return !r.At.IsZero() && !now.Before(r.At) && now.Before(r.Expires.Add(time.Second))
}
