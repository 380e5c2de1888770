package eventbus

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/onlinesms/onlinesms/services/internal/errs"
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
	start   func(*queue) // set while Run runs
	bytes   int          // held, waiting or in flight
	parcels int
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
		queues: map[string]*queue{}, report: make(chan struct{}, 1)}
}

// Publish queues parcels and returns. What does not fit the bounded memory (64 MiB, 200,000 parcels; the last eighth is
// for the OTP lane) is dropped here: it stands in the outbox, where the relay finds it. Payloads must not change after.
func (p *Publisher) Publish(parcels ...Parcel) {
	now := p.bus.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, parcel := range parcels {
		q := p.queue(parcel.Subject)
		if !p.fits(q, parcel) {
			p.dropped++
			continue
		}
		p.parcels++
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
	return p.bytes+len(parcel.Payload)+parcelOverhead <= bytes && p.parcels < count
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
	return p.parcels, oldest
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
	if p.parcels == 0 {
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
	return len(q.pending) > 0
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
	p.parcels -= len(next.parcels)
	p.bytes -= next.bytes + parcelOverhead*len(next.parcels)
	if err == nil {
		for i := range next.parcels {
			next.parcels[i].Payload = nil
		}
		p.acked = append(p.acked, next.parcels...)
		signal(p.report)
	}
	if p.parcels == 0 && p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
}

var packBuffers = sync.Pool{New: func() any { return new([]byte) }}

// send encodes an event once and tries until the server has stored it, giveUpAfter is over or ctx ends.
func (p *Publisher) send(ctx context.Context, next pack) error {
	ctx, span := p.span(ctx, next)
	defer span.End()
	buffer := packBuffers.Get().(*[]byte)
	defer packBuffers.Put(buffer)
	data, err := appendPack((*buffer)[:0], next, p.producer, p.bus.now())
	if err != nil {
		return err
	}
	*buffer = data
	msg := p.bus.message(next.subject, next.id.String(), data)
	if parent := carriedBy(span, next.parcels); parent != "" {
		msg.Header[traceHeader] = []string{parent}
	}
	return p.bus.publish(ctx, msg, giveUpAfter)
}

// span is a producer span when a parcel's trace is sampled.
func (p *Publisher) span(ctx context.Context, next pack) (context.Context, trace.Span) {
	var carried []trace.SpanContext
	for _, parcel := range next.parcels {
		if parcel.Trace != "" {
			carried = append(carried, spanContext(parcel.Trace))
		}
	}
	return startSpan(ctx, "publish "+next.subject, trace.SpanKindProducer, carried,
		attribute.String("messaging.system", "nats"), attribute.String("messaging.destination.name", next.subject),
		attribute.Int("messaging.batch.message_count", next.entries))
}

// carriedBy is the traceparent an event travels with: of its own span, else of its first parcel that has one.
func carriedBy(span trace.Span, parcels []Parcel) string {
	if c := span.SpanContext(); c.IsValid() {
		return traceparent(c)
	}
	for _, parcel := range parcels {
		if parcel.Trace != "" {
			return parcel.Trace
		}
	}
	return ""
}

// message is an event with its id and, unless it is for outside, the mark of the house.
func (b *Bus) message(subject, id string, data []byte) *nats.Msg {
	msg := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{jetstream.MsgIDHeader: {id}}}
	if !strings.HasPrefix(subject, outsidePrefix) {
		msg.Header[producerHeader] = []string{b.service}
	}
	return msg
}

// publish sends msg until it is stored, retrying for at most within. Its message id makes retries harmless.
func (b *Bus) publish(ctx context.Context, msg *nats.Msg, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for try := 0; ; try++ {
		err := b.publishOnce(ctx, msg)
		if err == nil || errors.Is(err, nats.ErrMaxPayload) {
			return err
		}
		if absent(err) {
			b.nudge()
		}
		if !pause(ctx, backoff(try, 50*time.Millisecond, time.Second)) {
			return err
		}
	}
}

func (b *Bus) publishOnce(ctx context.Context, msg *nats.Msg) error {
	if err := b.Ready(); err != nil {
		return err
	}
	future, err := b.js.PublishMsgAsync(msg, jetstream.WithRetryAttempts(0))
	if err != nil {
		return err
	}
	select {
	case <-future.Ok():
		return nil
	case err := <-future.Err():
		return err
	case <-ctx.Done():
		return errs.E(errs.Unavailable, "NATS_AWAY", "no PubAck in time", ctx.Err())
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
