package eventbus

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// lookBack is read again after an interruption. It covers what was sent into a connection already dead, which two pings
// make known, and clocks that differ.
const lookBack = 2*pingInterval + 10*time.Second

var errGap = errors.New("an event is missing between two that came")

// Broadcast is what every replica of a service hears, each for itself: new events of Stream on Subjects (empty: all).
type Broadcast struct {
	Stream   string
	Subjects []string
	// Began is called when the broadcast begins to stand, at the start and after each interruption, before the first
	// event: what is remembered from before may miss a change, so forget it, or load it again. Optional.
	Began func(context.Context)
	// Handler is called with one event after the other.
	Handler func(context.Context, Delivery)
}

// Hear registers a broadcast and answers the loop that hears it, in this process and in every other that does the same,
// until its context ends; the loop returns nil then. Ready fails until each registered broadcast has stood once: a
// replica that is deaf to a revocation must not be given traffic. A broadcast is a hint, not a queue: compare versions,
// and reload now and then, since an event can come twice (after an interruption the last half minute is read again) and,
// when a server was rebuilt, not at all.
func (b *Bus) Hear(bc Broadcast) (run func(context.Context) error) {
	if bc.Handler == nil || bc.Stream == "" {
		return func(context.Context) error {
			return errs.E(errs.Invalid, "SUBSCRIPTION", "a broadcast needs a stream and a handler", nil)
		}
	}
	b.deaf.Add(1)
	h := &hearing{Broadcast: bc, bus: b}
	return h.run
}

// hearing is one broadcast and the consumer that is being made for it.
type hearing struct {
	Broadcast
	bus  *Bus
	once sync.Once // stands for the first time
	cfg  jetstream.ConsumerConfig
}

func (h *hearing) run(ctx context.Context) error {
	h.anew(jetstream.DeliverNewPolicy, nil)
	for try := 0; ctx.Err() == nil; try++ {
		began, err := h.session(ctx, try)
		if began { // from now on nothing that is stored meanwhile is skipped
			from := h.bus.now().Add(-lookBack)
			h.anew(jetstream.DeliverByStartTimePolicy, &from)
			try = 0
		}
		h.bus.log.Debug("broadcast is looked for", slog.String("stream", h.Stream), slog.Any("error", err))
		service.Pause(ctx, backoff(try, 50*time.Millisecond, 500*time.Millisecond))
	}
	return nil
}

// anew settles the next consumer. Its name is ours, so that a request whose answer was lost, or late, is simply made
// again: it finds the consumer that stands, where one without a name would begin a second one.
func (h *hearing) anew(policy jetstream.DeliverPolicy, from *time.Time) {
	h.cfg = jetstream.ConsumerConfig{Name: rand.Text(), AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1,
		MaxDeliver: 1, FilterSubjects: h.Subjects, DeliverPolicy: policy, OptStartTime: from, InactiveThreshold: time.Minute}
}

// session runs one ephemeral consumer until it, its server or its order is lost; began tells whether it ever stood.
// nats.go's ordered consumer is not used: it resumes by sequence, and a rebuilt stream counts from one again.
func (h *hearing) session(ctx context.Context, try int) (began bool, err error) {
	consumer, err := h.make(ctx, try)
	if err != nil {
		return false, err
	}
	h.begin(ctx)
	messages, err := consumer.Messages(jetstream.PullHeartbeat(pullHeartbeat), jetstream.PullExpiry(pullExpiry))
	if err != nil {
		return true, err
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)()
	defer h.bus.onDisconnect(messages.Stop)()
	for last := uint64(0); ; last++ {
		msg, err := messages.Next()
		if err != nil {
			return true, err
		}
		if meta, err := msg.Metadata(); err != nil || meta.Sequence.Consumer != last+1 {
			return true, errors.Join(errGap, err)
		}
		if d, _, ok := deliveryOf(msg); ok && inside(msg) {
			h.guarded(func() { h.Handler(ctx, d) })
		}
	}
}

// make asks for the consumer. No answer is waited for on a connection that is away, and at first not for long: a request
// that is lost on the way, or stands behind those of a whole platform that starts, must not cost five seconds of deafness.
func (h *hearing) make(ctx context.Context, try int) (jetstream.Consumer, error) {
	if !h.bus.conn.IsConnected() {
		return nil, nats.ErrDisconnected
	}
	ctx, cancel := context.WithTimeout(ctx, backoff(try, time.Second, requestTimeout))
	defer cancel()
	return h.bus.js.CreateConsumer(ctx, h.Stream, h.cfg)
}

// begin tells that the consumer stands: everything stored from now on is heard.
func (h *hearing) begin(ctx context.Context) {
	if h.Began != nil {
		h.guarded(func() { h.Began(ctx) })
	}
	h.once.Do(func() { h.bus.deaf.Add(-1) })
}

// guarded calls a function of the broadcast; its panic must not end the broadcast.
func (h *hearing) guarded(call func()) {
	defer func() {
		if v := recover(); v != nil {
			_ = panicked(h.bus.log, v)
		}
	}()
	call()
}

// onDisconnect calls f when the connection is lost; the returned function ends the watch.
func (b *Bus) onDisconnect(f func()) (stop func()) {
	status := b.conn.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	done := make(chan struct{})
	go func() {
		select {
		case <-status:
			f()
		case <-done:
		}
	}()
	return func() {
		close(done)
		b.conn.RemoveStatusListener(status)
	}
}
