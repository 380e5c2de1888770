package person

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Methods of attempts.
const (
	MethodPassword     = "password"
	MethodTOTP         = "totp"
	MethodRecoveryCode = "recovery_code"
	MethodFederated    = "federated"
	MethodResetRequest = "reset_request"
	MethodReset        = "reset"
)

// Attempt is one try to log in, or a step of one.
type Attempt struct {
	ID     uuid.UUID
	Tenant uuid.UUID // zero where none is known
	User   uuid.UUID // zero where no user was meant
	Method string
	Reason string // empty: a success
	Origin Origin
	Time   time.Time
	Alert  *Alert // tells the tenant; nil: not now
}

// Alert tells a tenant that somebody tries to enter an account.
type Alert struct {
	Network string
	Tries   int
}

// Opening is what a successful attempt changes.
type Opening struct {
	Session  Session
	Replaces string    // public id of the session it takes the place of; empty: none
	Compared string    // the stored form of the password that was right: another by now opens nothing; empty: none was
	Rehashed string    // the password anew, at a higher cost; empty: it stays
	Identity *[16]byte // of the identity provider, to be linked to the user; nil: it is
}

// Attempts writes attempts down.
type Attempts interface {
	// RecordAttempt stores a, with what it opens (nil: nothing), its alert and the call's audit record, in one transaction.
	// Unauthenticated with SESSION_INVALID when the session to replace is gone; nothing is stored then.
	RecordAttempt(ctx context.Context, a *Attempt, o *Opening) error
}

// AttemptFilter asks for attempts older than a place in the list; zero values do not filter.
type AttemptFilter struct {
	Tenant     uuid.UUID
	User       uuid.UUID
	Outcome    string // success or refused
	Start, End time.Time
	Before     uuid.UUID // of the last attempt of the page before
	Limit      int
}

// newAttempt begins an attempt on an account.
func newAttempt(u *User, method string, from Origin, now time.Time) Attempt {
	return Attempt{ID: uuid.Must(uuid.NewV7()), Tenant: u.Tenant, User: u.ID, Method: method, Origin: from, Time: now.Truncate(time.Microsecond)}
}

// refuse writes down that an attempt came to nothing: with the reason known here, answering err. When it cannot be
// written down, that is the answer.
func refuse(ctx context.Context, store Attempts, a Attempt, reason string, err error) error {
	a.Reason = reason
	if failed := store.RecordAttempt(ctx, &a, nil); failed != nil {
		return failed
	}
	return err
}

// noteTries puts an alert to an attempt when its tally asks for one.
func (a *Attempt) noteTries(t Target, tally Tally) {
	if alerts(tally.Tries) {
		a.Alert = &Alert{Network: t.Network.String(), Tries: tally.Tries}
	}
}

var errLogin = errs.E(errs.Unauthenticated, "LOGIN_FAILED", "address or password are wrong, or this user may not log in; who belongs to several tenants must name one", nil)
