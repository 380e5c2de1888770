package eventbus

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// lookBack is read again after an interruption: covers what was stored while no consumer stood, and clocks that differ.
const lookBack = 10 * time.Second

// Broadcast calls handler with every new event of the subjects (empty: all of the stream), in this process and in every
// other that does the same, one after the other, until ctx ends; it returns nil then. It is a hint, not a queue: load the
// snapshot and its version from PostgreSQL after it has begun, compare versions, and reload now and then, since an event
// can come twice (after an interruption the last seconds are read again) and, when a server was rebuilt, not at all.
func (b *Bus) Broadcast(ctx context.Context, stream string, subjects []string, handler func(context.Context, Delivery)) error {
	if handler == nil || stream == "" {
		return errs.E(errs.Invalid, "SUBSCRIPTION", "a broadcast needs a stream and a handler", nil)
	}
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: subjects, DeliverPolicy: jetstream.DeliverNewPolicy,
		InactiveThreshold: time.Minute}
	for try := 0; ctx.Err() == nil; try++ {
		began, err := b.broadcast(ctx, stream, cfg, handler)
		if ctx.Err() != nil {
			break
		}
		if began { // from now on nothing that was stored meanwhile is skipped
			try = 0
		}
		if began || cfg.OptStartTime != nil {
			from := b.now().Add(-lookBack)
			if cfg.OptStartTime == nil || began {
				cfg.OptStartTime = &from
			}
			cfg.DeliverPolicy = jetstream.DeliverByStartTimePolicy
		}
		b.log.Debug("broadcast is looked for", slog.String("stream", stream), slog.Any("error", err))
		pause(ctx, backoff(try, 100*time.Millisecond, 2*time.Second))
	}
	return nil
}

// broadcast runs one ordered consumer until it breaks; began tells whether it ever stood.
func (b *Bus) broadcast(ctx context.Context, stream string, cfg jetstream.OrderedConsumerConfig,
	handler func(context.Context, Delivery)) (began bool, err error) {
	consumer, err := b.js.OrderedConsumer(ctx, stream, cfg)
	if err != nil {
		return false, err
	}
	messages, err := consumer.Messages(jetstream.PullHeartbeat(pullHeartbeat), jetstream.PullExpiry(pullExpiry))
	if err != nil {
		return false, err
	}
	defer messages.Stop()
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	for {
		msg, err := messages.Next()
		if err != nil {
			return true, err
		}
		if d, _, ok := deliveryOf(msg); ok {
			b.tell(ctx, d, handler)
		}
	}
}

// tell calls a broadcast handler; its panic must not end the broadcast.
func (b *Bus) tell(ctx context.Context, d Delivery, handler func(context.Context, Delivery)) {
	defer func() {
		if v := recover(); v != nil {
			_ = (&worker{log: b.log}).panicked(v)
		}
	}()
	handler(ctx, d)
}
