package eventbus

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

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
			signal(b.nudged)
		}
		if !service.Pause(ctx, backoff(try, 50*time.Millisecond, time.Second)) {
			return err
		}
	}
}

func (b *Bus) publishOnce(ctx context.Context, msg *nats.Msg) error {
	if err := b.durable(); err != nil {
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
