package person

import (
	"io"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Stage is how far the user of a session has proven who he is; see the package's comment.
type Stage string

// The stages.
const (
	StagePassword Stage = "password"
	StagePending  Stage = "pending"
	StageComplete Stage = "complete"
)

// How long a session lasts (NIST SP 800-63B-4, 2.2.3: 12 hours, and 15 minutes here where 30 are allowed).
const (
	IdleLimit     = 15 * time.Minute
	AbsoluteLimit = 12 * time.Hour
	// MaxSessions is how many a user has; the oldest gives way to a new one.
	MaxSessions = 50
)

// SessionPrefix begins the token of a session.
const SessionPrefix = "osms_session_"

// Peppers are the secrets under which tokens are stored; see tenant.Peppers.
type Peppers interface {
	Hash(secret string) (mac []byte, version int16)
	Matches(secret string, mac []byte, version int16) bool
}

// Origin is where a call comes from.
type Origin struct {
	Address netip.Addr
	Agent   string
}

// Session is one login of a user, as stored.
type Session struct {
	ID            string // public
	Tenant        uuid.UUID
	User          uuid.UUID
	Stage         Stage
	MAC           []byte // of the token's secret
	PepperVersion int16
	Create        time.Time // of the login
	LastUse       time.Time // to the minute
	Expire        time.Time // however much it is used
	Origin        Origin    // of the login
}

// Opened is a session with its token, the only time it is shown.
type Opened struct {
	Session
	Role  Role
	Token string
}

// NextStep is what the user is asked for next: VERIFY, ENROL or NONE.
func NextStep(r Role, s Stage) string {
	switch {
	case s == StagePending:
		return "VERIFY"
	case s == StagePassword && r.NeedsSecondFactor():
		return "ENROL"
	}
	return "NONE"
}

// Issuer makes the tokens of sessions.
type Issuer struct {
	Peppers Peppers
	Now     func() time.Time
	Random  io.Reader
}

// begin makes a session of u. One that replaces another (nil: none) lasts no longer than that would have.
func (i *Issuer) begin(u *User, stage Stage, from Origin, replaced *Session) (Opened, error) {
	token, err := tenant.NewToken(i.Random)
	if err != nil {
		return Opened{}, err
	}
	now := i.Now().Truncate(time.Microsecond) // as the database keeps it
	s := Session{
		ID: token.ID, Tenant: u.Tenant, User: u.ID, Stage: stage, Create: now, LastUse: now, Expire: now.Add(AbsoluteLimit), Origin: from,
	}
	if replaced != nil {
		s.Create, s.Expire, s.Origin = replaced.Create, replaced.Expire, replaced.Origin
	}
	s.MAC, s.PepperVersion = i.Peppers.Hash(SessionPrefix + token.Secret)
	return Opened{Session: s, Role: u.Role, Token: token.Write(SessionPrefix)}, nil
}

// firstStage is the stage of a session after the first factor.
func firstStage(u *User) Stage {
	if u.Confirmed {
		return StagePending
	}
	return StagePassword
}

var (
	errSessionInvalid = errs.E(errs.Unauthenticated, "SESSION_INVALID", "the session is not there or was ended; log in again", nil)
	errSessionExpired = errs.E(errs.Unauthenticated, "SESSION_EXPIRED", "the session was not used for 15 minutes, or is 12 hours old; log in again", nil)
	errAddress        = errs.E(errs.Denied, "ADDRESS_NOT_ALLOWED", "people may not come in from this address; see the address rules of the tenant", nil)
)
