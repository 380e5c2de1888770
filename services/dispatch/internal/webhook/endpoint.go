package webhook

import (
	"crypto/ed25519"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Statuses of an endpoint.
const (
	Pending  = "PENDING" // not verified: gets no event
	Active   = "ACTIVE"
	Disabled = "DISABLED"
)

// Reasons an endpoint is disabled for.
const (
	ByCaller = "BY_CALLER"
	Gone     = "GONE"    // it answered 410
	Failing  = "FAILING" // it did nothing but fail for disableAfter
)

// EventTypes are all types of message events, sorted.
var EventTypes = []string{
	"message.accepted", "message.cancelled", "message.delivered", "message.expired", "message.held", "message.queued",
	"message.refused", "message.submitted", "message.undelivered", "message.unknown",
}

// Bounds of an endpoint.
const (
	maxURL         = 2_048
	maxDescription = 200
	maxEndpoints   = 50 // a tenant and environment
)

// Endpoint is where events of a tenant are sent.
type Endpoint struct {
	ID, Tenant    uuid.UUID
	Env           string
	URL           string
	Description   string
	Types         []string // sorted; empty: all
	Ed25519       bool
	Status        string
	DisableReason string
	Secret        []byte // sealed Keys
	Previous      []byte // sealed Keys before the last rotation; nil: none
	PreviousUntil time.Time
	Public        ed25519.PublicKey
	PreviousKey   ed25519.PublicKey
	Created       time.Time
	Verified      time.Time // zero: never
	FailingSince  time.Time // zero: it works
	Warned        bool      // of failures for a day
}

// Wants tells whether the endpoint gets events of a type.
func (e *Endpoint) Wants(kind string) bool {
	if len(e.Types) == 0 {
		return true
	}
	_, found := slices.BinarySearch(e.Types, kind)
	return found
}

// overlapping tells whether the secret before the last rotation still signs.
func (e *Endpoint) overlapping(now time.Time) bool {
	return e.Previous != nil && now.Before(e.PreviousUntil)
}

// Wish is what a caller wants an endpoint to be.
type Wish struct {
	URL, Description string
	Types            []string
	Ed25519          bool
}

// check answers the wish in normal form; errs.Invalid names every field that is wrong.
func (w Wish) check(g *Guard) (Wish, error) {
	var wrong []errs.Violation
	if v := checkURL(w.URL, g); v != nil {
		wrong = append(wrong, *v)
	}
	if len([]rune(w.Description)) > maxDescription {
		wrong = append(wrong, errs.Violation{Field: "description", Reason: "TOO_LONG", Detail: "at most 200 characters"})
	}
	types := slices.Clone(w.Types)
	slices.Sort(types)
	w.Types = slices.Compact(types)
	for _, kind := range w.Types {
		if !slices.Contains(EventTypes, kind) {
			wrong = append(wrong, errs.Violation{Field: "event_types", Reason: "UNKNOWN", Detail: "there is no such event type; see /openapi.json"})
			break
		}
	}
	if wrong != nil {
		return w, &errs.Error{Kind: errs.Invalid, Reason: "REQUEST_INVALID", Message: "the request has invalid fields", Violations: wrong}
	}
	return w, nil
}
