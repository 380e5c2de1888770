package eventbus

import (
	"context"
	"errors"
	"log/slog"
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

// Broadcast calls handler with every new event of the subjects (empty: all of the stream), in this process and in every
// other that does the same, one after the other, until ctx ends; it returns nil then. It is a hint, not a queue: load the
// snapshot and its version from PostgreSQL after it has begun, compare versions, and reload now and then, since an event
// can come twice (after an interruption the last half minute is read again) and, when a server was rebuilt, not at all.
func (b *Bus) Broadcast(ctx context.Context, stream string, subjects []string, handler func(context.Context, Delivery)) error {
	if handler == nil || stream == "" {
		return errs.E(errs.Invalid, "SUBSCRIPTION", "a broadcast needs a stream and a handler", nil)
	}
	cfg := jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, MaxDeliver: 1,
		FilterSubjects: subjects, DeliverPolicy: jetstream.DeliverNewPolicy, InactiveThreshold: time.Minute}
	for try := 0; ctx.Err() == nil; try++ {
		began, err := b.broadcast(ctx, stream, cfg, handler)
		if began { // from now on nothing that is stored meanwhile is skipped
			from := b.now().Add(-lookBack)
			cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &from
			try = 0
		}
		b.log.Debug("broadcast is looked for", slog.String("stream", stream), slog.Any("error", err))
		service.Pause(ctx, backoff(try, 100*time.Millisecond, 2*time.Second))
	}
	return nil
}

// broadcast runs one ephemeral consumer until it, its server or its order is lost; began tells whether it ever stood.
// nats.go's ordered consumer is not used: it resumes by sequence, and a rebuilt stream counts from one again.
func (b *Bus) broadcast(ctx context.Context, stream string, cfg jetstream.ConsumerConfig,
	handler func(context.Context, Delivery)) (began bool, err error) {
	consumer, err := b.js.CreateConsumer(ctx, stream, cfg)
	if err != nil {
		return false, err
	}
	messages, err := consumer.Messages(jetstream.PullHeartbeat(pullHeartbeat), jetstream.PullExpiry(pullExpiry))
	if err != nil {
		return false, err
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Stop)()
	defer b.onDisconnect(messages.Stop)()
	for last := uint64(0); ; last++ {
		msg, err := messages.Next()
		if err != nil {
			return true, err
		}
		if meta, err := msg.Metadata(); err != nil || meta.Sequence.Consumer != last+1 {
			return true, errors.Join(errGap, err)
		}
		if d, _, ok := deliveryOf(msg); ok && inside(msg) {
			b.tell(ctx, d, handler)
		}
	}
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

// tell calls a broadcast handler; its panic must not end the broadcast.
func (b *Bus) tell(ctx context.Context, d Delivery, handler func(context.Context, Delivery)) {
	defer func() {
		if v := recover(); v != nil {
			_ = panicked(b.log, v)
		}
	}()
	handler(ctx, d)
}
