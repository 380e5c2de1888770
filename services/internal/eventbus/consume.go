package eventbus

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

const (
	defaultMaxEvents = 16
	gatherWait       = 2 * time.Millisecond // for events the server has said are coming; never for events that may come
	pullExpiry       = 30 * time.Second
	pullHeartbeat    = 2 * time.Second  // two missed ones make a lost consumer or server known
	finishWithin     = 10 * time.Second // a handler at work when the service stops may finish
)

// Subscription is one work consumer: any number of replicas may consume the same durable. Linger is for consumers that
// only record (audit, states, the feed): at a few hundred single sends a second a transaction an event would take the
// processor from those on the messages' way.
type Subscription struct {
	Stream, Durable string
	MaxEvents       int                         // deliveries a batch; 0: 16
	Linger          time.Duration               // how long a batch waits for more after its first event; 0: not at all
	Gate            func(context.Context) error // optional: blocks until more may be taken; an error is waited out
	Handler         Handler
	DeadLetters     DeadLetters // nil: what cannot succeed is tried for ever
}

// Consume takes deliveries until ctx ends: what waits, up to MaxEvents, makes one batch; a single event waits for
// nothing. It acknowledges after the handler has returned and turns errors into verdicts, see Handler. It waits for the
// stream and the durable to exist and survives their loss. When ctx ends, the batch at work may finish and what is
// held is given back; then it returns nil.
func (b *Bus) Consume(ctx context.Context, s Subscription) error {
	if s.Handler == nil || s.Stream == "" || s.Durable == "" {
		return errs.E(errs.Invalid, "SUBSCRIPTION", "a subscription needs a stream, a durable and a handler", nil)
	}
	if s.MaxEvents <= 0 {
		s.MaxEvents = defaultMaxEvents
	}
	w := &worker{bus: b, sub: s, failures: map[place]int{},
		log: b.log.With(slog.String("stream", s.Stream), slog.String("durable", s.Durable))}
	for try := 0; ctx.Err() == nil; {
		took, err := w.session(ctx)
		if ctx.Err() != nil {
			break
		}
		if took {
			try = 0
		}
		w.log.Debug("consumer is looked for", slog.Any("error", err))
		service.Pause(ctx, backoff(try, 50*time.Millisecond, time.Second))
		try++
	}
	return nil
}

// worker is one Consume call. Its fields belong to the calling goroutine.
type worker struct {
	bus      *Bus
	sub      Subscription
	log      *slog.Logger
	ackWait  time.Duration
	failures map[place]int // see judge
}

// place is an event's in its stream. The time belongs to it: a stream that was rebuilt counts from one again.
type place struct {
	sequence uint64
	stored   int64
}

// session consumes until ctx ends or the consumer is lost; took tells whether it handled anything.
func (w *worker) session(ctx context.Context) (took bool, err error) {
	consumer, err := w.bus.js.Consumer(ctx, w.sub.Stream, w.sub.Durable)
	if err != nil {
		return false, err
	}
	w.ackWait = consumer.CachedInfo().Config.AckWait
	ahead := w.sub.MaxEvents // in the client's buffer, and as many in ours: three batches are the most a process holds
	messages, err := consumer.Messages(jetstream.PullMaxMessages(ahead),
		jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
	if err != nil {
		return false, err
	}
	held := make(chan jetstream.Msg, ahead)
	lost := make(chan error, 1)
	go pump(ctx, messages, held, lost)
	for {
		if err := w.gate(ctx); err != nil {
			break
		}
		batch := w.gather(ctx, held)
		if len(batch) == 0 {
			break
		}
		w.treat(ctx, batch)
		took = true
	}
	messages.Drain()
	for msg := range held { // given back at once: another replica need not wait for AckWait
		_ = msg.Nak()
	}
	return took, <-lost
}

// pump moves messages from the client's buffer into held until the iterator ends, and closes held.
func pump(ctx context.Context, messages jetstream.MessagesContext, held chan<- jetstream.Msg, lost chan<- error) {
	defer close(held)
	stop := context.AfterFunc(ctx, messages.Drain)
	defer stop()
	for {
		msg, err := messages.Next()
		if err != nil {
			messages.Stop()
			lost <- err
			return
		}
		held <- msg
	}
}

// gate waits for the subscription's gate; only the end of ctx is an error.
func (w *worker) gate(ctx context.Context) error {
	for w.sub.Gate != nil {
		err := w.sub.Gate(ctx)
		if err == nil {
			break
		}
		if !service.Pause(ctx, 100*time.Millisecond) {
			break
		}
		w.log.Debug("gate is shut", slog.Any("error", err))
	}
	return ctx.Err()
}

// gather takes the first message when it comes and then what is there already. The server tells with each message how
// many follow: only for those it waits a moment, so batches fill under load and a lone event costs no linger.
func (w *worker) gather(ctx context.Context, held <-chan jetstream.Msg) (batch []*taken) {
	var over <-chan time.Time // never, for the first message
	for len(batch) < w.sub.MaxEvents {
		if n := len(batch); n > 0 && len(held) == 0 && batch[n-1].pending == 0 && w.sub.Linger == 0 {
			return batch
		}
		select {
		case msg, ok := <-held:
			if !ok {
				return batch
			}
			batch = append(batch, take(msg))
		case <-over:
			return batch
		case <-ctx.Done():
			return batch
		}
		if over == nil {
			over = time.After(max(gatherWait, w.sub.Linger))
		}
	}
	return batch
}
