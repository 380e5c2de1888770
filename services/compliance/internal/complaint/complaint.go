// Package complaint holds the rules of complaints about unwanted messages: how an entity stands by its distinct complainants
// in ten days (TCCCPR 2018 as amended on 12 February 2025: five are a violation).
package complaint

import (
	"time"

	"github.com/google/uuid"
)

// Window is how long a complaint counts, from when it was made.
const Window = 10 * 24 * time.Hour

// Distinct complainants at which an entity's standing changes.
const (
	warnAt  = 2
	brakeAt = 3
	stopAt  = 5
)

// Standing is how an entity stands.
type Standing uint8

// The standings. Braked: its promotion is held; Stopped: its service messages too.
const (
	Good Standing = iota
	Warned
	Braked
	Stopped
)

// String is the standing as the API shows it.
func (s Standing) String() string { return [...]string{"GOOD", "WARNED", "BRAKED", "STOPPED"}[s] }

// Of is the standing of an entity with so many distinct complainants in the window.
func Of(complainants int) Standing {
	switch {
	case complainants >= stopAt:
		return Stopped
	case complainants >= brakeAt:
		return Braked
	case complainants >= warnAt:
		return Warned
	}
	return Good
}

// State says what became of a complaint.
type State string

// The states. A rejected complaint does not count.
const (
	Recorded State = "RECORDED"
	Upheld   State = "UPHELD"
	Rejected State = "REJECTED"
)

// Complaint is one complaint.
type Complaint struct {
	ID        uuid.UUID
	Recipient [16]byte
	Entity    string
	Header    string
	Reference string
	Time      time.Time
	State     State
	Created   time.Time
}

// Counts tells whether it counts at a time: (now − 10 days, now].
func (c *Complaint) Counts(now time.Time) bool {
	return c.State != Rejected && c.Time.After(now.Add(-Window)) && !c.Time.After(now)
}

// Complainants is how many recipients complained about an entity in the window.
func Complainants(all []Complaint, entity string, now time.Time) int {
	distinct := map[[16]byte]bool{}
	for i := range all {
		if c := &all[i]; c.Entity == entity && c.Counts(now) {
			distinct[c.Recipient] = true
		}
	}
	return len(distinct)
}
