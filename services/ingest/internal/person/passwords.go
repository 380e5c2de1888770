package person

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// PasswordStore is what changes of passwords need of the database.
type PasswordStore interface {
	LoginStore
	Changes
	LinkStore
	Session(ctx context.Context, id string) (Held, error)
}

// LinkStore keeps links.
type LinkStore interface {
	// OfferLink stores a link, the letter that brings it and the attempt that asked for it, with the call's audit record, in
	// one transaction; all the same whether the link is somebody's or nobody's.
	OfferLink(ctx context.Context, a *Attempt, link *Link, letter *Letter) error
	// Link answers a link that is not used; NotFound.
	Link(ctx context.Context, id string) (Link, error)
	// UseLink uses a link up and lets change work on its user, like ChangeUser; LINK_INVALID when it was used meanwhile.
	UseLink(ctx context.Context, link *Link, a *Attempt, change func(*User) (Effects, error)) error
}

// Passwords changes passwords.
type Passwords struct {
	Store  PasswordStore
	Vault  Vault
	Hasher *Hasher
	Links  *Links
	Issuer *Issuer
	Forget func(tenant, user uuid.UUID) // see Sessions.Forget
	Now    func() time.Time
	Wake   func() // tells the sender of letters that there is one
}

var errPassword = errs.E(errs.Denied, "PASSWORD_WRONG", "the password there is, is another", nil)

// Change replaces the caller's password and answers his session anew, his only one. Errors: Denied with PASSWORD_WRONG,
// Exhausted with LOGIN_DELAYED, Invalid for a password that is too weak.
func (c *Passwords) Change(ctx context.Context, p principal.Principal, old, wanted string, from Origin) (Opened, error) {
	id, err := UserOf(p)
	if err != nil {
		return Opened{}, err
	}
	u, err := c.Store.User(ctx, p.TenantID, id)
	if err != nil {
		return Opened{}, err
	}
	held, err := c.Store.Session(ctx, p.Session)
	if err != nil {
		return Opened{}, err
	}
	if err := c.check(ctx, &u, "new_password", wanted); err != nil {
		return Opened{}, err
	}
	hash, target, err := c.reprove(ctx, &u, old, wanted, from)
	if err != nil {
		return Opened{}, err
	}
	o, err := c.Issuer.begin(&u, held.Stage, from, &held.Session)
	if err != nil {
		return Opened{}, err
	}
	was := u.PasswordHash
	_, err = c.Store.ChangeUser(ctx, u.Tenant, u.ID, func(u *User) (Effects, error) {
		if u.PasswordHash != was {
			return Effects{}, errPassword
		}
		u.PasswordHash = hash
		return Effects{EndSessions: true, Begin: &o.Session}, nil
	})
	if err != nil {
		return Opened{}, err
	}
	c.Forget(u.Tenant, u.ID)
	return o, c.Store.ForgetTries(ctx, target)
}

// reprove compares the password there is and hashes the wanted one.
func (c *Passwords) reprove(ctx context.Context, u *User, old, wanted string, from Origin) (hash string, target Target, err error) {
	leave, err := c.Hasher.Enter(ctx)
	if err != nil {
		return "", target, err
	}
	defer leave()
	target = Target{u.Index, NetworkOf(from.Address), kindPassword}
	a := newAttempt(u, MethodPassword, from, c.Now())
	tally, err := c.Store.CountTry(ctx, target, a.Time)
	if err != nil {
		return "", target, err
	}
	a.noteTries(target, tally)
	if tally.Wait > 0 {
		return "", target, refuse(ctx, c.Store, a, "LOGIN_DELAYED", errDelayed(tally.Wait))
	}
	if right, _ := c.Hasher.Compare(cut(old), u.PasswordHash); !right {
		return "", target, refuse(ctx, c.Store, a, "PASSWORD_WRONG", errPassword)
	}
	return c.Hasher.Hash(wanted), target, nil
}

// check checks a wanted password against the rule, the user's address included.
func (c *Passwords) check(ctx context.Context, u *User, field, wanted string) error {
	email, err := c.Vault.OpenLasting(ctx, u.Tenant, u.ID, u.Sealed)
	if err != nil {
		return err
	}
	return CheckPassword(field, wanted, string(email))
}

// RequestReset mails a link to whom the address belongs, if he may log in or is invited. Whoever asks gets the same
// answer, after the same work, in any case; Exhausted with LOGIN_DELAYED when he asks too often.
func (c *Passwords) RequestReset(ctx context.Context, email string, owner uuid.UUID, from Origin) error {
	index, err := indexOf(c.Vault, email)
	if err != nil {
		return err
	}
	account, err := c.Store.Account(ctx, index, owner)
	if err != nil {
		return err
	}
	target := Target{index, NetworkOf(from.Address), kindReset}
	a := newAttempt(&account.User, MethodResetRequest, from, c.Now())
	tally, err := c.Store.CountTry(ctx, target, a.Time)
	if err != nil {
		return err
	}
	if tally.Wait > 0 {
		return refuse(ctx, c.Store, a, "LOGIN_DELAYED", errDelayed(tally.Wait))
	}
	normal, _ := ParseEmail(email)
	switch {
	case !account.Known:
		a.Reason = "USER_NOT_FOUND"
	case account.Status == StatusDisabled || account.Closed:
		a.Reason = "USER_DISABLED"
	case !account.allows(from.Address):
		a.Reason = "ADDRESS_NOT_ALLOWED"
	}
	return c.offer(ctx, &account.User, normal, a)
}

// offer makes link and letter; of an attempt with a reason both are nobody's.
func (c *Passwords) offer(ctx context.Context, u *User, email string, a Attempt) error {
	link, token, err := c.Links.make(u, resetLife)
	if err != nil {
		return err
	}
	m := c.Links.resetMail(email, token)
	if a.Reason != "" {
		link.User, m.To = uuid.Nil, ""
	}
	letter, err := newLetter(ctx, c.Vault, u.Tenant, m, c.Now(), link.Expire)
	if err != nil {
		return err
	}
	if err := c.Store.OfferLink(ctx, &a, &link, &letter); err != nil {
		return err
	}
	c.Wake()
	return nil
}

// newLetter seals a mail.
func newLetter(ctx context.Context, v Vault, owner uuid.UUID, m Mail, now, expire time.Time) (Letter, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Letter{}, err
	}
	plain := m.encode()
	defer clear(plain)
	sealed, err := v.SealLasting(ctx, owner, id, plain)
	return Letter{ID: id, Tenant: owner, Sealed: sealed, Due: now, Expire: expire}, err
}

// Reset sets the password of the user whose link's token it is, and ends his sessions; an invited user is active from
// then on. Errors: Invalid with LINK_INVALID, or for a password that is too weak, which does not use the link up; Denied
// with ADDRESS_NOT_ALLOWED.
func (c *Passwords) Reset(ctx context.Context, token, wanted string, from Origin) error {
	t, err := c.Links.read(token)
	if err != nil {
		return err
	}
	link, err := c.Store.Link(ctx, t.ID)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return err
	}
	if err != nil || !c.opens(t, &link) {
		return errLink
	}
	u, err := c.mayReset(ctx, &link, from)
	if err != nil {
		return err
	}
	if err := c.check(ctx, &u, "password", wanted); err != nil {
		return err
	}
	leave, err := c.Hasher.Enter(ctx)
	if err != nil {
		return err
	}
	hash := c.Hasher.Hash(wanted)
	leave()
	a := newAttempt(&u, MethodReset, from, c.Now())
	err = c.Store.UseLink(ctx, &link, &a, func(u *User) (Effects, error) {
		if u.Status == StatusDisabled {
			return Effects{}, errLink
		}
		u.Status, u.PasswordHash = StatusActive, hash
		return Effects{EndSessions: true}, nil
	})
	if err == nil {
		c.Forget(u.Tenant, u.ID)
	}
	return err
}

// mayReset answers a link's user, if he could log in from there.
func (c *Passwords) mayReset(ctx context.Context, link *Link, from Origin) (User, error) {
	u, err := c.Store.User(ctx, link.Tenant, link.User)
	if err != nil {
		return u, err
	}
	account, err := c.Store.Account(ctx, u.Index, u.Tenant)
	if err == nil && !account.allows(from.Address) {
		err = errAddress
	}
	return u, err
}

// opens tells whether a token is that of a stored link which is somebody's and not over.
func (c *Passwords) opens(t tenant.Token, link *Link) bool {
	return c.Links.Peppers.Matches(linkPrefix+t.Secret, link.MAC, link.PepperVersion) && link.User != uuid.Nil && c.Now().Before(link.Expire)
}
