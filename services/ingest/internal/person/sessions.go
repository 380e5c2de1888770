package person

import (
	"context"
	"crypto/sha256"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Held is a session with what its calls are checked by.
type Held struct {
	Session
	Role   Role
	Active bool                        // user and tenant are
	Rules  map[string]tenant.Addresses // of the tenant, by environment
	Limits map[string]tenant.Limits    // likewise
}

// SessionStore finds sessions.
type SessionStore interface {
	// Session answers a session by its public id; errs.NotFound when there is none.
	Session(ctx context.Context, id string) (Held, error)
	// Touch notes a use at now; an older one than is there changes nothing.
	Touch(ctx context.Context, id string, now time.Time) error
}

const (
	// heldTTL is how long an answer of the database is believed: an end nobody told us of is effective after that.
	heldTTL = 30 * time.Second
	// touchEvery is how exactly the time of the last use is kept; a session ends so much early at worst.
	touchEvery = time.Minute
	maxHeld    = 10000
	looks      = 4 // at a time: invented tokens must not take the connections that sends need
	lookLimit  = 2 * time.Second
)

// Sessions tells whose a session is. It is safe for concurrent use.
type Sessions struct {
	store   SessionStore
	peppers Peppers
	scopes  []string // all there are
	now     func() time.Time
	slots   chan struct{}

	mu      sync.Mutex
	changes uint64 // counts Forget: an answer from before one is not kept
	known   map[string]*heldEntry
}

type heldEntry struct {
	held    Held
	fetched time.Time
	used    time.Time // latest, here
}

// NewSessions makes a verifier with nothing in memory; scopes are all there are.
func NewSessions(store SessionStore, peppers Peppers, scopes []string, now func() time.Time) *Sessions {
	return &Sessions{store: store, peppers: peppers, scopes: scopes, now: now, slots: make(chan struct{}, looks), known: map[string]*heldEntry{}}
}

// Verify answers whose token it is, for calls of env from that address. A malformed token costs no query, one used within
// the last half minute neither. Errors are Unauthenticated with SESSION_INVALID or SESSION_EXPIRED, Denied with
// ADDRESS_NOT_ALLOWED, or Unavailable; beside an error the principal is set where the secret was right.
func (s *Sessions) Verify(ctx context.Context, token, env string, from Origin) (principal.Principal, error) {
	t, ok := tenant.ParseToken(SessionPrefix, token)
	if !ok {
		return principal.Principal{}, errSessionInvalid
	}
	held, ok := s.remembered(t.ID)
	if !ok || !s.matches(t, &held) {
		var err error
		if held, err = s.doubt(ctx, t, ok); err != nil {
			return principal.Principal{}, err
		}
	}
	p := principal.Principal{
		TenantID: held.Tenant, Env: env, Actor: "user/" + held.User.String(), Session: held.ID,
		Scopes: rights(held.Role, held.Stage, s.scopes),
	}
	switch {
	case !held.Active:
		return p, errSessionInvalid
	case s.ended(&held):
		return p, errSessionExpired
	case !held.Rules[env].Allow(from.Address) || !allowed(held.Rules[principal.Live], held.Rules[principal.Test], from.Address):
		return p, errAddress
	}
	return p, s.use(ctx, &held)
}

func (s *Sessions) matches(t tenant.Token, h *Held) bool {
	return s.peppers.Matches(SessionPrefix+t.Secret, h.MAC, h.PepperVersion)
}

// doubt is for tokens that are not remembered, or not with this secret. An unknown id and a wrong secret take the same
// steps, a comparison and a query, so that from outside they cannot be told apart: for a wrong secret the query asks for
// an id that cannot be.
func (s *Sessions) doubt(ctx context.Context, t tenant.Token, known bool) (Held, error) {
	id := t.ID
	if known {
		id += "-"
	}
	held, err := s.look(ctx, id)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return Held{}, err
	}
	if err != nil {
		held.MAC = noMAC // compared all the same
	}
	if !s.matches(t, &held) || err != nil {
		return Held{}, errSessionInvalid
	}
	return held, nil
}

// noMAC is the MAC of no secret.
var noMAC = make([]byte, sha256.Size)

// ended tells whether the session has come to its end.
func (s *Sessions) ended(h *Held) bool {
	now := s.now()
	return !now.Before(h.Expire) || now.Sub(h.LastUse) >= IdleLimit
}

// remembered answers a session from memory.
func (s *Sessions) remembered(id string) (Held, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.known[id]
	if !ok || s.now().Sub(e.fetched) >= heldTTL {
		return Held{}, false
	}
	held := e.held
	held.LastUse = latest(held.LastUse, e.used)
	return held, true
}

// look asks the database and remembers its answer, unless something was changed meanwhile.
func (s *Sessions) look(ctx context.Context, id string) (Held, error) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return Held{}, errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "the session could not be looked up in time", ctx.Err())
	}
	now := s.now() // before the query: its answer is no newer than this
	s.mu.Lock()
	changes := s.changes
	s.mu.Unlock()
	held, err := s.store.Session(ctx, id)
	if err != nil {
		return Held{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var used time.Time
	if e, ok := s.known[id]; ok {
		used = e.used
	}
	if s.changes == changes {
		s.makeRoom()
		s.known[id] = &heldEntry{held: held, fetched: now, used: used}
	}
	held.LastUse = latest(held.LastUse, used)
	return held, nil
}

// makeRoom drops some sessions, in no order, when memory is full; each costs one query.
func (s *Sessions) makeRoom() {
	for id := range s.known {
		if len(s.known) < maxHeld {
			return
		}
		delete(s.known, id)
	}
}

// use notes a use: in memory always, in the database once a minute.
func (s *Sessions) use(ctx context.Context, h *Held) error {
	now := s.now()
	s.mu.Lock()
	e, ok := s.known[h.ID]
	stale := !ok || now.Sub(e.held.LastUse) >= touchEvery
	if ok {
		e.used = latest(e.used, now)
		if stale {
			e.held.LastUse = now // once is enough
		}
	}
	s.mu.Unlock()
	if !stale {
		return nil
	}
	return s.store.Touch(ctx, h.ID, now)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Forget drops what is remembered of a user's sessions, or with the zero id of all of a tenant's.
func (s *Sessions) Forget(owner, user uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	maps.DeleteFunc(s.known, func(_ string, e *heldEntry) bool {
		return e.held.Tenant == owner && (user == uuid.Nil || e.held.User == user)
	})
}

// ForgetAll drops what is remembered of all sessions.
func (s *Sessions) ForgetAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	clear(s.known)
}

// Limits answers the limits of p's tenant in p's environment, as its session knows them; ok is false where p has no
// session in memory.
func (s *Sessions) Limits(p principal.Principal) (l tenant.Limits, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.known[p.Session]
	if ok {
		l = e.held.Limits[p.Env]
	}
	return l, ok
}
