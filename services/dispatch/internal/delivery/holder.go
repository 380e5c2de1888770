package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
)

// holder renews the replica and takes its fair share of each route's binds: as many as there are, divided by the
// replicas alive, rounded up.
type holder struct {
	t     *term
	binds *stage

	mu     sync.Mutex
	closed bool // no more binds are taken
}

// close ends the taking of binds; renewing goes on.
func (h *holder) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
}

// run beats every third of the lease until ctx ends.
func (h *holder) run(ctx context.Context) {
	for {
		h.beat(ctx)
		if h.t.isFenced() {
			return
		}
		if !pause(ctx, h.t.e.cfg.LeaseTTL/3) {
			return
		}
	}
}

func (h *holder) beat(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, h.t.e.cfg.LeaseTTL)
	defer cancel()
	standing, err := h.t.e.cfg.Leases.Beat(bounded, h.t.id, h.t.e.cfg.LeaseTTL)
	switch {
	case errors.Is(err, ErrFenced):
		h.t.fence()
	case err != nil:
		if ctx.Err() == nil {
			h.t.log.Warn("lease not renewed", slog.Any("error", err))
		}
	default:
		h.share(bounded, standing)
	}
}

// share acquires what is missing to the fair share and yields what is above it.
func (h *holder) share(ctx context.Context, s Standing) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	for _, r := range h.t.routes.All() {
		fair := (r.Binds + s.Replicas - 1) / max(s.Replicas, 1)
		held := h.t.held(r.Name)
		switch {
		case len(held) < fair && s.Free[r.Name] > 0:
			h.acquire(ctx, r, min(fair-len(held), s.Free[r.Name]))
		case len(held) > fair:
			for _, b := range held[fair:] {
				b.leave()
			}
		}
	}
}

func (h *holder) acquire(ctx context.Context, r *route.Route, n int) {
	leases, err := h.t.e.cfg.Leases.Acquire(ctx, h.t.id, r.Name, n)
	if errors.Is(err, ErrFenced) {
		h.t.fence()
		return
	}
	if err != nil {
		h.t.log.Warn("binds not acquired", slog.String("route", r.Name), slog.Any("error", err))
		return
	}
	for _, lease := range leases {
		b := newBind(h.t, r, lease)
		h.t.hold(b)
		h.binds.run(func(ctx context.Context) {
			b.run(ctx)
			h.release(b)
		})
	}
}

// release forgets a bind that is unbound and gives its lease back.
func (h *holder) release(b *bind) {
	h.t.drop(b)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.binds.ctx), 5*time.Second)
	defer cancel()
	if h.t.isFenced() {
		return
	}
	if err := h.t.e.cfg.Leases.Yield(ctx, h.t.id, []Bind{b.lease}); err != nil {
		h.t.log.Warn("bind not yielded; it goes with the lease", slog.String("route", b.lease.Route), slog.Any("error", err))
	}
}

// held lists the route's binds of this replica that are not being left.
func (t *term) held(name string) []*bind {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []*bind
	for _, b := range t.binds[name] {
		if !b.leaving.Load() {
			list = append(list, b)
		}
	}
	return list
}

func (t *term) hold(b *bind) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.binds[b.lease.Route] = append(t.binds[b.lease.Route], b)
}

func (t *term) drop(b *bind) {
	t.mu.Lock()
	list := t.binds[b.lease.Route]
	for i := range list {
		if list[i] == b {
			t.binds[b.lease.Route] = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	t.mu.Unlock()
	t.sessions(b.lease.Route)
}
