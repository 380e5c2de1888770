package person

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
)

// BootstrapStore is what making a first owner needs of the database.
type BootstrapStore interface {
	Accounts
	UserStore
}

// Bootstrap makes a tenant's first owner, who has nobody to invite him; running it again changes nothing.
type Bootstrap struct {
	Store  BootstrapStore
	Vault  Vault
	Hasher *Hasher
	Now    func() time.Time
	Random io.Reader
}

// Credential is what an owner logs in with: password and authenticator seed, base32.
type Credential struct{ Password, Seed string }

// Owner makes an active owner with password and authenticator and answers both, unless held are his and work: then it
// answers those. An owner who is there but whose credentials are not held gets new ones.
func (b *Bootstrap) Owner(ctx context.Context, owner uuid.UUID, email string, held Credential) (Credential, error) {
	normal, ok := ParseEmail(email)
	if !ok {
		return Credential{}, invalid("email", "FORMAT", "must be a plain e-mail address")
	}
	index, err := indexOf(b.Vault, normal)
	if err != nil {
		return Credential{}, err
	}
	account, err := b.Store.Account(ctx, index, owner)
	if err != nil {
		return Credential{}, err
	}
	if works, err := b.works(ctx, &account, held); works || err != nil {
		return held, err
	}
	u := account.User
	if !account.Known {
		u = User{Tenant: owner, ID: uuid.Must(uuid.NewV7()), Index: index, Create: b.Now().Truncate(time.Microsecond)}
		if u.Sealed, err = b.Vault.SealLasting(ctx, owner, u.ID, []byte(normal)); err != nil {
			return Credential{}, err
		}
	}
	made, err := b.arm(ctx, &u)
	if err != nil {
		return Credential{}, err
	}
	if !account.Known {
		return made, b.Store.CreateUser(ctx, &u, nil, nil)
	}
	_, err = b.Store.ChangeUser(ctx, owner, u.ID, func(there *User) (Effects, error) {
		there.Role, there.Status, there.PasswordHash, there.TOTP, there.Confirmed = u.Role, u.Status, u.PasswordHash, u.TOTP, true
		return Effects{EndSessions: true, ForgetCodes: true}, nil
	})
	return made, err
}

// works tells whether an owner's held credentials let him in.
func (b *Bootstrap) works(ctx context.Context, a *Account, held Credential) (bool, error) {
	if !a.Known || a.Role != Owner || a.Status != StatusActive || !a.Confirmed || held.Password == "" || held.Seed == "" {
		return false, nil
	}
	seed, err := b.Vault.OpenLasting(ctx, a.Tenant, a.ID, a.TOTP)
	if err != nil {
		return false, err
	}
	right, _ := b.Hasher.Compare(held.Password, a.PasswordHash)
	return right && base32Plain.EncodeToString(seed) == held.Seed, nil
}

// arm gives an owner password and authenticator.
func (b *Bootstrap) arm(ctx context.Context, u *User) (Credential, error) {
	raw := make([]byte, 2*seedBytes)
	if _, err := io.ReadFull(b.Random, raw); err != nil {
		return Credential{}, err
	}
	password, seed := strings.ToLower(base32Plain.EncodeToString(raw[:seedBytes])), raw[seedBytes:]
	sealed, err := b.Vault.SealLasting(ctx, u.Tenant, u.ID, seed)
	if err != nil {
		return Credential{}, err
	}
	u.Role, u.Status, u.PasswordHash, u.TOTP, u.Confirmed = Owner, StatusActive, b.Hasher.Hash(password), sealed, true
	return Credential{Password: password, Seed: base32Plain.EncodeToString(seed)}, nil
}
