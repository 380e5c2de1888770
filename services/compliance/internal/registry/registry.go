package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
)

// Source is where rows are kept.
type Source interface {
	// Versions answers the current version of every tenant's registry.
	Versions(ctx context.Context) (map[uuid.UUID]int64, error)
	// Rows answers one tenant's registry. Its version is read first: rows may be newer than it says, never older. A
	// tenant without registry has no rows and version 0.
	Rows(ctx context.Context, tenant uuid.UUID) (Rows, error)
}

// Registry holds the newest snapshot of every tenant. It may be used from many goroutines.
type Registry struct {
	source  Source
	mu      sync.Mutex // one change of the map at a time
	tenants atomic.Pointer[map[uuid.UUID]*Snapshot]
	ready   atomic.Bool
}

// New makes an empty registry; Load fills it.
func New(source Source) *Registry {
	r := &Registry{source: source}
	r.tenants.Store(&map[uuid.UUID]*Snapshot{})
	return r
}

var empty = &Snapshot{}

// Snapshot is the newest snapshot of a tenant; an empty one for a tenant without registry.
func (r *Registry) Snapshot(tenant uuid.UUID) *Snapshot {
	if s := (*r.tenants.Load())[tenant]; s != nil {
		return s
	}
	return empty
}

// Ready answers nil once every tenant was loaded.
func (r *Registry) Ready() error {
	if !r.ready.Load() {
		return errors.New("the registry is not loaded yet")
	}
	return nil
}

// Load reads what is newer than the snapshots held: everything at first, afterwards what a missed broadcast left
// behind. Rows that are wrong are left out and named by wrong; err is a failure to read.
func (r *Registry) Load(ctx context.Context) (wrong, err error) {
	versions, err := r.source.Versions(ctx)
	if err != nil {
		return nil, err
	}
	var problems []error
	for tenant, version := range versions {
		bad, err := r.Refresh(ctx, tenant, version)
		if err != nil {
			return errors.Join(problems...), err
		}
		problems = append(problems, bad)
	}
	r.ready.Store(true)
	return errors.Join(problems...), nil
}

// Refresh brings a tenant to at least this version. wrong and err are as for Load.
func (r *Registry) Refresh(ctx context.Context, tenant uuid.UUID, version int64) (wrong, err error) {
	if r.Snapshot(tenant).Version() >= version {
		return nil, nil
	}
	rows, err := r.source.Rows(ctx, tenant)
	if err != nil {
		return nil, err
	}
	s, wrong := NewSnapshot(rows)
	if wrong != nil {
		wrong = fmt.Errorf("registry of tenant %s, version %d: %w", tenant, rows.Version, wrong)
	}
	r.swap(tenant, s)
	return wrong, nil
}

// swap puts a snapshot in place unless a newer one is there.
func (r *Registry) swap(tenant uuid.UUID, s *Snapshot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := *r.tenants.Load()
	if held := old[tenant]; held != nil && held.version >= s.version {
		return
	}
	next := maps.Clone(old)
	next[tenant] = s
	r.tenants.Store(&next)
}
