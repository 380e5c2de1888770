package seal

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// istOffset is Indian Standard Time, UTC+05:30, without daylight saving since 1945.
const istOffset = 5*3600 + 30*60

// Sealer seals content under the data key of its tenant and day, which only ingest does, and what lasts under the key
// without a day.
type Sealer struct {
	opener  *Opener
	store   DataKeyStore
	now     func() time.Time
	limit   int64 // seals per key
	current cache[scope, *dataKey]

	mu   sync.Mutex
	uses map[scope]*use
}

// scope is what one data key is for.
type scope struct {
	env    string
	tenant uuid.UUID
	class  string
	day    int64 // days since 1970-01-01, in IST; 0 for what lasts
}

// LastingDay is the day of keys without one, as DataKeyStore is asked for it.
var LastingDay = time.Unix(0, 0).UTC()

func dayOf(class string, now time.Time) int64 {
	if class == ClassLasting {
		return 0
	}
	return (now.Unix() + istOffset) / 86400
}

// use is how far a scope's keys are used up in this process; it outlives the hourly refresh of the key itself. Only the
// one load of its scope touches it, but for seals.
type use struct {
	roll  int    // keys used up
	id    uint64 // of the key in use
	seals *atomic.Int64
}

// NewSealer seals with data keys from store.
func NewSealer(k *Keyring, store DataKeyStore, now func() time.Time) *Sealer {
	return &Sealer{opener: NewOpener(k, store, now), store: store, now: now, limit: sealsPerKey, uses: map[scope]*use{}}
}

// Opener opens what this sealer and others have sealed, with the same cached keys.
func (s *Sealer) Opener() *Opener { return s.opener }

// Seal appends plaintext, sealed for its place b, to dst: 0x01 | key id | nonce | ciphertext | tag. Errors are
// errs.Unavailable while the key store or the KEK is away and no key is cached; dst is not to be used then.
func (s *Sealer) Seal(ctx context.Context, dst, plaintext []byte, b Binding) ([]byte, error) {
	now := s.now()
	sc := scope{b.Env, b.Tenant, b.Class, dayOf(b.Class, now)}
	for {
		key, ok := s.current.get(sc, now)
		if !ok {
			var err error
			if key, err = s.load(ctx, sc, now); err != nil {
				return nil, err
			}
		}
		if key.seals.Add(1) <= s.limit {
			return key.seal(dst, plaintext, b), nil
		}
		if _, err := s.load(ctx, sc, now); err != nil { // used up: the next one
			return nil, err
		}
	}
}

// load answers a data key of the scope that is not used up, minted if need be.
func (s *Sealer) load(ctx context.Context, sc scope, now time.Time) (*dataKey, error) {
	return s.current.load(ctx, sc, fmt.Sprint(sc), now, func(ctx context.Context) (*dataKey, error) {
		u := s.use(sc)
		for {
			key, err := s.fetch(ctx, sc, u.roll)
			if err != nil {
				return nil, err
			}
			if u.seals == nil || key.id != u.id {
				u.id, u.seals = key.id, new(atomic.Int64)
			}
			if u.seals.Load() < s.limit {
				return &dataKey{id: key.id, aead: key.aead, seals: u.seals}, nil
			}
			u.roll++
		}
	})
}

// fetch asks the store for the scope's key after roll used-up ones.
func (s *Sealer) fetch(ctx context.Context, sc scope, roll int) (*dataKey, error) {
	b := Binding{Env: sc.env, Tenant: sc.tenant, Class: sc.class}
	class := sc.class
	if roll > 0 {
		class = fmt.Sprintf("%s#%d", sc.class, roll+1)
	}
	day := time.Unix(sc.day*86400, 0).UTC() // midnight UTC of the IST date: the same date whoever prints it
	id, wrapped, err := s.store.Current(ctx, sc.env, sc.tenant, day, class, func(id uint64) ([]byte, error) {
		deployment, err := s.opener.keyring.newest(ctx, sc.env)
		if err != nil {
			return nil, err
		}
		return wrapDataKey(deployment, randomKey(), b, id), nil
	})
	if err != nil {
		return nil, err
	}
	return s.opener.unwrap(ctx, id, wrapped, b)
}

// use answers the scope's use and forgets those of days gone by.
func (s *Sealer) use(sc scope) *use {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u, ok := s.uses[sc]; ok {
		return u
	}
	for old := range s.uses {
		if old.day < sc.day-1 && old.day != 0 {
			delete(s.uses, old)
		}
	}
	s.uses[sc] = &use{}
	return s.uses[sc]
}
