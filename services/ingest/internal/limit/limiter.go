package limit

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Bounds of leases.
const (
	leaseWorth = 20 * time.Millisecond  // a lease is so much of the rate
	leaseLife  = 100 * time.Millisecond // then what is left of it is forgotten
	leaseLimit = time.Second            // for the query
	maxPools   = 50_000
)

// Key names a limit of a tenant in an environment.
type Key struct {
	Tenant  uuid.UUID
	Env     string
	Name    string // requests, key, messages, template or recipient
	Subject string // of which one there are several: kid, template id, blind index; else empty
}

// Want is a cost to spend.
type Want struct {
	Key  Key
	Rate Rate
	Cost int64 // 1..Rate.Burst
}

// Ask is what a replica asks of the shared state: at least Need units, at most Up.
type Ask struct {
	Key      Key
	Rate     Rate
	Need, Up int64
}

// Grant is its answer.
type Grant struct {
	Units int64         // 0: not even Need
	Free  int64         // left after it
	Wait  time.Duration // until Need can be had; 0 when granted
}

// Leases is the state all replicas share.
type Leases interface {
	// Lease grants every ask (of one tenant and environment, sorted by Key.Name and Key.Subject, none twice), or none of
	// them when one cannot have its Need.
	Lease(ctx context.Context, asks []Ask) ([]Grant, error)
	// Return gives Need units of each ask back.
	Return(ctx context.Context, asks []Ask) error
}

// Standing is how a limit stands after a call, for its answer's headers.
type Standing struct {
	Name      string
	Burst     int64
	Remaining int64
	Window    time.Duration // in which Burst is regained
	Reset     time.Duration // until all of it is regained
	Wait      time.Duration // above 0: refused, try again then
}

// Err is the refusal of a standing that has a wait: Exhausted, RATE_LIMITED, with the limit's name; nil for others.
func (s Standing) Err() error {
	if s.Wait <= 0 {
		return nil
	}
	return &errs.Error{
		Kind: errs.Exhausted, Reason: "RATE_LIMITED", Message: "the limit on " + s.Name + " is reached; nothing was accepted, repeat the request later",
		Metadata: map[string]string{"limit": s.Name, "burst": strconv.FormatInt(s.Burst, 10), "retry_after": s.Wait.String()}, // rpc.RetryAfter
	}
}

// Limiter spends from limits that all replicas share. It is safe for concurrent use.
type Limiter struct {
	leases Leases
	now    func() time.Time

	mu    sync.Mutex
	pools map[Key]*pool
}

// pool is what a replica has leased of one limit.
type pool struct {
	mu     sync.Mutex // held during a lease: who is next finds its units
	units  int64
	until  time.Time // units are forgotten then
	free   int64     // of the shared state, after the last lease
	rate   Rate
	dry    time.Time // no lease of need units is granted before
	needed int64
}

// NewLimiter makes a limiter over shared state.
func NewLimiter(leases Leases, now func() time.Time) *Limiter {
	return &Limiter{leases: leases, now: now, pools: map[Key]*pool{}}
}

// Spend takes the costs of all wants, or none of them. It answers the standing of the limit that is nearest to its end:
// the one that refuses, or the one with the smallest part remaining; ok is false without any limit.
func (l *Limiter) Spend(ctx context.Context, wants ...Want) (nearest Standing, ok bool) {
	for i, w := range wants {
		if !w.Rate.Limited() {
			continue
		}
		s := l.pool(w.Key).take(ctx, l, w)
		if s.Wait > 0 {
			l.Refund(wants[:i]...)
			return s, true
		}
		if !ok || s.Remaining*nearest.Burst < nearest.Remaining*s.Burst {
			nearest, ok = s, true
		}
	}
	return nearest, ok
}

// Refund gives the costs of wants back to this replica's leases, which lose them soon if nobody needs them.
func (l *Limiter) Refund(wants ...Want) {
	for _, w := range wants {
		if w.Rate.Limited() {
			p := l.pool(w.Key)
			p.mu.Lock()
			p.units += w.Cost
			p.mu.Unlock()
		}
	}
}

func (l *Limiter) pool(k Key) *pool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.pools[k]
	if p == nil {
		l.makeRoom()
		p = &pool{}
		l.pools[k] = p
	}
	return p
}

// makeRoom drops pools, in no order: who is dropped loses a lease at most.
func (l *Limiter) makeRoom() {
	for k := range l.pools {
		if len(l.pools) < maxPools {
			return
		}
		delete(l.pools, k)
	}
}

func (p *pool) take(ctx context.Context, l *Limiter, w Want) Standing {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := l.now()
	if w.Rate != p.rate || !now.Before(p.until) { // configured anew, or forgotten
		p.units, p.rate = 0, w.Rate
	}
	if p.units < w.Cost {
		if wait := p.dry.Sub(now); wait > 0 && w.Cost >= p.needed {
			return p.standing(w, wait)
		}
		if wait := p.lease(ctx, l, w); wait > 0 {
			return p.standing(w, wait)
		}
	}
	p.units = max(0, p.units-w.Cost)
	return p.standing(w, 0)
}

// lease takes units for w and for what comes next. A refusal is remembered until a whole lease can be had, or half the
// burst where that is less: then one query brings many units.
func (p *pool) lease(ctx context.Context, l *Limiter, w Want) (wait time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, leaseLimit)
	defer cancel()
	need := w.Cost - p.units
	chunk := max(need, min(int64(leaseWorth/w.Rate.Every), w.Rate.Burst/2))
	grants, err := l.leases.Lease(ctx, []Ask{{Key: w.Key, Rate: w.Rate, Need: need, Up: chunk}})
	now := l.now()
	if err != nil { // see the package comment
		p.units, p.until = w.Cost, now.Add(leaseLife)
		return 0
	}
	g := grants[0]
	p.free = g.Free
	if g.Units == 0 {
		p.dry, p.needed = now.Add(g.Wait+time.Duration(chunk-need)*w.Rate.Every), w.Cost
		return g.Wait
	}
	p.units += g.Units
	p.until, p.dry = now.Add(leaseLife), time.Time{}
	if g.Units < chunk { // the last there was; asking for each that comes would cost a query each
		p.dry, p.needed = now.Add(time.Duration(chunk)*w.Rate.Every), 1
	}
	return 0
}

func (p *pool) standing(w Want, wait time.Duration) Standing {
	remaining := min(p.units+p.free, w.Rate.Burst)
	if wait > 0 {
		remaining = 0
	}
	return Standing{
		Name: w.Key.Name, Burst: w.Rate.Burst, Remaining: remaining, Window: w.Rate.window(),
		Reset: time.Duration(w.Rate.Burst-remaining) * w.Rate.Every, Wait: wait,
	}
}

// SpendExactly takes the costs of all wants, or none, straight from the shared state: one query, for limits too small to
// be leased. The wants are sorted by Key.Name and Key.Subject, none twice. refused is the index of one that cannot be had.
func (l *Limiter) SpendExactly(ctx context.Context, wants []Want) (s Standing, refused int) {
	grants, err := l.leases.Lease(ctx, asksOf(wants))
	if err != nil {
		return Standing{}, -1
	}
	for i, g := range grants {
		if g.Wait > 0 {
			r := wants[i].Rate
			return Standing{Name: wants[i].Key.Name, Burst: r.Burst, Window: r.window(), Reset: g.Wait, Wait: g.Wait}, i
		}
	}
	return Standing{}, -1
}

// ReturnExactly undoes SpendExactly; a failure leaves the costs spent.
func (l *Limiter) ReturnExactly(ctx context.Context, wants []Want) {
	_ = l.leases.Return(ctx, asksOf(wants))
}

func asksOf(wants []Want) []Ask {
	asks := make([]Ask, len(wants))
	for i, w := range wants {
		asks[i] = Ask{Key: w.Key, Rate: w.Rate, Need: w.Cost, Up: w.Cost}
	}
	return asks
}
