package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
)

const (
	claimEvery    = 250 * time.Millisecond
	claimLimit    = 64               // parcels a claim
	orphanAge     = 30 * time.Second // a parcel without an owner for so long is taken by anyone, and given back
	unboundGrace  = 15 * time.Second // a route without a session for so long gives its messages back
	returnDelay   = time.Minute      // what is given back for want of a bind is due after it
	sweepEvery    = time.Second
	recordTimeout = 10 * time.Second // for what is to be written down at the end; DrainTimeout when that is less
)

// term is one life of this replica: from Join under a fresh id to Leave, or to its being taken over.
type term struct {
	e      *Engine
	id     uuid.UUID
	log    *slog.Logger
	lanes  map[string]*backlog // by route; never changes
	record *recorder
	intend *intender
	fenced chan struct{}
	once   sync.Once

	mu       sync.Mutex
	binds    map[string][]*bind   // held, by route
	bound    map[string]time.Time // when a route last had a session here; absent: never
	unopened []Claimed            // claimed, content not opened yet
}

func newTerm(e *Engine) *term {
	t := &term{
		e: e, id: e.cfg.NewID(), lanes: map[string]*backlog{}, fenced: make(chan struct{}),
		binds: map[string][]*bind{}, bound: map[string]time.Time{},
	}
	t.log = e.cfg.Log.With(slog.String("replica", t.id.String()))
	for _, r := range e.cfg.Routes.All() {
		t.lanes[r.Name] = newBacklog()
	}
	t.record = newRecorder(e.cfg.Records, t.id, t.log)
	t.intend = newIntender(e.cfg.Intents, t.id, t.log, t.fence)
	return t
}

// fence ends the term: another replica has taken over.
func (t *term) fence() { t.once.Do(func() { close(t.fenced) }) }

// run lives until ctx ends or the term is fenced; then ErrFenced.
func (t *term) run(ctx context.Context) error {
	binds := map[string]int{}
	for _, r := range t.e.cfg.Routes.All() {
		binds[r.Name] = r.Binds
	}
	if err := t.join(ctx, binds); err != nil {
		return err
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	keep, unkeep := context.WithCancel(work) // the lease is kept until the very end
	defer unkeep()
	bindCtx, unbind := context.WithCancel(work)
	defer unbind()
	var writers, beats, binding sync.WaitGroup
	writers.Go(func() { t.record.run(work) })
	intendCtx, unintend := context.WithCancel(work)
	defer unintend()
	writers.Go(func() { t.intend.run(intendCtx) })
	hold := &holder{t: t, ctx: bindCtx, wg: &binding}
	beats.Go(func() { hold.run(keep) })
	chores, unchore := context.WithCancel(ctx)
	beats.Go(func() { t.claims(chores) })
	beats.Go(func() { t.sweeps(chores) })
	t.e.setTerm(t)

	select {
	case <-ctx.Done():
	case <-t.fenced:
	}
	t.e.setTerm(nil)
	unchore()
	hold.close()
	unbind()
	binding.Wait()
	unintend()
	t.finish(ctx)
	unkeep()
	beats.Wait()
	stop()
	writers.Wait()
	select {
	case <-t.fenced:
		if ctx.Err() == nil {
			return ErrFenced
		}
	default:
	}
	return nil
}

// join registers the replica; the database may still be starting.
func (t *term) join(ctx context.Context, binds map[string]int) error {
	for try := 0; ; try++ {
		err := t.e.cfg.Leases.Join(ctx, t.id, t.e.cfg.LeaseTTL, binds)
		if err == nil {
			return nil
		}
		t.log.Warn("cannot join, trying again", slog.Any("error", err))
		if !pause(ctx, min(100*time.Millisecond<<min(try, 5), 2*time.Second)) {
			return nil
		}
	}
}

// finish writes down what is known and gives back what is held.
func (t *term) finish(ctx context.Context) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(recordTimeout, t.e.cfg.DrainTimeout))
	defer cancel()
	t.record.drain(last)
	select {
	case <-t.fenced:
		return
	default:
	}
	if err := t.e.cfg.Leases.Leave(last, t.id); err != nil {
		t.log.Warn("could not leave in good order; the lease will run out", slog.Any("error", err))
	}
}

// assign chooses a parcel's route. One whose route is bound elsewhere is handed over.
func (t *term) assign(p *Parcel) {
	r := t.e.cfg.Routes.Choose(p.Env, func(r *route.Route) bool { return t.usable(r.Name) })
	if r == nil {
		p.Route = "" // no route of this environment: given back at once
		return
	}
	p.Route = r.Name
	p.HandedOver = !t.usable(r.Name)
}

// queue puts messages of a parcel this replica owns into their lane; the parcel's count has been started.
func (t *term) queue(p *Parcel, open []*Message) {
	t.e.stats.Taken.Add(int64(len(open)))
	lanes, rt := t.lanes[p.Route], t.route(p.Route)
	if lanes == nil {
		t.giveBack(open)
		return
	}
	ready := open[:0:0]
	for _, m := range open {
		if m.Unreadable != "" {
			t.note(Result{Message: m, Kind: Failed, At: t.e.cfg.Now(), Reason: m.Unreadable})
			continue
		}
		m.tlvs = lanes.tlvs(rt.Tags, m)
		ready = append(ready, m)
	}
	lanes.push(ready...)
}

func (t *term) route(name string) *route.Route {
	for _, r := range t.e.cfg.Routes.All() {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// giveBack returns messages that no bind can take for a while.
func (t *term) giveBack(messages []*Message) {
	now := t.e.cfg.Now()
	for _, m := range messages {
		t.note(Result{Message: m, Kind: Returned, At: now, Reason: ReasonUnavailable, Due: now.Add(returnDelay)})
	}
}

// note records results and counts them.
func (t *term) note(results ...Result) {
	for i := range results {
		t.e.stats.count(results[i].Kind)
	}
	t.record.add(results...)
}

func (s *Stats) count(k Kind) {
	switch k {
	case Submitted:
		s.Submitted.Add(1)
	case Failed:
		s.Failed.Add(1)
	case Unknown:
		s.Unknown.Add(1)
	case Returned:
		s.Returned.Add(1)
	case Expired:
		s.Expired.Add(1)
	case Released, Retried:
		s.Released.Add(1)
	}
}

// usable tells whether this replica has a session of the route, or had one a moment ago and still holds its lease.
func (t *term) usable(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ever := t.bound[name]
	if !ever || len(t.binds[name]) == 0 {
		return false
	}
	return at.IsZero() || t.e.cfg.Now().Sub(at) < unboundGrace
}

func (t *term) anyUsable() bool {
	for name := range t.lanes {
		if t.usable(name) {
			return true
		}
	}
	return false
}

// admits tells whether a lane may take more, or answers a channel that closes when that may have changed.
func (t *term) admits(lane Lane) (open bool, room <-chan struct{}) {
	if !t.anyUsable() {
		return false, nil
	}
	for name, b := range t.lanes {
		if t.usable(name) {
			if room := b.full(lane); room != nil {
				return false, room
			}
		}
	}
	return true, nil
}

// sessions keeps count of a route's sessions: bound is zero time while there is one, else when the last one ended.
func (t *term) sessions(name string) {
	t.mu.Lock()
	up := false
	for _, b := range t.binds[name] {
		up = up || b.up.Load()
	}
	if up {
		t.bound[name] = time.Time{}
	} else if at, ever := t.bound[name]; ever && at.IsZero() {
		t.bound[name] = t.e.cfg.Now()
	}
	t.mu.Unlock()
	t.e.mu.Lock()
	t.e.tell()
	t.e.mu.Unlock()
}

// claims takes parcels that lost their owner, and gives back messages of routes that lost their binds.
func (t *term) claims(ctx context.Context) {
	for pause(ctx, claimEvery) {
		t.claim(ctx)
		for name, b := range t.lanes {
			if !t.usable(name) && b.total() > 0 && t.unboundFor(name) > unboundGrace {
				t.giveBack(b.drain())
			}
		}
	}
}

// unboundFor is how long a route has had no session here; for one that never had, as long as it takes.
func (t *term) unboundFor(name string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ever := t.bound[name]
	if !ever {
		return 2 * unboundGrace
	}
	if at.IsZero() {
		return 0
	}
	return t.e.cfg.Now().Sub(at)
}

func (t *term) claim(ctx context.Context) {
	routes := []string{""}
	for name, b := range t.lanes {
		if t.usable(name) && b.full(Bulk) == nil {
			routes = append(routes, name)
		}
	}
	claimed, err := t.e.cfg.Queue.Claim(ctx, t.id, routes, orphanAge, claimLimit)
	switch {
	case errors.Is(err, ErrFenced):
		t.fence()
		return
	case err != nil:
		t.log.Warn("parcels without an owner not claimed", slog.Any("error", err))
	}
	left := t.unopened[:0:0]
	for _, c := range append(t.unopened, claimed...) {
		if err := t.e.cfg.Opener.Open(ctx, c.Parcel); err != nil {
			t.log.Warn("claimed parcel not opened, trying again", slog.Any("error", err))
			left = append(left, c)
			continue
		}
		t.resume(c)
	}
	t.unopened = left
}

// resume repairs a claimed parcel; see Repair.
func (t *term) resume(c Claimed) {
	requeue, doubt, attempts := Repair(len(c.Parcel.Messages), c.Intents, c.Results)
	now := t.e.cfg.Now()
	open := make([]*Message, 0, len(requeue))
	for _, i := range requeue {
		m := c.Parcel.Messages[i]
		m.attempts = attempts[i]
		open = append(open, m)
	}
	c.Parcel.Start(len(requeue) + len(doubt))
	unknown := make([]Result, 0, len(doubt))
	for _, i := range doubt {
		unknown = append(unknown, Result{Message: c.Parcel.Messages[i], Kind: Unknown, At: now, Reason: ReasonUnanswered, Intent: true})
	}
	t.log.Info("parcel taken over", slog.String("parcel", c.Parcel.ID.String()), slog.Int("requeued", len(requeue)),
		slog.Int("in_doubt", len(doubt)))
	t.queue(c.Parcel, open)
	t.note(unknown...)
}

// sweeps joins receipts and submissions that two replicas recorded at the same time.
func (t *term) sweeps(ctx context.Context) {
	for pause(ctx, sweepEvery) {
		if _, err := t.e.cfg.Records.Sweep(ctx); err != nil && ctx.Err() == nil {
			t.log.Warn("parked receipts not swept", slog.Any("error", err))
		}
	}
}
