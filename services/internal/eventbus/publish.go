package eventbus

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Bounds of the publisher.
const (
	maxHeldBytes   = 64 << 20
	maxHeldParcels = 200_000
	giveUpAfter    = 10 * time.Second // from then on the outbox relay looks after the parcels
	drainWithin    = 5 * time.Second
)

// Publisher sends what its process has committed, from memory, at once. Every subject has its own queue and its own
// flushes, so that one lane never waits for another. It is safe for concurrent use.
type Publisher struct {
	bus       *Bus
	producer  string
	published func(ctx context.Context, done []Parcel)

	mu      sync.Mutex
	queues  map[string]*queue
	start   func(*queue)       // set while Run runs
	held    map[uuid.UUID]bool // parcels waiting or in flight
	bytes   int                // of them
	dropped int
	acked   []Parcel
	idle    chan struct{} // not nil while draining; closed when nothing is held

	report chan struct{} // something is in acked
	flies  sync.WaitGroup
}

// NewPublisher makes a publisher of a producer (the service's name in Metadata). published is called from one
// goroutine with parcels the server has stored, in batches; their Payload is gone.
func (b *Bus) NewPublisher(producer string, published func(ctx context.Context, done []Parcel)) *Publisher {
	return &Publisher{bus: b, producer: producer, published: published,
		queues: map[string]*queue{}, held: map[uuid.UUID]bool{}, report: make(chan struct{}, 1)}
}

// Publish queues parcels and returns. What does not fit the bounded memory (64 MiB, 200,000 parcels; the last eighth is
// for the OTP lane) is dropped here: it stands in the outbox, where the relay finds it. A parcel that is held already is
// not queued again. Payloads must not change after.
func (p *Publisher) Publish(parcels ...Parcel) {
	now := p.bus.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, parcel := range parcels {
		q := p.queue(parcel.Subject)
		if p.held[parcel.ID] { // the relay has found what is still on its way
			continue
		}
		if !p.fits(q, parcel) {
			p.dropped++
			continue
		}
		p.held[parcel.ID] = true
		p.bytes += len(parcel.Payload) + parcelOverhead
		q.pending = append(q.pending, waiting{parcel, now})
		signal(q.wake)
	}
}

func (p *Publisher) fits(q *queue, parcel Parcel) bool {
	bytes, count := maxHeldBytes, maxHeldParcels
	if q.limit != maxPackEntriesOTP { // a campaign must not use up the memory of codes
		bytes, count = bytes/8*7, count/8*7
	}
	return p.bytes+len(parcel.Payload)+parcelOverhead <= bytes && len(p.held) < count
}

func (p *Publisher) queue(subject string) *queue {
	q := p.queues[subject]
	if q == nil {
		q = newQueue(subject)
		p.queues[subject] = q
		if p.start != nil {
			p.start(q)
		}
	}
	return q
}

// Lag tells how many parcels are held, waiting or in flight, and how long the oldest has been: the measure for
// back-pressure beside the outbox's own.
func (p *Publisher) Lag() (parcels int, oldest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.bus.now()
	for _, q := range p.queues {
		if t := q.oldest(); !t.IsZero() {
			oldest = max(oldest, now.Sub(t))
		}
	}
	return len(p.held), oldest
}

// Run publishes until ctx ends, then drains for at most five seconds. It returns nil: what is left is in the outbox.
func (p *Publisher) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var loops sync.WaitGroup
	p.mu.Lock()
	p.start = func(q *queue) { loops.Go(func() { p.runQueue(work, q) }) }
	for _, q := range p.queues {
		p.start(q)
		signal(q.wake)
	}
	p.mu.Unlock()
	loops.Go(func() { p.runReport(work) })

	<-ctx.Done()
	p.drain()
	stop()
	p.mu.Lock()
	p.start = nil
	p.mu.Unlock()
	loops.Wait()
	p.flies.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
	defer cancel()
	p.tell(last)
	return nil
}

// drain waits until nothing is held, at most drainWithin.
func (p *Publisher) drain() {
	p.mu.Lock()
	idle := make(chan struct{})
	if len(p.held) == 0 {
		close(idle)
	} else {
		p.idle = idle
	}
	p.mu.Unlock()
	timer := time.NewTimer(drainWithin)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
		p.bus.log.Warn("publisher stopped with parcels left to the outbox")
	}
}

// runQueue flushes at once while fewer than two flushes are in flight, else lets parcels gather: no linger.
func (p *Publisher) runQueue(ctx context.Context, q *queue) {
	slots := make(chan struct{}, maxInFlight)
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		}
		for p.waits(q) {
			select {
			case <-ctx.Done():
				return
			case slots <- struct{}{}:
			}
			next := p.take(q)
			p.flies.Go(func() {
				p.flush(ctx, q, next)
				<-slots
			})
		}
	}
}

func (p *Publisher) waits(q *queue) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !q.empty()
}

func (p *Publisher) take(q *queue) pack {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := q.cut()
	q.flying = append(q.flying, next.since)
	return next
}

// flush sends one event and accounts for it, sent or given up.
func (p *Publisher) flush(ctx context.Context, q *queue, next pack) {
	err := p.send(ctx, next)
	if err != nil && ctx.Err() == nil {
		p.bus.log.Warn("event left to the outbox relay", slog.String("subject", next.subject),
			slog.String("event_id", next.id.String()), slog.Int("parcels", len(next.parcels)), slog.Any("error", err))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(q.flying, next.since)
	q.flying = slices.Delete(q.flying, i, i+1)
	p.bytes -= next.bytes + parcelOverhead*len(next.parcels)
	for i := range next.parcels {
		delete(p.held, next.parcels[i].ID)
		next.parcels[i].Payload = nil
	}
	if err == nil && len(p.acked) < maxHeldParcels { // a callback that stalls so long costs a second publication
		p.acked = append(p.acked, next.parcels...)
		signal(p.report)
	}
	if len(p.held) == 0 && p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
}

// runReport hands acknowledged parcels to the callback, as many as have gathered meanwhile: a slow callback delays no
// flush.
func (p *Publisher) runReport(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.report:
			p.tell(ctx)
		}
	}
}

func (p *Publisher) tell(ctx context.Context) {
	p.mu.Lock()
	done, dropped := p.acked, p.dropped
	p.acked, p.dropped = nil, 0
	p.mu.Unlock()
	if dropped > 0 {
		p.bus.log.Warn("parcels dropped from memory, left to the outbox relay", slog.Int("parcels", dropped))
	}
	if len(done) > 0 && p.published != nil {
		p.published(ctx, done)
	}
}

// signal wakes a goroutine that waits on a channel of capacity one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
