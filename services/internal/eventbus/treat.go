package eventbus

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// taken is a message on its way through one batch.
type taken struct {
	msg     jetstream.Msg
	d       Delivery
	pending uint64 // how many the server says follow
	ours    bool   // its subject is of the house
}

func take(msg jetstream.Msg) *taken {
	d, pending, ok := deliveryOf(msg)
	return &taken{msg: msg, d: d, pending: pending, ours: ok}
}

// treat runs the handler on a batch and settles every message of it. The handler may finish after ctx has ended,
// within finishWithin.
func (w *worker) treat(ctx context.Context, batch []*taken) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stopTimer := context.AfterFunc(ctx, func() { time.AfterFunc(finishWithin, cancel) })
	defer stopTimer()
	alive := keepAlive(batch, w.ackWait)
	defer alive()

	var good []*taken
	for _, h := range batch {
		if !inside(h.msg) { // no dead letter: an outsider must not fill our tables
			w.log.Error("event without the mark of the house is dropped", slog.String("subject", h.d.Subject),
				slog.Uint64("sequence", h.d.Sequence))
			_ = h.msg.Term()
			continue
		}
		if h.ours {
			good = append(good, h)
			continue
		}
		w.settle(work, h, errs.E(errs.Invalid, "EVENT_SUBJECT", "the subject is not <event>.<env>.<lane>", nil))
	}
	if len(good) == 0 {
		return
	}
	err := w.handle(work, good)
	if err == nil || len(good) == 1 {
		for _, h := range good {
			w.settle(work, h, err)
		}
		return
	}
	w.log.Warn("batch failed, each event is tried alone", slog.Int("events", len(good)),
		slog.String("error", reasonText(err)))
	for _, h := range good {
		w.settle(work, h, w.handle(work, []*taken{h}))
	}
}

// handle calls the handler under a span that belongs to the carried traces; a panic becomes errs.Internal.
func (w *worker) handle(ctx context.Context, batch []*taken) (err error) {
	deliveries := make([]Delivery, len(batch))
	carried := make([]trace.SpanContext, len(batch))
	for i, h := range batch {
		deliveries[i], carried[i] = h.d, h.d.Span
	}
	ctx, span := startSpan(ctx, "consume "+w.sub.Stream+" "+w.sub.Durable, trace.SpanKindConsumer, carried,
		attribute.String("messaging.system", "nats"), attribute.String("messaging.destination.name", w.sub.Stream),
		attribute.String("messaging.consumer.group.name", w.sub.Durable),
		attribute.Int("messaging.batch.message_count", len(batch)))
	defer span.End()
	defer func() {
		if v := recover(); v != nil {
			err = panicked(w.log, v)
		}
		if err != nil {
			span.SetStatus(codes.Error, kindName(err))
		}
	}()
	return w.sub.Handler(ctx, deliveries)
}

// panicked logs the stack and makes the panic an error.
func panicked(log *slog.Logger, v any) error {
	text := service.PanicText(v)
	log.Error("handler panicked", slog.String("panic", text), slog.String("stack", string(debug.Stack())))
	return errs.E(errs.Internal, "PANIC", "the handler panicked", fmt.Errorf("panic: %s", text))
}

// settle carries out the verdict on one message.
func (w *worker) settle(ctx context.Context, h *taken, err error) {
	if err != nil && ctx.Err() != nil { // stopped in the middle: nobody's fault
		_ = h.msg.Nak()
		return
	}
	at := place{h.d.Sequence, h.d.Time.UnixNano()}
	v := judge(err, h.d.Attempt, w.count(at, err))
	if v.action == actDead {
		v = w.bury(ctx, h, err)
	}
	switch v.action {
	case actAck:
		delete(w.failures, at)
		err = h.msg.Ack()
	case actDead:
		delete(w.failures, at)
		err = h.msg.Term()
	case actRetry:
		w.log.Warn("event is tried again later", slog.String("subject", h.d.Subject), slog.String("event_id", h.d.ID),
			slog.Int("attempt", h.d.Attempt), slog.Duration("delay", v.delay), slog.String("error", reasonText(err)))
		err = h.msg.NakWithDelay(v.delay)
	}
	if err != nil { // the server will deliver again; the inbox knows the parcels
		w.log.Debug("verdict not delivered", slog.Any("error", err))
	}
}

// count remembers how often an event has failed with a kind that should end. The map is bounded: an event settled by
// another replica leaves its count behind here.
func (w *worker) count(at place, err error) int {
	if !counts(err) {
		return w.failures[at]
	}
	if len(w.failures) > 16*maxAckPending {
		clear(w.failures)
	}
	w.failures[at]++
	return w.failures[at]
}

// bury saves the dead letter before the message is terminated; when it cannot be saved, the message stays.
func (w *worker) bury(ctx context.Context, h *taken, reason error) verdict {
	retry := verdict{actRetry, backoff(h.d.Attempt-1, firstRetry, lastRetry)}
	if w.sub.DeadLetters == nil {
		return retry
	}
	err := w.sub.DeadLetters.Save(ctx, DeadLetter{
		ID: letterID(w.sub.Durable, h.d), Durable: w.sub.Durable, Stream: h.d.Stream, Subject: h.d.Subject,
		Sequence: h.d.Sequence, Data: h.d.Data, Headers: h.msg.Headers(), Attempts: h.d.Attempt, Time: h.d.Time,
		Reason: reasonText(fmt.Errorf("%s: %w", kindName(reason), reason)),
	})
	if err != nil {
		w.log.Error("dead letter not saved", slog.String("subject", h.d.Subject), slog.String("event_id", h.d.ID),
			slog.String("error", reasonText(err)))
		return retry
	}
	w.log.Error("event is a dead letter", slog.String("subject", h.d.Subject), slog.String("event_id", h.d.ID),
		slog.Int("attempt", h.d.Attempt), slog.String("error", reasonText(reason)))
	return verdict{action: actDead}
}

// keepAlive tells the server, three times an AckWait, that the batch is at work; the returned function ends it. Extra
// calls for messages already settled are ignored by the client.
func keepAlive(batch []*taken, wait time.Duration) (stop func()) {
	if wait <= 0 {
		wait = ackWait
	}
	var mu sync.Mutex
	stopped := false
	var timer *time.Timer
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(wait/3, func() {
		mu.Lock()
		defer mu.Unlock()
		if stopped {
			return
		}
		for _, h := range batch {
			_ = h.msg.InProgress()
		}
		timer.Reset(wait / 3)
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		timer.Stop()
	}
}
