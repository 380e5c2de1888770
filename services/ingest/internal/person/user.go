package person

import (
	"context"
	"net/mail"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Status of a user.
const (
	StatusInvited  = "invited" // has never signed in
	StatusActive   = "active"
	StatusDisabled = "disabled"
)

// User is one person of a tenant, as stored: the address is sealed.
type User struct {
	Tenant       uuid.UUID
	ID           uuid.UUID
	Index        [16]byte // of the address
	Sealed       []byte   // the address, for the row ID
	Role         Role
	Status       string
	PasswordHash string // argon2id; empty: none
	TOTP         []byte // seed, sealed for the row ID; nil: none
	Confirmed    bool   // the authenticator counts
	Step         int64  // the latest a code was taken of
	Federated    bool   // signs in at the identity provider
	Create       time.Time
	Login        time.Time // latest; zero when never
}

// Account is what a login needs to know: the user, and from where his tenant lets people in. Without user, nobody has
// the address, or several tenants' users have it and none was named.
type Account struct {
	User
	Known     bool
	Closed    bool             // the tenant is
	LiveRules tenant.Addresses // address rules of the tenant, by environment
	TestRules tenant.Addresses
}

// allows tells whether people may come in from an address.
func (a *Account) allows(from netip.Addr) bool { return allowed(a.LiveRules, a.TestRules, from) }

// allowed tells whether people may come in from an address: by the tenant's rules for live, or where it has none by those
// for test. Each call of a session obeys the rules of its environment besides.
func allowed(live, test tenant.Addresses, from netip.Addr) bool {
	if len(live) > 0 {
		return live.Allow(from)
	}
	return test.Allow(from)
}

// maxEmail is the longest address of e-mail (RFC 5321, 4.5.3.1.3, without brackets).
const maxEmail = 254

// ParseEmail brings an address into the form in which it is compared: NFC and lower case, because no provider that people
// use tells case apart. ok is false for what is no plain address.
func ParseEmail(text string) (email string, ok bool) {
	email = strings.ToLower(norm.NFC.String(strings.TrimSpace(text)))
	a, err := mail.ParseAddress(email)
	at := strings.LastIndexByte(email, '@')
	if err != nil || a.Address != email || len(email) > maxEmail || at < 1 || !strings.Contains(email[at:], ".") || strings.ContainsAny(email, " \"\r\n") {
		return "", false
	}
	return email, true
}

// domainOf is what stands behind the @.
func domainOf(email string) string { return email[strings.LastIndexByte(email, '@')+1:] }

// invalid is a refusal of one field.
func invalid(field, reason, detail string) error {
	return &errs.Error{
		Kind: errs.Invalid, Reason: "REQUEST_INVALID", Message: "the request is malformed and nothing was changed; see the violations",
		Violations: []errs.Violation{{Field: field, Reason: reason, Detail: detail}},
	}
}

// Effects are what a change of a user brings about beside the change itself.
type Effects struct {
	Remove      bool          // the user, with all that is his
	EndSessions bool          // all there are
	Begin       *Session      // after that
	ForgetCodes bool          // all recovery codes there are
	Codes       []RecoveryMAC // after that
}

// Changes changes users.
type Changes interface {
	// User answers a user of a tenant; NotFound with USER_NOT_FOUND.
	User(ctx context.Context, tenant, id uuid.UUID) (User, error)
	// ChangeUser lets change work on a user, one change of a tenant's users at a time, and stores him with the effects, the
	// call's audit record and the news for the other replicas in one transaction. Links end with a change of password and
	// with disabling. An error of change stores nothing and comes back as it is. Exists with LAST_OWNER when no active owner would be left; NotFound with USER_NOT_FOUND.
	ChangeUser(ctx context.Context, tenant, id uuid.UUID, change func(*User) (Effects, error)) (User, error)
}
