package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Opener fills a parcel's Messages from its Payload: decodes it, opens the content and encodes the text. A message
// whose content can never be sent gets Unreadable. Errors are errs.Invalid for a payload that is none and
// errs.Unavailable while keys cannot be had.
type Opener interface {
	Open(ctx context.Context, p *Parcel) error
}

// Config is what an Engine works with.
type Config struct {
	Routes  *route.Routes
	TLS     map[string]*tls.Config // by route name, for those that encrypt
	Queue   Queue
	Intents Intents
	Records Records
	Leases  Leases
	Opener  Opener
	Wishes  *Wishes // nil: recipients' wishes are not looked at again
	Stops   *Stops  // nil: no kill switches
	Log     *slog.Logger
	Now     func() time.Time
	NewID   func() uuid.UUID // UUIDv7

	// LeaseTTL is how long a replica that has gone silent keeps its binds and parcels; renewed every third of it.
	LeaseTTL time.Duration
	// DrainTimeout bounds how long sessions wait at the end for answers and commits, what is in flight then is left in
	// doubt. A third of it is for intents before, and as much again, 10 s at most, for writing down after.
	DrainTimeout time.Duration
}

// Engine submits on the binds this replica holds. One Run at a time.
type Engine struct {
	cfg   Config
	stats Stats

	mu      sync.Mutex
	term    *term         // nil between lives
	changed chan struct{} // closed when a route may have become usable, or the term has changed
}

// Stats are totals since the process began; read with Load.
type Stats struct {
	Taken, Intended, Submitted, Failed, Unknown, Returned, Expired, Released atomic.Int64 // messages
	Receipts, Inbound, Unreadable                                            atomic.Int64 // deliver_sm
	Terms, Throttled                                                         atomic.Int64
}

// New makes an engine.
func New(cfg Config) *Engine {
	return &Engine{cfg: cfg, changed: make(chan struct{})}
}

// Stats returns the engine's counters.
func (e *Engine) Stats() *Stats { return &e.stats }

// Run lives until ctx ends and then drains. A replica that was taken over by another, after being frozen for instance,
// begins a new life under a new id.
func (e *Engine) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		t := newTerm(e)
		e.stats.Terms.Add(1)
		err := t.run(ctx)
		if errors.Is(err, ErrFenced) {
			e.cfg.Log.Error("this replica was taken over and starts anew", slog.String("replica", t.id.String()))
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// setTerm makes t the one that takes parcels; nil closes.
func (e *Engine) setTerm(t *term) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.term = t
	e.tell()
}

// tell wakes gates. Called with mu held.
func (e *Engine) tell() {
	close(e.changed)
	e.changed = make(chan struct{})
}

func (e *Engine) current() (*term, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.term, e.changed
}

// errNotTaking is answered while no replica life is under way.
var errNotTaking = errs.E(errs.Unavailable, "DISPATCH_NOT_TAKING", "This replica takes no messages now.", nil)

// Ready is nil while this replica has a life. Operators may be away: their messages wait.
func (e *Engine) Ready() error {
	if t, _ := e.current(); t != nil {
		return nil
	}
	return errNotTaking
}

// Gate blocks until this replica may take more messages of a lane: some route is bound here, and every bound route has
// room in memory.
func (e *Engine) Gate(lane Lane) func(context.Context) error {
	return func(ctx context.Context) error {
		for {
			t, changed := e.current()
			var room <-chan struct{}
			if t != nil {
				var open bool
				if open, room = t.admits(lane); open {
					return nil
				}
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-changed:
			case <-room:
			}
		}
	}
}

// Take makes parcels durable and queues their messages. Env, Lane, ids and Payload are set; the rest is filled in here.
// When it returns nil, acknowledging the event is safe.
func (e *Engine) Take(ctx context.Context, parcels []*Parcel) error {
	t, _ := e.current()
	if t == nil {
		return errNotTaking
	}
	for _, p := range parcels {
		t.assign(p)
		if p.HandedOver {
			continue
		}
		if err := e.cfg.Opener.Open(ctx, p); err != nil {
			return err
		}
	}
	return t.enqueue(ctx, parcels)
}
