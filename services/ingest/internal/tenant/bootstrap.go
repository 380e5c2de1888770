package tenant

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Tenant is who sends.
type Tenant struct {
	ID   uuid.UUID
	Name string
}

// Wanted is a key to make: environment and what it may do from where.
type Wanted struct {
	Name      string // of the key in the answer; empty: its environment
	Env       string
	Scopes    []string
	Addresses Addresses // none: from everywhere
}

func (w *Wanted) name() string { return cmp.Or(w.Name, w.Env) }

// Directory is where tenants and keys are kept.
type Directory interface {
	Records
	// EnsureTenant creates t when its id is new and changes nothing else.
	EnsureTenant(ctx context.Context, t Tenant) error
	// InsertKey stores a key; Exists when the kid is taken.
	InsertKey(ctx context.Context, r Record) error
}

// Bootstrap sets up a tenant with keys; running it again changes nothing.
type Bootstrap struct {
	Directory Directory
	Peppers   *Peppers
	Now       func() time.Time
	Random    io.Reader
}

// Run creates t when absent, and a key for each of wanted unless held has a key of that name that verifies with at least
// those scopes. It answers all keys by name, old and new; only the caller ever sees the secrets.
func (b *Bootstrap) Run(ctx context.Context, t Tenant, wanted []Wanted, held map[string]string) (map[string]string, error) {
	if err := b.Directory.EnsureTenant(ctx, t); err != nil {
		return nil, err
	}
	verifier := NewVerifier(b.Directory, b.Peppers, b.Now)
	keys := map[string]string{}
	for _, w := range wanted {
		if w.Env != principal.Live && w.Env != principal.Test {
			return nil, errs.E(errs.Invalid, "", fmt.Sprintf("a key's env is %q, not live or test", w.Env), nil)
		}
		ok, err := holds(ctx, verifier, held[w.name()], t, w)
		if err != nil {
			return nil, err
		}
		if keys[w.name()] = held[w.name()]; !ok {
			if keys[w.name()], err = b.makeKey(ctx, t, w); err != nil {
				return nil, err
			}
		}
	}
	return keys, nil
}

// holds tells whether key is a working key of t for what is wanted.
func holds(ctx context.Context, v *Verifier, key string, t Tenant, w Wanted) (bool, error) {
	p, err := v.Verify(ctx, key)
	if errs.KindOf(err) == errs.Unauthenticated && err != nil {
		return false, nil
	}
	missing := slices.ContainsFunc(w.Scopes, func(s string) bool { return !p.Has(s) })
	return p.TenantID == t.ID && p.Env == w.Env && !missing, err
}

func (b *Bootstrap) makeKey(ctx context.Context, t Tenant, w Wanted) (string, error) {
	key, err := NewKey(w.Env, b.Random)
	if err != nil {
		return "", err
	}
	mac, version := b.Peppers.Hash(key.Secret)
	err = b.Directory.InsertKey(ctx, Record{
		KID: key.KID, Tenant: t.ID, Env: w.Env, PepperVersion: version, MAC: mac,
		Scopes: slices.Sorted(slices.Values(w.Scopes)), Status: StatusActive, Expire: b.Now().Add(KeyLifetime),
		Addresses: w.Addresses,
	})
	return key.String(), err
}
