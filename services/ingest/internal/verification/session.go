package verification

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// MaxChecks is how many codes a session compares.
const MaxChecks = 3

// States as they are stored; Session.Status says what a caller sees.
const (
	StateOpen      = "open"
	StateVerified  = "verified"
	StateCancelled = "cancelled"
	StateClosed    = "closed" // failed or expired, and another session took its number and purpose
)

// Statuses as they are answered.
const (
	StatusPending   = "PENDING"
	StatusVerified  = "VERIFIED"
	StatusFailed    = "FAILED"
	StatusExpired   = "EXPIRED"
	StatusCancelled = "CANCELLED"
)

// Session is an OTP session as it is stored.
type Session struct {
	message.Place           // whose it is, and its id
	State         string    // one of the States
	Number        [16]byte  // blind index of the number
	Range         [16]byte  // blind index of the number's range
	Sealed        []byte    // the number, sealed for Place
	Purpose       string    // what the person confirms
	MAC           []byte    // of the latest code; see material
	Pepper        int16     // version of the pepper in MAC
	Checks        int       // counted so far, 0..MaxChecks
	Sends         int       // codes sent, 1..MaxSends
	Unsent        bool      // the latest code certainly did not leave
	Suspected     bool      // the range was suspected of pumping at the latest send
	Create        time.Time // of the session
	Sent          time.Time // of the latest code
	Expire        time.Time // of the latest code
	Message       uuid.UUID // that carried the latest code; zero when it is not known
}

// Status is what a session is at time now: no job is needed for it to expire.
func (s *Session) Status(now time.Time) string {
	switch {
	case s.State == StateVerified:
		return StatusVerified
	case s.State == StateCancelled:
		return StatusCancelled
	case s.Checks >= MaxChecks:
		return StatusFailed
	case s.State == StateClosed || !now.Before(s.Expire):
		return StatusExpired
	}
	return StatusPending
}

// over says why a session that is not pending takes no check.
func (s *Session) over(now time.Time) error {
	switch s.Status(now) {
	case StatusVerified:
		return errs.E(errs.Exists, "OTP_USED", "the session's code was used; start a new session", nil)
	case StatusCancelled:
		return errs.E(errs.Exists, "OTP_CANCELLED", "the session was cancelled; start a new one", nil)
	case StatusFailed:
		return errs.E(errs.Exists, "OTP_CHECKS_EXHAUSTED", "the session's three checks are used up; start a new one", nil)
	case StatusExpired:
		return errs.E(errs.Exists, "OTP_EXPIRED", "the code has expired; start a new session", nil)
	}
	return errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "the session changed meanwhile; try again", nil)
}

// View is a session as its owner sees it.
type View struct {
	Session
	Status string
	To     string // masked
}

// referencePrefix stands before the session's id in the reference of its messages.
const referencePrefix = "verification/"

// Carries tells by a message's client reference whether it carries a code, and so must not be shown.
func Carries(reference string) bool { return strings.HasPrefix(reference, referencePrefix) }
