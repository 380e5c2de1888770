package consent

import (
	"time"

	"github.com/google/uuid"
)

// Scope is how far an opt-out reaches.
type Scope string

// The scopes.
const (
	OfHeader Scope = "header"
	OfEntity Scope = "entity"
	OfTenant Scope = "tenant"
)

// OptOut is a recipient's wish not to be sent promotion. Lifted is zero while it stands.
type OptOut struct {
	ID            uuid.UUID
	Recipient     [16]byte
	Scope         Scope
	Object        string
	Source        string
	Since, Lifted time.Time
}

// At tells whether it is in force at a time.
func (o *OptOut) At(now time.Time) bool {
	return !now.Before(o.Since) && (o.Lifted.IsZero() || now.Before(o.Lifted))
}

// Covers tells whether it reaches messages of an entity under a header.
func (o *OptOut) Covers(entity, header string) bool {
	switch o.Scope {
	case OfTenant:
		return true
	case OfEntity:
		return o.Object == entity
	case OfHeader:
		return o.Object == header
	}
	return false
}

// Suppression is an entry of a tenant's list. All says that nothing at all goes to the recipient; Expires is zero for no end.
type Suppression struct {
	Recipient [16]byte
	All       bool
	Reason    string
	Actor     string
	Since     time.Time
	Expires   time.Time
}

// At tells whether it is in force at a time.
func (s *Suppression) At(now time.Time) bool { return s.Expires.IsZero() || now.Before(s.Expires) }

// Promotion is what consents of one recipient to one entity say of a promotional message with a purpose: that it is valid
// when any explicit or transactional consent is, else how the one stands that changed last of those that say something.
func Promotion(records []Record, purpose string, now time.Time) State {
	best, at := StateNone, time.Time{}
	for i := range records {
		r := &records[i]
		if r.Key.Purpose != purpose || r.Key.Channel != Channel || r.Key.Basis == Inferred {
			continue
		}
		switch state := r.At(now); state {
		case StateValid:
			return StateValid
		case StateRevoked:
			if best != StateRevoked || r.Ended.After(at) {
				best, at = StateRevoked, r.Ended
			}
		case StateExpired:
			if best == StateNone {
				best = StateExpired
			}
		}
	}
	return best
}

// Contract is what consents inferred from contracts say of a service message: that all have ended, or nothing against it.
func Contract(records []Record, now time.Time) State {
	ended := StateNone
	for i := range records {
		r := &records[i]
		if r.Key.Basis != Inferred {
			continue
		}
		switch r.At(now) {
		case StateValid:
			return StateValid
		case StateEnded, StateExpired, StateRevoked, StateInvalidated:
			ended = StateEnded
		}
	}
	return ended
}

// LastWithdrawal is when a recipient last revoked a consent to an entity or opted out of it or more, up to a time; zero when
// he never did.
func LastWithdrawal(entity string, records []Record, optOuts []OptOut, now time.Time) (last time.Time) {
	for i := range records {
		if r := &records[i]; r.Key.Entity == entity && r.At(now) == StateRevoked && r.Ended.After(last) {
			last = r.Ended
		}
	}
	for i := range optOuts {
		o := &optOuts[i]
		if o.Scope != OfHeader && o.Covers(entity, "") && o.At(now) && o.Since.After(last) {
			last = o.Since
		}
	}
	return last
}
