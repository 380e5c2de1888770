package tenant

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// KeyLifetime is how long a key works after it was made (90-day rotation). The verifier enforces it, no job.
const KeyLifetime = 90 * 24 * time.Hour

// Status of a key or a tenant.
const (
	StatusActive  = "active"
	StatusRevoked = "revoked" // keys
	StatusClosed  = "closed"  // tenants
)

// Record is a key as the verifier needs it, with what its tenant has set for the key's environment.
type Record struct {
	KID           string
	Tenant        uuid.UUID
	TenantStatus  string
	Env           string
	PepperVersion int16
	MAC           []byte // Peppers.Hash of the secret
	Scopes        []string
	Status        string
	Expire        time.Time
	Addresses     Addresses // the key's own rules
	TenantRules   Addresses // the tenant's
	Certificate   []byte    // SHA-256 of the client certificate it is bound to; empty: not bound
	Limits        Limits    // the tenant's
}

// Records finds keys.
type Records interface {
	// Key answers the record of a kid; errs.NotFound when there is none.
	Key(ctx context.Context, kid string) (Record, error)
}

// How long an answer of the database is believed, and how many are kept. Keys that are not ours have a memory of their
// own, so that inventing them pushes out no real key.
const (
	knownTTL    = 30 * time.Second // a revocation nobody told us of is effective after at most this
	refreshAge  = 15 * time.Second // from here on a key in use is looked up again beside the calls
	refusedTTL  = 5 * time.Second
	maxKnown    = 50000
	maxRefused  = 10000
	lookups     = 4 // at a time: invented kids must not take the connections that sends need
	lookupLimit = 2 * time.Second
)

// Verifier tells whose a key is. It is safe for concurrent use.
type Verifier struct {
	records Records
	peppers *Peppers
	now     func() time.Time
	slots   chan struct{}
	changes atomic.Uint64 // counts Forget: an answer from before one is not kept

	mu      sync.RWMutex
	known   map[string]*entry
	refused map[keyHash]time.Time // -> until
	// renewals are hashes to be written.
	renewals map[string]Renewal
}

type entry struct {
	record     Record
	fetched    time.Time
	refreshing bool // guarded by Verifier.mu
	// proven is the hash of the whole key, once its secret was found right: comparing it costs a fifth of the keyed hash.
	proven atomic.Pointer[keyHash]
}

// keyHash is SHA-256 of a whole key; 256 random bits need no more (ASVS 6.5.2).
type keyHash [sha256.Size]byte

// NewVerifier makes a verifier with an empty cache.
func NewVerifier(records Records, peppers *Peppers, now func() time.Time) *Verifier {
	return &Verifier{
		records: records, peppers: peppers, now: now, slots: make(chan struct{}, lookups),
		known: map[string]*entry{}, refused: map[keyHash]time.Time{}, renewals: map[string]Renewal{},
	}
}

// Origin is where a call with a key comes from; see caller.Caller.
type Origin struct {
	Address     netip.Addr // plain; the invalid address satisfies no rule
	Certificate string     // SHA-256 of its client certificate, hex; empty without one
}

// Admit answers who holds key, when it may be used from there. Errors are those of Verify, and Denied with reason
// ADDRESS_NOT_ALLOWED or Unauthenticated with CERTIFICATE_REQUIRED: they too are told only to who knows the secret. On an error the principal
// is the key's all the same once the secret was right, for the audit log.
func (v *Verifier) Admit(ctx context.Context, key string, from Origin) (principal.Principal, error) {
	r, err := v.verify(ctx, key)
	if err != nil {
		return holder(&r), err
	}
	switch {
	case !r.TenantRules.Allow(from.Address) || !r.Addresses.Allow(from.Address):
		err = errAddress
	case len(r.Certificate) > 0 && hex.EncodeToString(r.Certificate) != from.Certificate:
		err = errCertificate
	}
	return holder(&r), err
}

var (
	errAddress     = errs.E(errs.Denied, "ADDRESS_NOT_ALLOWED", "this API key may not be used from this address; see the address rules of the key and of the tenant", nil)
	errCertificate = errs.E(errs.Unauthenticated, "CERTIFICATE_REQUIRED", "this API key is bound to a client certificate that this connection did not present", nil)
	errWrongEnv    = errs.E(errs.Denied, "KEY_WRONG_ENVIRONMENT", "this API key belongs to the other environment", nil)
)

// Verify answers who holds key, wherever it is used from. A malformed key costs no query, a cached one neither. Errors
// are Unauthenticated with reason KEY_MALFORMED, KEY_CHECKSUM, KEY_INVALID, KEY_EXPIRED or KEY_REVOKED, Denied with
// KEY_WRONG_ENVIRONMENT (the latter three only to who knows the secret), or Unavailable when the database does not
// answer.
func (v *Verifier) Verify(ctx context.Context, key string) (principal.Principal, error) {
	r, err := v.verify(ctx, key)
	if err != nil {
		return principal.Principal{}, err
	}
	return holder(&r), nil
}

func holder(r *Record) principal.Principal {
	if r.KID == "" {
		return principal.Principal{}
	}
	return principal.Principal{TenantID: r.Tenant, Env: r.Env, Actor: "key/" + r.KID, Scopes: r.Scopes}
}

// verify answers the record of a key whose secret is right, also beside an error; an empty one for any other.
func (v *Verifier) verify(ctx context.Context, key string) (Record, error) {
	k, err := ParseKey(key)
	if err != nil {
		return Record{}, err
	}
	hash := keyHash(sha256.Sum256([]byte(key)))
	e, known := v.remembered(k.KID)
	if !known || !v.peppers.Has(e.record.PepperVersion) { // another replica may have renewed a hash whose pepper has gone
		return v.doubt(ctx, &hash, k, false)
	}
	proven := e.proven.Load()
	right := proven != nil && subtle.ConstantTimeCompare(proven[:], hash[:]) == 1
	if !right && v.peppers.Matches(k.Secret, e.record.MAC, e.record.PepperVersion) {
		e.proven.Store(&hash)
		right = true
	}
	if right {
		v.renew(k, &e.record)
		return e.record, v.usable(&e.record, k.Env)
	}
	return v.doubt(ctx, &hash, k, true)
}

// doubt is for keys that are not remembered, or not with this secret. An unknown kid and a wrong secret take the same
// steps (a look into the memory of refused keys, one comparison, one query), so that from outside they cannot be told
// apart (the acceptance list, item 9): for a wrong secret the query asks for a kid that cannot be.
func (v *Verifier) doubt(ctx context.Context, hash *keyHash, k Key, known bool) (Record, error) {
	kid := k.KID
	if known {
		kid = k.Secret[:kidLength] + "-"
	}
	v.mu.RLock()
	until := v.refused[*hash]
	v.mu.RUnlock()
	var record Record
	var err error
	if !v.now().Before(until) {
		if record, err = v.look(ctx, kid); err != nil && errs.KindOf(err) != errs.NotFound {
			return Record{}, err
		}
	}
	if record.KID == "" {
		record.MAC, record.PepperVersion = noMAC, v.peppers.Current() // compared all the same
	}
	if !known && v.peppers.Matches(k.Secret, record.MAC, record.PepperVersion) && record.KID != "" {
		v.renew(k, &record)
		return record, v.usable(&record, k.Env)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	makeRoom(v.refused, maxRefused)
	v.refused[*hash] = v.now().Add(refusedTTL)
	return Record{}, ErrKeyInvalid
}

// noMAC is the MAC of no secret.
var noMAC = make([]byte, sha256.Size)

// usable tells why a key whose secret is right may not be used all the same.
func (v *Verifier) usable(r *Record, env string) error {
	switch {
	case r.Env != env:
		return errWrongEnv
	case r.Status != StatusActive || r.TenantStatus != StatusActive:
		return errs.E(errs.Unauthenticated, "KEY_REVOKED", "this API key was revoked; use another", nil)
	case !v.now().Before(r.Expire):
		return errs.E(errs.Unauthenticated, "KEY_EXPIRED", "this API key has expired; keys last 90 days, make a new one", nil)
	}
	return nil
}

// Record answers the record of a kid, from memory when it is there.
func (v *Verifier) Record(ctx context.Context, kid string) (Record, error) {
	if e, ok := v.remembered(kid); ok {
		return e.record, nil
	}
	return v.look(ctx, kid)
}

// Forget drops what is remembered: of one key, or with an empty kid of all keys of the tenant. Lookups that are under
// way are not remembered either.
func (v *Verifier) Forget(tenant uuid.UUID, kid string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.changes.Add(1)
	if kid != "" {
		delete(v.known, kid)
		return
	}
	maps.DeleteFunc(v.known, func(_ string, e *entry) bool { return e.record.Tenant == tenant })
}

// ForgetAll drops all keys that are remembered: changes may have gone unheard.
func (v *Verifier) ForgetAll() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.changes.Add(1)
	clear(v.known)
}

// remembered answers from memory, looking a key up again beside the call before it gets too old.
func (v *Verifier) remembered(kid string) (*entry, bool) {
	v.mu.RLock()
	e, ok := v.known[kid]
	v.mu.RUnlock()
	if !ok {
		return nil, false
	}
	age := v.now().Sub(e.fetched)
	if age >= refreshAge && age < knownTTL {
		v.refresh(kid, e)
	}
	return e, age < knownTTL
}

func (v *Verifier) refresh(kid string, e *entry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e.refreshing {
		return
	}
	e.refreshing = true
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), lookupLimit)
		defer cancel()
		if _, err := v.look(ctx, kid); err != nil {
			v.mu.Lock()
			e.refreshing = false // the next call tries again
			v.mu.Unlock()
		}
	}()
}

// look asks the database and remembers its answer, unless something was changed meanwhile.
func (v *Verifier) look(ctx context.Context, kid string) (Record, error) {
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
	case <-ctx.Done():
		return Record{}, errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "the key could not be looked up in time", ctx.Err())
	}
	now, changes := v.now(), v.changes.Load() // before the query: its answer is no newer than this
	record, err := v.records.Key(ctx, kid)
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case err == nil && v.changes.Load() == changes:
		makeRoom(v.known, maxKnown)
		v.known[kid] = &entry{record: record, fetched: now}
	case errs.KindOf(err) == errs.NotFound:
		delete(v.known, kid)
	}
	return record, err
}

// makeRoom drops some entries, in no order, when m is full; whoever is dropped costs one query.
func makeRoom[K comparable, V any](m map[K]V, size int) {
	drop := len(m) - size + 1
	for k := range m {
		if drop <= 0 {
			return
		}
		delete(m, k)
		drop--
	}
}
