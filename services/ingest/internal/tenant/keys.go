package tenant

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Bounds of keys and their rotation.
const (
	MinLifetime    = time.Hour
	DefaultOverlap = 7 * 24 * time.Hour
	MaxOverlap     = 30 * 24 * time.Hour

	maxReason = 200 // characters
	maxScopes = 64
)

// Detail is a key as its tenant manages it.
type Detail struct {
	Record
	Name        string
	Create      time.Time
	LastUse     time.Time // to the minute; zero when never
	LastAddress netip.Addr
	Successor   string // kid of the key that replaces it
	Reason      string // of its revocation
	Warned      int    // smallest number of days before expiry that was alerted; see Reminder
	Exposed     bool   // of a change: it ends a key that was seen in clear, and its tenant is alerted
}

// Words for a key's standing.
const (
	KeyActive  = "ACTIVE"
	KeyRotated = "ROTATED" // works beside its successor until it expires
	KeyExpired = "EXPIRED"
	KeyRevoked = "REVOKED"
)

// Standing is the key's standing at now.
func (d *Detail) Standing(now time.Time) string {
	switch {
	case d.Status == StatusRevoked:
		return KeyRevoked
	case !now.Before(d.Expire):
		return KeyExpired
	case d.Successor != "":
		return KeyRotated
	}
	return KeyActive
}

// Page asks for keys older than a place in the list; the zero place is the beginning.
type Page struct {
	Tenant uuid.UUID
	Env    string
	Before time.Time
	KID    string // of the last key of the page before
	Limit  int
}

// KeyStore keeps the keys of tenants. Changes are one transaction with the call's record and the news of the change.
type KeyStore interface {
	// CreateKey stores a new key; Exists when its kid is taken.
	CreateKey(ctx context.Context, d *Detail) error
	// KeyDetail answers a key of tenant in env; NotFound (KEY_NOT_FOUND) when it is not there or somebody else's.
	KeyDetail(ctx context.Context, tenant uuid.UUID, env, kid string) (Detail, error)
	// Keys answers a page, newest first.
	Keys(ctx context.Context, p Page) ([]Detail, error)
	// ChangeKey lets change work on a key, which nobody else changes meanwhile, and stores it, and beside it a successor
	// where change answers one, and the alert where it says Exposed. An error of change stores nothing and comes back as
	// it is.
	ChangeKey(ctx context.Context, tenant uuid.UUID, env, kid string, change func(*Detail) (successor *Detail, err error)) (Detail, error)
}

// KeyWish describes a key to make or to change.
type KeyWish struct {
	Name        string
	Env         string // empty: the caller's
	Scopes      []string
	Addresses   []string      // CIDR
	Lifetime    time.Duration // 0: KeyLifetime
	Certificate string        // SHA-256, hex; empty: not bound
}

// Keys is what callers may do with the keys of their own tenant and environment.
type Keys struct {
	Store   KeyStore
	Peppers *Peppers
	Scopes  []string // all there are
	Now     func() time.Time
	Random  io.Reader
	Forget  func(tenant uuid.UUID, kid string) // see Verifier.Forget
}

// Create makes a key for p's tenant and environment and answers it with the whole key, the only time it is shown. Errors:
// Invalid with violations; Denied with SCOPE_MISSING when p would give what it does not hold, and with
// KEY_WRONG_ENVIRONMENT when it asks for a key of the other environment.
func (k *Keys) Create(ctx context.Context, p principal.Principal, w KeyWish) (Detail, string, error) {
	if w.Env != "" && w.Env != p.Env {
		return Detail{}, "", errWrongEnv
	}
	d, found := k.describe(w)
	if w.Lifetime != 0 && (w.Lifetime < MinLifetime || w.Lifetime > KeyLifetime) {
		found = append(found, errs.Violation{Field: "lifetime", Reason: "OUT_OF_RANGE", Detail: "1 hour to 90 days"})
	}
	if err := invalid(found); err != nil {
		return Detail{}, "", err
	}
	if err := gives(p, d.Scopes, nil); err != nil {
		return Detail{}, "", err
	}
	lifetime := w.Lifetime
	if lifetime == 0 {
		lifetime = KeyLifetime
	}
	secret, err := k.mint(&d, p.TenantID, p.Env, lifetime)
	if err != nil {
		return Detail{}, "", err
	}
	return d, secret, k.Store.CreateKey(ctx, &d)
}

// describe reads what a wish says of a key.
func (k *Keys) describe(w KeyWish) (d Detail, found []errs.Violation) {
	d.Name, d.Scopes = w.Name, slices.Compact(slices.Sorted(slices.Values(w.Scopes)))
	if n := utf8.RuneCountInString(w.Name); n == 0 || n > maxName {
		found = append(found, errs.Violation{Field: "name", Reason: "OUT_OF_RANGE", Detail: "1 to 100 characters"})
	}
	if len(d.Scopes) == 0 || len(d.Scopes) > maxScopes {
		found = append(found, errs.Violation{Field: "scopes", Reason: "OUT_OF_RANGE", Detail: "1 to 64 scopes"})
	}
	for i, scope := range w.Scopes {
		if !slices.Contains(k.Scopes, scope) {
			found = append(found, errs.Violation{Field: fmt.Sprintf("scopes[%d]", i), Reason: "UNKNOWN", Detail: "there is no such scope"})
		}
	}
	var err error
	if d.Addresses, err = ParseAddresses(w.Addresses); err != nil {
		found = append(found, err.(*errs.Error).Violations...) //nolint:errorlint // always that type
	}
	if d.Certificate, err = hex.DecodeString(w.Certificate); err != nil || len(d.Certificate) != 0 && len(d.Certificate) != 32 {
		found = append(found, errs.Violation{Field: "certificate_sha256", Reason: "FORMAT", Detail: "must be 64 hexadecimal digits"})
	}
	return d, found
}

// gives checks that p holds every scope that is given, but for those that are there already.
func gives(p principal.Principal, scopes, held []string) error {
	for _, scope := range scopes {
		if !p.Has(scope) && !slices.Contains(held, scope) {
			return &errs.Error{
				Kind: errs.Denied, Reason: "SCOPE_MISSING", Message: fmt.Sprintf("a caller cannot give the scope %s, which it does not hold", scope),
				Metadata: map[string]string{"scope": scope},
			}
		}
	}
	return nil
}

// mint makes d a new key and answers the whole of it.
func (k *Keys) mint(d *Detail, tenant uuid.UUID, env string, lifetime time.Duration) (string, error) {
	key, err := NewKey(env, k.Random)
	if err != nil {
		return "", err
	}
	now := k.Now().Truncate(time.Microsecond) // as the database keeps it
	d.KID, d.Tenant, d.Env, d.Status = key.KID, tenant, env, StatusActive
	d.Create, d.Expire = now, now.Add(lifetime)
	d.Warned = firstWarning(lifetime)
	d.MAC, d.PepperVersion = k.Peppers.Hash(key.Secret)
	return key.String(), nil
}

// Update replaces name, scopes and address rules of a key of p's tenant and environment. Errors as for Create, and
// NotFound with KEY_NOT_FOUND, and Exists with KEY_NOT_ACTIVE for a key that is at its end.
func (k *Keys) Update(ctx context.Context, p principal.Principal, kid string, w KeyWish) (Detail, error) {
	wanted, found := k.describe(w)
	if err := invalid(found); err != nil {
		return Detail{}, err
	}
	return k.change(ctx, p, kid, func(d *Detail) (*Detail, error) {
		if err := k.alive(d); err != nil {
			return nil, err
		}
		if err := gives(p, wanted.Scopes, d.Scopes); err != nil {
			return nil, err
		}
		d.Name, d.Scopes, d.Addresses = wanted.Name, wanted.Scopes, wanted.Addresses
		return nil, nil
	})
}

// Rotate makes a successor with the same rights and lets the old key end after overlap, 0 (at once) to MaxOverlap, or
// when it would have ended anyway. Who rotates gets the successor's secret: so he must hold all its scopes. Errors as
// for Update.
func (k *Keys) Rotate(ctx context.Context, p principal.Principal, kid string, overlap time.Duration) (successor Detail, secret string, old Detail, err error) {
	if overlap < 0 || overlap > MaxOverlap {
		return Detail{}, "", Detail{}, invalid([]errs.Violation{{Field: "overlap", Reason: "OUT_OF_RANGE", Detail: "0 s to 30 days"}})
	}
	old, err = k.change(ctx, p, kid, func(d *Detail) (*Detail, error) {
		if err := k.alive(d); err != nil {
			return nil, err
		}
		if err := gives(p, d.Scopes, nil); err != nil {
			return nil, err
		}
		successor = Detail{Name: d.Name}
		successor.Scopes, successor.Addresses, successor.Certificate = d.Scopes, d.Addresses, d.Certificate
		var err error
		if secret, err = k.mint(&successor, d.Tenant, d.Env, KeyLifetime); err != nil {
			return nil, err
		}
		d.Successor = successor.KID
		if end := successor.Create.Add(overlap); end.Before(d.Expire) {
			d.Expire = end
		}
		return &successor, nil
	})
	return successor, secret, old, err
}

// alive refuses keys at their end, and those that have a successor.
func (k *Keys) alive(d *Detail) error {
	if s := d.Standing(k.Now()); s != KeyActive {
		return &errs.Error{
			Kind: errs.Exists, Reason: "KEY_NOT_ACTIVE", Message: "this key is revoked, expired or already rotated",
			Metadata: map[string]string{"status": s},
		}
	}
	return nil
}

// Revoke ends a key of p's tenant and environment; reason is for the audit log. Revoking it again changes nothing.
func (k *Keys) Revoke(ctx context.Context, p principal.Principal, kid, reason string) (Detail, error) {
	if utf8.RuneCountInString(reason) > maxReason {
		return Detail{}, invalid([]errs.Violation{{Field: "reason", Reason: "OUT_OF_RANGE", Detail: "at most 200 characters"}})
	}
	return k.change(ctx, p, kid, func(d *Detail) (*Detail, error) {
		if d.Status == StatusActive {
			d.Status, d.Reason = StatusRevoked, reason
		}
		return nil, nil
	})
}

// Expose ends a key of p that was seen in clear and alerts its tenant, once.
func (k *Keys) Expose(ctx context.Context, p principal.Principal, kid string) error {
	_, err := k.change(ctx, p, kid, func(d *Detail) (*Detail, error) {
		if d.Status == StatusActive {
			d.Status, d.Reason, d.Exposed = StatusRevoked, "seen in clear", true
		}
		return nil, nil
	})
	return err
}

func (k *Keys) change(ctx context.Context, p principal.Principal, kid string, change func(*Detail) (*Detail, error)) (Detail, error) {
	d, err := k.Store.ChangeKey(ctx, p.TenantID, p.Env, kid, change)
	if err == nil {
		k.Forget(p.TenantID, kid)
	}
	return d, err
}
