package webhook

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Bounds of the engine.
const (
	maxBuffered  = 20_000 // jobs in memory, of all endpoints: some 20 MB
	laneBuffered = 512    // of one endpoint
	claimEvery   = 200 * time.Millisecond
	sweepEvery   = 5 * time.Second
	recordBatch  = 1_000

	// MaxClaim is how many jobs one claim wants.
	MaxClaim   = 2_000
	drainLimit = 3 * time.Second // attempts in flight may finish when the service stops
)

// Queue hands out what is due and keeps what came of it.
type Queue interface {
	// Claim takes up to want[endpoint] due jobs of each endpoint, MaxClaim in all, none that another replica holds, and
	// makes them due again at until: the lease.
	Claim(ctx context.Context, want map[uuid.UUID]int, until time.Time) ([]*Job, error)
	// Waiting answers which of endpoints have jobs that are due.
	Waiting(ctx context.Context, endpoints []uuid.UUID) ([]uuid.UUID, error)
	// Record keeps results, one commit for all.
	Record(ctx context.Context, results []Result) error
}

// Health keeps how endpoints fare.
type Health interface {
	// Fails marks an endpoint as failing since a time; it keeps an earlier one.
	Fails(ctx context.Context, endpoint uuid.UUID, since time.Time) error
	// Works clears the mark.
	Works(ctx context.Context, endpoint uuid.UUID) error
	// Warn tells, once, that an endpoint has failed for a day; Disable that it gets nothing any more.
	Warn(ctx context.Context, endpoint uuid.UUID) error
	Disable(ctx context.Context, endpoint uuid.UUID, reason string) error
}

// Result is what came of a job.
type Result struct {
	*Job
	State  State
	Status int
	Error  string
	At     time.Time // of the attempt; zero: none was made, the job is given back

	throttled time.Duration // the receiver asked for less, for so long
}

// State of a delivery.
type State int16

// States of deliveries.
const (
	Waiting State = iota
	Delivered
	GivenUp
)

// EngineConfig is what an engine works with.
type EngineConfig struct {
	Directory   *Directory
	Queue       Queue
	Health      Health
	Client      *Client
	Log         *slog.Logger
	Now         func() time.Time
	PerEndpoint int // attempts at once to one endpoint; 1 or more
	Total       int // attempts at once; 2 or more
}

// Stats are counters of attempts.
type Stats struct {
	Delivered, Failed, GivenUp, Disabled atomic.Int64
	Buffered, InFlight                   atomic.Int64
}

// Engine sends what is due. See doc.go for how endpoints share it.
type Engine struct {
	cfg     EngineConfig
	stats   Stats
	results chan Result
	wake    chan struct{}

	mu       sync.Mutex
	lanes    map[uuid.UUID]*lane
	ready    [2][]*lane // healthy, suspect: lanes that may start a job, longest waiting first
	running  int
	suspects int // running for suspect lanes
	buffered int // jobs in lanes, and room reserved for some
	closed   bool
	flights  sync.WaitGroup
	sending  context.Context
}

// NewEngine makes an engine; it sends once Run runs.
func NewEngine(cfg EngineConfig) *Engine {
	return &Engine{cfg: cfg, lanes: map[uuid.UUID]*lane{}, results: make(chan Result, recordBatch), wake: make(chan struct{}, 1)}
}

// Stats are the engine's counters.
func (e *Engine) Stats() *Stats { return &e.stats }

// Run sends until ctx ends; then attempts in flight may finish and the rest is given back.
func (e *Engine) Run(ctx context.Context) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	e.mu.Lock()
	e.sending = base
	e.pump()
	e.mu.Unlock()
	recorded := make(chan struct{})
	go func() {
		defer close(recorded)
		e.record(context.WithoutCancel(ctx))
	}()
	e.claim(ctx)
	e.close(cancel)
	<-recorded
	return nil
}

// close starts nothing more, waits for what is in flight and gives back what is in memory.
func (e *Engine) close(cancel context.CancelFunc) {
	e.mu.Lock()
	e.closed = true
	var back []*Job
	for _, l := range e.lanes {
		back = append(back, l.queue...)
		l.queue = nil
	}
	e.mu.Unlock()
	late := time.AfterFunc(drainLimit, cancel)
	defer late.Stop()
	for _, j := range back {
		e.results <- Result{Job: due(j, e.cfg.Now())}
	}
	e.flights.Wait()
	close(e.results)
}

func due(j *Job, at time.Time) *Job {
	j.Due = at
	return j
}

// reserve makes room for one job of an endpoint; it answers false when there is none.
func (e *Engine) reserve(id uuid.UUID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.lane(id)
	if e.closed || e.sending == nil || e.buffered >= maxBuffered || l.more || len(l.queue)+l.reserved >= laneBuffered ||
		l.paused(e.cfg.Now()) {
		return false
	}
	l.reserved++
	e.buffered++
	return true
}

func (e *Engine) release(id uuid.UUID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lane(id).reserved--
	e.buffered--
}

// take gets jobs for which room was reserved.
func (e *Engine) take(jobs []*Job) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, j := range jobs {
		l := e.lane(j.Endpoint)
		l.reserved--
		if e.closed { // its lease runs out
			e.buffered--
			continue
		}
		l.queue = append(l.queue, j)
		e.line(l)
	}
	e.pump()
}

// waiting says that the store holds jobs of an endpoint.
func (e *Engine) waiting(id uuid.UUID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lane(id).more = true
	e.nudge()
}

func (e *Engine) nudge() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *Engine) lane(id uuid.UUID) *lane {
	l := e.lanes[id]
	if l == nil {
		l = &lane{id: id, limit: min(firstLimit, e.cfg.PerEndpoint), most: e.cfg.PerEndpoint}
		e.lanes[id] = l
	}
	return l
}

// line puts a lane that may start a job behind those that wait already.
func (e *Engine) line(l *lane) {
	if l.lined || !e.may(l) {
		return
	}
	l.lined = true
	e.ready[l.class()] = append(e.ready[l.class()], l)
}

// may tells whether a lane may start a job. As slots become few each lane's share of them does, so that some receivers
// that hang all at once cannot take the last ones. Who is held up by that has attempts in flight, and is lined up again
// when one lands.
func (e *Engine) may(l *lane) bool {
	return len(l.queue) > 0 && l.running < min(l.limit, max(2, (e.cfg.Total-e.running)/4)) && !l.paused(e.cfg.Now())
}

// pump starts jobs, one a lane and round, while there are slots. Suspect lanes share half of the
// slots: however many endpoints are dead, the others find the other half.
func (e *Engine) pump() {
	for !e.closed && e.sending != nil && e.running < e.cfg.Total {
		class := healthy
		if len(e.ready[healthy]) == 0 {
			class = suspect
		}
		if len(e.ready[class]) == 0 || class == suspect && e.suspects >= e.cfg.Total/2 {
			return
		}
		l := e.ready[class][0]
		e.ready[class] = e.ready[class][1:]
		l.lined = false
		if e.may(l) {
			e.start(l)
		}
		e.line(l)
	}
}

func (e *Engine) start(l *lane) {
	j := l.queue[0]
	l.queue = l.queue[1:]
	class := l.class()
	l.running++
	e.running++
	if class == suspect {
		e.suspects++
	}
	e.flights.Add(1)
	e.stats.InFlight.Add(1)
	go func() {
		defer e.flights.Done()
		result, mine := e.attempt(e.sending, j)
		if mine {
			e.results <- result // held up while results cannot be stored: then nothing more is sent either
		}
		e.stats.InFlight.Add(-1)
		e.landed(l, class, &result)
	}()
}

// landed counts an attempt for its lane and goes on.
func (e *Engine) landed(l *lane, class int, r *Result) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l.running--
	e.running--
	e.buffered--
	if class == suspect {
		e.suspects--
	}
	now := e.cfg.Now()
	l.learn(r, now)
	if l.paused(now) {
		e.giveBack(l)
	}
	if l.more && len(l.queue) < l.room()/2 {
		e.nudge()
	}
	e.line(l)
	e.pump()
}

// giveBack returns a paused lane's jobs to the store, due when the pause ends. It does not wait: what cannot be told now
// comes back when its lease ends.
func (e *Engine) giveBack(l *lane) {
	for _, j := range l.queue {
		e.buffered--
		j.Due = l.until
		select {
		case e.results <- Result{Job: j}:
		default:
		}
	}
	l.queue = nil
	l.more = true
}
