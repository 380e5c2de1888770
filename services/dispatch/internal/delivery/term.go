package delivery

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
)

// recordTimeout bounds what is to be written down at the end; DrainTimeout does when that is less.
const recordTimeout = 10 * time.Second

// term is one life of this replica: from Join under a fresh id to Leave, or to its being taken over.
type term struct {
	e      *Engine
	id     uuid.UUID
	log    *slog.Logger
	routes *route.Routes
	tls    map[string]*tls.Config
	reload <-chan struct{}     // closed when the engine has other routes
	lanes  map[string]*backlog // by route; never changes
	record *recorder
	intend *intender
	listen *listener
	codes  sync.Map // unmapped codes that were told, by route and code
	fenced chan struct{}
	once   sync.Once

	mu      sync.Mutex
	binds   map[string][]*bind    // held, by route
	bound   map[string]time.Time  // when a route last had a session here, zero while it has; absent: never
	parcels map[uuid.UUID]*Parcel // owned, or about to be; see stray
}

func newTerm(e *Engine) *term {
	t := &term{
		e: e, id: e.cfg.NewID(), lanes: map[string]*backlog{}, fenced: make(chan struct{}),
		binds: map[string][]*bind{}, bound: map[string]time.Time{}, parcels: map[uuid.UUID]*Parcel{},
	}
	t.routes, t.tls, t.reload = e.settings()
	t.log = e.cfg.Log.With(slog.String("replica", t.id.String()))
	for _, r := range t.routes.All() {
		t.lanes[r.Name] = newBacklog()
	}
	t.record = newRecorder(t)
	t.listen = newListener(e.cfg.Inbound, t.log)
	t.intend = newIntender(e.cfg.Intents, t.id, t.log, t.fence)
	return t
}

// fence ends the term: another replica has taken over.
func (t *term) fence() { t.once.Do(func() { close(t.fenced) }) }

func (t *term) isFenced() bool {
	select {
	case <-t.fenced:
		return true
	default:
		return false
	}
}

// stage is a set of goroutines that end together.
type stage struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// begin makes a stage that ends only when it is told to.
func begin(ctx context.Context) *stage {
	s := &stage{}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return s
}

func (s *stage) run(f func(context.Context)) { s.wg.Go(func() { f(s.ctx) }) }

func (s *stage) end() {
	s.cancel()
	s.wg.Wait()
}

// run lives until ctx ends, the engine has other routes, or the term is fenced; then ErrFenced. What submits ends first, what writes down last, and
// the lease is kept until then.
func (t *term) run(ctx context.Context) error {
	if !t.join(ctx) {
		return nil
	}
	records, intents, lease, binds, chores := begin(ctx), begin(ctx), begin(ctx), begin(ctx), begin(ctx)
	records.run(t.record.run)
	records.run(t.listen.run)
	intents.run(t.intend.run)
	hold := &holder{t: t, binds: binds}
	lease.run(hold.run)
	chores.run(t.claims)
	chores.run(t.sweeps)
	chores.run(t.listen.overdue)
	t.e.setTerm(t)
	select {
	case <-ctx.Done():
	case <-t.fenced:
	case <-t.reload:
	}
	t.e.setTerm(nil)
	// Sessions wait for the intents on their way; while the database is away these would be tried for ever.
	giveUp := time.AfterFunc(t.e.cfg.DrainTimeout/3, intents.cancel)
	chores.end()
	hold.close()
	binds.end()
	giveUp.Stop()
	intents.end()
	t.finish(ctx)
	lease.end()
	records.end()
	if t.isFenced() && ctx.Err() == nil {
		return ErrFenced
	}
	return nil
}

// join registers the replica, however long the database takes to start; false when ctx ended first.
func (t *term) join(ctx context.Context) bool {
	binds := map[string]int{}
	for _, r := range t.routes.All() {
		binds[r.Name] = r.Binds
	}
	for try := 0; ; try++ {
		err := t.e.cfg.Leases.Join(ctx, t.id, t.e.cfg.LeaseTTL, binds)
		if err == nil {
			return true
		}
		t.log.Warn("cannot join, trying again", slog.Any("error", err))
		if !pause(ctx, min(100*time.Millisecond<<min(try, 5), 2*time.Second)) {
			return false
		}
	}
}

// finish writes down what is known and gives back what is held.
func (t *term) finish(ctx context.Context) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(recordTimeout, t.e.cfg.DrainTimeout))
	defer cancel()
	t.record.drain(last)
	if t.isFenced() {
		return
	}
	if err := t.e.cfg.Leases.Leave(last, t.id); err != nil {
		t.log.Warn("could not leave in good order; the lease will run out", slog.Any("error", err))
	}
}
