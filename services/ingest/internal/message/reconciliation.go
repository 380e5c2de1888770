package message

import (
	"time"

	"github.com/google/uuid"
)

// StalledAfter is how long a message may stand undecided before its parcel is published again. Screening takes
// milliseconds; an event that was lost with its stream is the one thing that takes longer.
const StalledAfter = 5 * time.Minute

// Reconciliation is the equation of a tenant's day: what was told as accepted, and what stands somewhere.
type Reconciliation struct {
	Tenant   uuid.UUID
	Env      string
	Day      time.Time // UTC day of acceptance
	Accepted int64     // by the outbox's parcels, which are written apart from the standings
	States   map[State]int64
	Stalled  int64 // undecided for longer than StalledAfter
}

// Standing is how many messages stand somewhere.
func (r *Reconciliation) Standing() (n int64) {
	for _, count := range r.States {
		n += count
	}
	return n
}

// Gap is what was accepted and stands nowhere; below zero, what stands somewhere and was told by nobody. Zero unless
// something is wrong.
func (r *Reconciliation) Gap() int64 { return r.Accepted - r.Standing() }

// Add counts a parcel's messages.
func (r *Reconciliation) Add(s Standings, stalled bool) {
	if r.States == nil {
		r.States = map[State]int64{}
	}
	for i := range s.Len() {
		state := s.At(i).State
		r.States[state]++
		if stalled && state == StateAccepted {
			r.Stalled++
		}
	}
}
