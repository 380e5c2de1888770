package registry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
)

// Versions are how far a tenant's registry and stops have come; both only grow.
type Versions struct{ Registry, Stops int64 }

// Source is where rows are kept.
type Source interface {
	// Versions answers the current versions of every tenant.
	Versions(ctx context.Context) (map[uuid.UUID]Versions, error)
	// Rows answers one tenant's objects that were changed after version since, and the version that brings; with only, of
	// those objects alone. A tenant without registry has no rows and version 0.
	Rows(ctx context.Context, tenant uuid.UUID, since int64, only []Key) (Rows, error)
	// Stops answers one tenant's stops.
	Stops(ctx context.Context, tenant uuid.UUID) (Stops, error)
}

// Registry holds the newest snapshot of every tenant. It may be used from many goroutines; reading takes no lock.
type Registry struct {
	source  Source
	mu      sync.Mutex // one change of the map at a time
	tenants atomic.Pointer[map[uuid.UUID]*held]
	ready   atomic.Bool
}

// held is what is held of one tenant.
type held struct {
	refresh, follow sync.Mutex // one reader of rows, one of stops at a time
	mu              sync.Mutex // guards the swap
	snapshot        atomic.Pointer[Snapshot]
	hastened        map[Key]Object // put in place before their turn; guarded by mu
}

// swap puts the next snapshot in place.
func (h *held) swap(next func(*Snapshot) *Snapshot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.snapshot.Store(next(h.snapshot.Load()))
}

// New makes an empty registry; Load fills it.
func New(source Source) *Registry {
	r := &Registry{source: source}
	r.tenants.Store(&map[uuid.UUID]*held{})
	return r
}

// Snapshot is the newest snapshot of a tenant; an empty one for a tenant without registry.
func (r *Registry) Snapshot(tenant uuid.UUID) *Snapshot {
	if h := (*r.tenants.Load())[tenant]; h != nil {
		return h.snapshot.Load()
	}
	return empty
}

// All gives the newest snapshot of every tenant that has one.
func (r *Registry) All() iter.Seq2[uuid.UUID, *Snapshot] {
	return func(yield func(uuid.UUID, *Snapshot) bool) {
		for tenant, h := range *r.tenants.Load() {
			if !yield(tenant, h.snapshot.Load()) {
				return
			}
		}
	}
}

// Ready answers nil once every tenant was loaded.
func (r *Registry) Ready() error {
	if !r.ready.Load() {
		return errors.New("the registry is not loaded yet")
	}
	return nil
}

// Load reads what is newer than the snapshots held: everything at first, afterwards what missed broadcasts left behind.
// Rows that are wrong are left out and named by wrong; err is a failure to read.
func (r *Registry) Load(ctx context.Context) (wrong, err error) {
	versions, err := r.source.Versions(ctx)
	if err != nil {
		return nil, err
	}
	var problems []error
	for tenant, v := range versions {
		if err := r.FollowStops(ctx, tenant, v.Stops); err != nil {
			return errors.Join(problems...), err
		}
		read := r.Refresh
		if v.Registry < r.Snapshot(tenant).Version() {
			read = r.reload
		}
		bad, err := read(ctx, tenant, v.Registry)
		if err != nil {
			return errors.Join(problems...), err
		}
		problems = append(problems, bad)
	}
	r.ready.Store(true)
	return errors.Join(problems...), nil
}

// Refresh brings a tenant to at least this version, from what has changed since the one held, be it one change or many
// that no broadcast told of. wrong and err are as for Load.
func (r *Registry) Refresh(ctx context.Context, tenant uuid.UUID, version int64) (wrong, err error) {
	if r.Snapshot(tenant).Version() >= version {
		return nil, nil
	}
	h := r.tenant(tenant)
	h.refresh.Lock()
	defer h.refresh.Unlock()
	base := h.snapshot.Load()
	if base.version >= version {
		return nil, nil
	}
	return r.follow(ctx, tenant, h, base)
}

// reload reads a tenant's registry anew: the database was put back to a version before the one held.
func (r *Registry) reload(ctx context.Context, tenant uuid.UUID, _ int64) (wrong, err error) {
	h := r.tenant(tenant)
	h.refresh.Lock()
	defer h.refresh.Unlock()
	return r.follow(ctx, tenant, h, empty)
}

// follow puts in place what base becomes by all that has changed since; its caller holds the lock.
func (r *Registry) follow(ctx context.Context, tenant uuid.UUID, h *held, base *Snapshot) (wrong, err error) {
	rows, err := r.source.Rows(ctx, tenant, base.version, nil)
	if err != nil {
		return nil, err
	}
	next, wrong := base.Apply(rows)
	if wrong != nil {
		wrong = fmt.Errorf("registry of tenant %s, version %d: %w", tenant, rows.Version, wrong)
	}
	h.swap(func(s *Snapshot) *Snapshot {
		next = h.overtaken(next)
		next.stopsVersion, next.stops = s.stopsVersion, s.stops
		return next
	})
	return wrong, nil
}

// overtaken is a new version with what was hastened while it was read and is newer; its caller holds the lock.
func (h *held) overtaken(next *Snapshot) *Snapshot {
	var newer []Object
	for _, o := range h.hastened {
		if o.Version > next.version {
			newer = append(newer, o)
		}
	}
	h.hastened = nil
	if len(newer) > 0 {
		next, _ = next.Apply(Rows{Version: next.version, Objects: newer}) // what is wrong is told when their turn comes
	}
	return next
}

// Hasten puts single objects that an announcement names in place before their turn, when a tenant is just being brought up
// to date: what a large import has changed may take seconds to read, and a suspension that came after it must not wait. The
// version held stays; Refresh brings it. Objects are whole, so that they can be put in place twice and in any order.
func (r *Registry) Hasten(ctx context.Context, tenant uuid.UUID, version int64, keys []Key) error {
	h := r.tenant(tenant)
	held := h.snapshot.Load().version
	if len(keys) == 0 || held == 0 || held >= version {
		return nil
	}
	if h.refresh.TryLock() {
		h.refresh.Unlock() // nobody is ahead: a refresh is as fast
		return nil
	}
	rows, err := r.source.Rows(ctx, tenant, held, keys)
	if err != nil {
		return err
	}
	h.swap(func(s *Snapshot) *Snapshot {
		var newer []Object
		for _, o := range rows.Objects {
			if before, there := h.hastened[o.Key()]; o.Version <= s.version || there && o.Version <= before.Version {
				continue // it has come meanwhile
			}
			if h.hastened == nil {
				h.hastened = map[Key]Object{}
			}
			h.hastened[o.Key()] = o
			newer = append(newer, o)
		}
		next, _ := s.Apply(Rows{Version: s.version, Objects: newer})
		return next
	})
	return nil
}

// FollowStops brings a tenant's stops to at least this version.
func (r *Registry) FollowStops(ctx context.Context, tenant uuid.UUID, version int64) error {
	if r.Snapshot(tenant).stopsVersion >= version {
		return nil
	}
	h := r.tenant(tenant)
	h.follow.Lock()
	defer h.follow.Unlock()
	stops, err := r.source.Stops(ctx, tenant)
	if err != nil {
		return err
	}
	h.swap(func(s *Snapshot) *Snapshot { return s.withStops(stops) })
	return nil
}

// tenant is what is held of a tenant, from now on.
func (r *Registry) tenant(tenant uuid.UUID) *held {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := *r.tenants.Load()
	if h := old[tenant]; h != nil {
		return h
	}
	h := &held{}
	h.snapshot.Store(empty)
	next := maps.Clone(old)
	next[tenant] = h
	r.tenants.Store(&next)
	return h
}
