package person

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Vault seals what is kept of people, and indexes addresses; see content.Vault.
type Vault interface {
	SealLasting(ctx context.Context, tenant, id uuid.UUID, plain []byte) ([]byte, error)
	OpenLasting(ctx context.Context, tenant, id uuid.UUID, sealed []byte) ([]byte, error)
	Hash(env string, tenant uuid.UUID, value string) ([16]byte, error)
}

// Accounts finds who an address belongs to.
type Accounts interface {
	// Account answers the user with that index, of a tenant, or with the zero tenant the only one there is. An account that
	// is not Known is no error.
	Account(ctx context.Context, index [16]byte, tenant uuid.UUID) (Account, error)
}

// LoginStore is what logins need of the database.
type LoginStore interface {
	Accounts
	Failures
	Attempts
}

// Login lets people in by password.
type Login struct {
	Store  LoginStore
	Vault  Vault
	Hasher *Hasher
	Issuer *Issuer
	Now    func() time.Time
}

// Credentials are what somebody shows. Tenant may be zero.
type Credentials struct {
	Email, Password string
	Tenant          uuid.UUID
}

// indexOf is the blind index of an address. It is of the platform: the tenant is not always known. What is no address
// has one too, which no user has.
func indexOf(v Vault, email string) ([16]byte, error) {
	normal, ok := ParseEmail(email)
	if ok {
		return v.Hash(principal.Live, uuid.Nil, "email|"+normal)
	}
	return v.Hash(principal.Live, uuid.Nil, "none|"+strings.ToLower(email[:min(len(email), maxEmail)]))
}

// Password begins a session for who knows the password. Errors: Unauthenticated with LOGIN_FAILED, whatever was wrong;
// Exhausted with LOGIN_DELAYED; Denied with ADDRESS_NOT_ALLOWED to who knows the password; Unavailable. Every attempt is
// written down before the answer.
func (l *Login) Password(ctx context.Context, c Credentials, from Origin) (Opened, error) {
	leave, err := l.Hasher.Enter(ctx)
	if err != nil {
		return Opened{}, err
	}
	defer leave()
	index, err := indexOf(l.Vault, c.Email)
	if err != nil {
		return Opened{}, err
	}
	account, err := l.Store.Account(ctx, index, c.Tenant)
	if err != nil {
		return Opened{}, err
	}
	target := Target{index, NetworkOf(from.Address), kindPassword}
	a := newAttempt(&account.User, MethodPassword, from, l.Now())
	tally, err := l.Store.CountTry(ctx, target, a.Time)
	if err != nil {
		return Opened{}, err
	}
	a.noteTries(target, tally)
	if tally.Wait > 0 {
		return Opened{}, refuse(ctx, l.Store, a, "LOGIN_DELAYED", errDelayed(tally.Wait))
	}
	right, outdated := l.Hasher.Compare(cut(c.Password), account.PasswordHash)
	switch {
	case !right || !account.Known:
		return Opened{}, refuse(ctx, l.Store, a, "LOGIN_FAILED", errLogin)
	case account.Status != StatusActive || account.Closed:
		return Opened{}, refuse(ctx, l.Store, a, "USER_DISABLED", errLogin)
	case !account.allows(from.Address):
		return Opened{}, refuse(ctx, l.Store, a, "ADDRESS_NOT_ALLOWED", errAddress)
	}
	opening := Opening{Compared: account.PasswordHash}
	if outdated {
		opening.Rehashed = l.Hasher.Hash(c.Password)
	}
	return l.open(ctx, &account.User, a, opening, target)
}

// open begins the session and forgets the tries before.
func (l *Login) open(ctx context.Context, u *User, a Attempt, o Opening, target Target) (Opened, error) {
	opened, err := l.Issuer.begin(u, firstStage(u), a.Origin, nil)
	if err != nil {
		return Opened{}, err
	}
	o.Session = opened.Session
	if err := l.Store.RecordAttempt(ctx, &a, &o); err != nil {
		return Opened{}, err
	}
	return opened, l.Store.ForgetTries(ctx, target)
}

// cut bounds what is hashed: a longer password was never set and is wrong anyway.
func cut(password string) string { return password[:min(len(password), 4*maxPassword+1)] }
