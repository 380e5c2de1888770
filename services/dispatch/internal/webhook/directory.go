package webhook

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/seal"
)

// keysAge is how long opened secrets are kept: those of a destroyed data key sign no longer.
const keysAge = time.Hour

// Registry is where endpoints are read from.
type Registry interface {
	// Version is raised by every change of an endpoint, in its transaction.
	Version(ctx context.Context) (int64, error)
	// Active answers all endpoints that get events, with their secrets, and a version that is not newer than they are.
	Active(ctx context.Context) ([]Endpoint, int64, error)
}

// Sealer seals and opens secrets; *seal.Sealer and its Opener do.
type Sealer interface {
	Seal(ctx context.Context, dst, plaintext []byte, b seal.Binding) ([]byte, error)
	Open(ctx context.Context, dst, sealed []byte, b seal.Binding) ([]byte, error)
}

// Directory is the active endpoints in memory.
type Directory struct {
	registry Registry
	sealer   Sealer
	now      func() time.Time
	snap     atomic.Pointer[snapshot]
	loading  sync.Mutex
}

type snapshot struct {
	version int64
	of      map[scope][]*target
	byID    map[uuid.UUID]*target
}

type scope struct {
	tenant uuid.UUID
	env    string
}

// target is an endpoint with its opened secrets.
type target struct {
	Endpoint
	opened atomic.Pointer[opened]
}

type opened struct {
	keys, previous *Keys
	at             time.Time
}

// NewDirectory makes a directory; it is filled when first asked.
func NewDirectory(r Registry, s Sealer, now func() time.Time) *Directory {
	d := &Directory{registry: r, sealer: s, now: now}
	d.snap.Store(&snapshot{})
	return d
}

// fresh answers the endpoints as they were when it was called, or later.
func (d *Directory) fresh(ctx context.Context) (*snapshot, error) {
	version, err := d.registry.Version(ctx)
	if err != nil {
		return nil, err
	}
	if s := d.snap.Load(); s.version >= version {
		return s, nil
	}
	d.loading.Lock()
	defer d.loading.Unlock()
	if s := d.snap.Load(); s.version >= version {
		return s, nil
	}
	all, version, err := d.registry.Active(ctx)
	if err != nil {
		return nil, err
	}
	s := &snapshot{version: version, of: map[scope][]*target{}, byID: make(map[uuid.UUID]*target, len(all))}
	for _, e := range all {
		t := &target{Endpoint: e}
		s.byID[e.ID] = t
		s.of[scope{e.Tenant, e.Env}] = append(s.of[scope{e.Tenant, e.Env}], t)
	}
	d.snap.Store(s)
	return s, nil
}

// target answers an endpoint that is active, as far as is known; nil else.
func (d *Directory) target(id uuid.UUID) *target { return d.snap.Load().byID[id] }

// signing answers what an attempt for a target is signed with.
func (d *Directory) signing(ctx context.Context, t *target) (signed, error) {
	now := d.now()
	o := t.opened.Load()
	if o == nil || now.Sub(o.at) > keysAge {
		var err error
		if o, err = open(ctx, d.sealer, &t.Endpoint, now); err != nil {
			return signed{}, err
		}
		t.opened.Store(o)
	}
	s := signed{keys: o.keys, asymmetric: t.Ed25519}
	if t.overlapping(now) {
		s.previous = o.previous
	}
	return s, nil
}

// open opens the secrets of an endpoint.
func open(ctx context.Context, s Sealer, e *Endpoint, now time.Time) (o *opened, err error) {
	o = &opened{at: now}
	if o.keys, err = openKeys(ctx, s, e, e.Secret); err != nil {
		return nil, err
	}
	if e.overlapping(now) {
		o.previous, err = openKeys(ctx, s, e, e.Previous)
	}
	return o, err
}

func openKeys(ctx context.Context, s Sealer, e *Endpoint, sealed []byte) (*Keys, error) {
	raw, err := s.Open(ctx, nil, sealed, binding(e))
	if err != nil {
		return nil, err
	}
	return keysOf(raw)
}

// binding ties an endpoint's secrets to it.
func binding(e *Endpoint) seal.Binding {
	return seal.Binding{Env: e.Env, Tenant: e.Tenant, Message: e.ID, Class: seal.ClassLasting}
}
