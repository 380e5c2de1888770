package eventbus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// tailAhead is how many events a tail holds that its reader has not asked for yet.
const tailAhead = 16

// TailOptions say what to read for one reader.
type TailOptions struct {
	Stream, Subject string
	From            time.Time // events stored then or later
	Heartbeat       time.Duration
	Idle            func() error         // called whenever no event came for Heartbeat
	Each            func(Delivery) error // called with one event after the other
}

// Tail reads a stream of its own service for one reader, in order, without a durable: until ctx ends (nil), or a
// callback fails, whose error it answers. A slow reader holds up only itself: no more than a few events are fetched ahead.
// A consumer that is lost (a server that restarts) is errs.Unavailable: the reader comes again with its place.
func (b *Bus) Tail(ctx context.Context, t TailOptions) error {
	consumer, err := b.js.OrderedConsumer(ctx, t.Stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{t.Subject}, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &t.From,
		InactiveThreshold: time.Minute,
	})
	if err != nil {
		return tailed(ctx, err)
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(tailAhead))
	if err != nil {
		return tailed(ctx, err)
	}
	defer messages.Stop()
	for {
		idle, cancel := context.WithTimeout(ctx, t.Heartbeat)
		msg, err := messages.Next(jetstream.NextContext(idle))
		waited := idle.Err() != nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && waited:
			err = t.Idle()
		case err != nil:
			return tailed(ctx, err)
		default:
			err = each(msg, t.Each)
		}
		if err != nil {
			return err
		}
	}
}

func each(msg jetstream.Msg, call func(Delivery) error) error {
	d, _, _ := deliveryOf(msg)
	return call(d)
}

func tailed(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return errs.E(errs.Unavailable, "NATS_AWAY", "the stream cannot be read now; come again with the last cursor", err)
}
