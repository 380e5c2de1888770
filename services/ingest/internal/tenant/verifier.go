package tenant

import (
	"context"
	"sync"
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

// Record is a key as it is stored.
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
}

// Records finds keys.
type Records interface {
	// Key answers the record of a kid; errs.NotFound when there is none.
	Key(ctx context.Context, kid string) (Record, error)
}

// How long an answer of the database is believed, and how many are kept. Unknown kids have a memory of their own, so
// that inventing them pushes out no real key.
const (
	knownTTL    = 30 * time.Second // a revocation is effective everywhere after at most this
	refreshAge  = 15 * time.Second // from here on a key in use is looked up again beside the calls
	unknownTTL  = 5 * time.Second
	maxKnown    = 50000
	maxUnknown  = 10000
	lookups     = 4 // at a time: invented kids must not take the connections that sends need
	lookupLimit = 2 * time.Second
)

// Verifier tells whose a key is. It is safe for concurrent use.
type Verifier struct {
	records Records
	peppers *Peppers
	now     func() time.Time
	slots   chan struct{}

	mu      sync.RWMutex
	known   map[string]*entry
	unknown map[string]time.Time // kid -> until
}

type entry struct {
	record     Record
	fetched    time.Time
	refreshing bool // guarded by Verifier.mu
}

// NewVerifier makes a verifier with an empty cache.
func NewVerifier(records Records, peppers *Peppers, now func() time.Time) *Verifier {
	return &Verifier{
		records: records, peppers: peppers, now: now, slots: make(chan struct{}, lookups),
		known: map[string]*entry{}, unknown: map[string]time.Time{},
	}
}

// Verify answers who holds key. A malformed key costs no query, a cached one neither. Errors are Unauthenticated with
// reason KEY_INVALID, KEY_EXPIRED or KEY_REVOKED (the latter two only to who knows the secret), or Unavailable when the
// database does not answer.
func (v *Verifier) Verify(ctx context.Context, key string) (principal.Principal, error) {
	k, err := ParseKey(key)
	if err != nil {
		return principal.Principal{}, err
	}
	record, err := v.record(ctx, k.KID)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return principal.Principal{}, err
	}
	// For an unknown kid the record is empty; the comparison is made all the same, so that it takes as long.
	if !v.peppers.Matches(k.Secret, record.MAC, record.PepperVersion) || err != nil || record.Env != k.Env {
		return principal.Principal{}, ErrKeyInvalid
	}
	if err := usable(&record, v.now()); err != nil {
		return principal.Principal{}, err
	}
	return principal.Principal{TenantID: record.Tenant, Env: record.Env, Actor: "key/" + record.KID, Scopes: record.Scopes}, nil
}

func usable(r *Record, now time.Time) error {
	switch {
	case r.Status != StatusActive || r.TenantStatus != StatusActive:
		return errs.E(errs.Unauthenticated, "KEY_REVOKED", "this API key was revoked; use another", nil)
	case !now.Before(r.Expire):
		return errs.E(errs.Unauthenticated, "KEY_EXPIRED", "this API key has expired; keys last 90 days, make a new one", nil)
	}
	return nil
}

// record answers from the cache, looking a key up again beside the call before it gets too old.
func (v *Verifier) record(ctx context.Context, kid string) (Record, error) {
	now := v.now()
	v.mu.RLock()
	e, ok := v.known[kid]
	until := v.unknown[kid]
	v.mu.RUnlock()
	switch {
	case ok && now.Sub(e.fetched) < refreshAge:
		return e.record, nil
	case ok && now.Sub(e.fetched) < knownTTL:
		v.refresh(kid, e)
		return e.record, nil
	case now.Before(until):
		return Record{}, errs.E(errs.NotFound, "", "no such key", nil)
	}
	return v.look(ctx, kid)
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

// look asks the database and remembers its answer.
func (v *Verifier) look(ctx context.Context, kid string) (Record, error) {
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
	case <-ctx.Done():
		return Record{}, errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "the key could not be looked up in time", ctx.Err())
	}
	now := v.now() // before the query: its answer is no newer than this
	record, err := v.records.Key(ctx, kid)
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case err == nil:
		makeRoom(v.known, maxKnown)
		delete(v.unknown, kid)
		v.known[kid] = &entry{record: record, fetched: now}
	case errs.KindOf(err) == errs.NotFound:
		makeRoom(v.unknown, maxUnknown)
		delete(v.known, kid)
		v.unknown[kid] = now.Add(unknownTTL)
	}
	return record, err
}

// makeRoom drops some entries, in no order, when m is full; whoever is dropped costs one query.
func makeRoom[V any](m map[string]V, size int) {
	drop := len(m) - size + 1
	for k := range m {
		if drop <= 0 {
			return
		}
		delete(m, k)
		drop--
	}
}
