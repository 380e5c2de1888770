package person

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Page asks for users older than a place in the list; the zero place is the beginning.
type Page struct {
	Tenant uuid.UUID
	Before time.Time
	ID     uuid.UUID // of the last user of the page before
	Limit  int
}

// UserStore keeps the users of tenants.
type UserStore interface {
	Changes
	// CreateUser stores a new user with the link and letter that invite him (nil: none), the call's audit record and the
	// news; Exists with USER_EXISTS when the tenant has one with that address.
	CreateUser(ctx context.Context, u *User, link *Link, letter *Letter) error
	// Users answers a page, newest first.
	Users(ctx context.Context, p Page) ([]User, error)
}

// Administration is what callers may do with the users of their tenant.
type Administration struct {
	Store  UserStore
	Vault  Vault
	Links  *Links
	Scopes []string                     // all there are
	Forget func(tenant, user uuid.UUID) // see Sessions.Forget
	Now    func() time.Time
	Wake   func() // tells the sender of letters that there is one
}

// Invite makes a user of p's tenant and has him mailed. Errors: Invalid with violations; Exists with USER_EXISTS; Denied
// with SCOPE_MISSING when the role holds more than p.
func (a *Administration) Invite(ctx context.Context, p principal.Principal, email string, role Role) (User, error) {
	normal, ok := ParseEmail(email)
	if !ok {
		return User{}, invalid("email", "FORMAT", "must be a plain e-mail address of at most 254 characters")
	}
	if !role.Known() {
		return User{}, errRole
	}
	if err := a.mayGive(p, role); err != nil {
		return User{}, err
	}
	u := User{Tenant: p.TenantID, ID: uuid.Must(uuid.NewV7()), Role: role, Status: StatusInvited, Create: a.Now().Truncate(time.Microsecond)}
	var err error
	if u.Index, err = indexOf(a.Vault, normal); err != nil {
		return User{}, err
	}
	if u.Sealed, err = a.Vault.SealLasting(ctx, u.Tenant, u.ID, []byte(normal)); err != nil {
		return User{}, err
	}
	link, token, err := a.Links.make(&u, inviteLife)
	if err != nil {
		return User{}, err
	}
	letter, err := newLetter(ctx, a.Vault, u.Tenant, a.Links.invitation(normal, token), a.Now(), link.Expire)
	if err != nil {
		return User{}, err
	}
	if err := a.Store.CreateUser(ctx, &u, &link, &letter); err != nil {
		return User{}, err
	}
	a.Wake()
	return u, nil
}

var errRole = invalid("role", "UNKNOWN", "must be owner, admin, developer, compliance_officer or auditor")

// mayGive checks that p holds all that a role does: nobody makes somebody who may do more than himself.
func (a *Administration) mayGive(p principal.Principal, role Role) error {
	for _, scope := range role.Scopes(a.Scopes) {
		if !p.Has(scope) {
			return &errs.Error{
				Kind: errs.Denied, Reason: "SCOPE_MISSING", Message: fmt.Sprintf("the role %s holds the scope %s, which the caller does not", role, scope),
				Metadata: map[string]string{"scope": scope},
			}
		}
	}
	return nil
}

// change changes another user whose role p could give.
func (a *Administration) change(ctx context.Context, p principal.Principal, id uuid.UUID, change func(*User) (Effects, error)) (User, error) {
	if p.Actor == "user/"+id.String() {
		return User{}, errs.E(errs.Denied, "OWN_USER", "nobody changes his own role, standing or second factor here; ask another owner or admin", nil)
	}
	u, err := a.Store.ChangeUser(ctx, p.TenantID, id, func(u *User) (Effects, error) {
		if err := a.mayGive(p, u.Role); err != nil {
			return Effects{}, err
		}
		return change(u)
	})
	if err == nil {
		a.Forget(p.TenantID, id)
	}
	return u, err
}

// GiveRole gives a user another role and ends his sessions. Errors: Invalid for a role that is none; NotFound with
// USER_NOT_FOUND; Denied with OWN_USER, or SCOPE_MISSING when the old or new role holds more than p; Exists with LAST_OWNER.
func (a *Administration) GiveRole(ctx context.Context, p principal.Principal, id uuid.UUID, role Role) (User, error) {
	if !role.Known() {
		return User{}, errRole
	}
	if err := a.mayGive(p, role); err != nil {
		return User{}, err
	}
	return a.change(ctx, p, id, func(u *User) (Effects, error) {
		u.Role = role
		return Effects{EndSessions: true}, nil
	})
}

// Disable ends a user's sessions and refuses his logins. Errors as for GiveRole. Again it changes nothing.
func (a *Administration) Disable(ctx context.Context, p principal.Principal, id uuid.UUID) (User, error) {
	return a.change(ctx, p, id, func(u *User) (Effects, error) {
		u.Status = StatusDisabled
		return Effects{EndSessions: true}, nil
	})
}

// Enable lets a disabled user log in again; who has never signed in is invited still. Errors as for GiveRole.
func (a *Administration) Enable(ctx context.Context, p principal.Principal, id uuid.UUID) (User, error) {
	return a.change(ctx, p, id, func(u *User) (Effects, error) {
		if u.Status == StatusDisabled {
			u.Status = StatusActive
			if u.PasswordHash == "" && !u.Federated {
				u.Status = StatusInvited
			}
		}
		return Effects{}, nil
	})
}

// ResetSecondFactor removes another's authenticator and recovery codes and ends his sessions. Errors as for GiveRole.
func (a *Administration) ResetSecondFactor(ctx context.Context, p principal.Principal, id uuid.UUID) (User, error) {
	return a.change(ctx, p, id, func(u *User) (Effects, error) { return dropFactors(u), nil })
}

// Remove erases a user. Errors as for GiveRole.
func (a *Administration) Remove(ctx context.Context, p principal.Principal, id uuid.UUID) error {
	_, err := a.change(ctx, p, id, func(*User) (Effects, error) { return Effects{Remove: true, EndSessions: true}, nil })
	return err
}

// Email opens a user's address.
func (a *Administration) Email(ctx context.Context, u *User) (string, error) {
	email, err := a.Vault.OpenLasting(ctx, u.Tenant, u.ID, u.Sealed)
	return string(email), err
}
