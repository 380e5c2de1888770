package eventbus_test

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/eventbus/eventbustest"
)

const (
	firstTrace  = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	secondTrace = "00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01"
	unsampled   = "00-2af7651916cd43dd8448eb211c80319c-d7ad6b7169203331-00"
)

// A sampled trace goes through producer and consumer; the others of the event are linked; an unsampled one costs no span.
func TestTraceGoesThrough(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(provider)
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	b := bus(t, eventbustest.Run(t))
	p := b.NewPublisher("ingest", nil)
	inside := make(chan trace.SpanContext, 10)
	run(t, func(ctx context.Context) error {
		return b.Consume(ctx, eventbus.Subscription{Stream: "INGEST_OTP", Durable: "work",
			Handler: func(ctx context.Context, batch []eventbus.Delivery) error {
				if got := trace.SpanContextFromContext(ctx); got.IsValid() {
					inside <- got
				} else {
					inside <- batch[0].Span
				}
				return nil
			}})
	})
	event := func(traces ...string) trace.SpanContext {
		t.Helper()
		for _, parent := range traces { // gathered before Run starts: one event
			one := parcel(t, otpSubject, 1, 10)
			one.Trace = parent
			p.Publish(one)
		}
		stop := run(t, p.Run)
		defer stop()
		return <-inside
	}
	got := event(firstTrace, unsampled, secondTrace, firstTrace)
	if got.TraceID().String() != firstTrace[3:35] || !got.IsSampled() {
		t.Errorf("the handler runs in %v", got)
	}
	eventually(t, "both spans", func() bool { return len(spans.GetSpans()) == 2 })
	producer, consumer := spans.GetSpans()[0], spans.GetSpans()[1]
	if producer.SpanKind != trace.SpanKindProducer {
		producer, consumer = consumer, producer
	}
	if producer.Parent.SpanID().String() != firstTrace[36:52] || len(producer.Links) != 1 ||
		producer.Links[0].SpanContext.TraceID().String() != secondTrace[3:35] {
		t.Errorf("producer: parent %v, links %v", producer.Parent, producer.Links)
	}
	if consumer.Parent.SpanID() != producer.SpanContext.SpanID() {
		t.Errorf("consumer: parent %v, producer %v", consumer.Parent, producer.SpanContext)
	}
	spans.Reset()
	if got := event(unsampled); got.TraceID().String() != unsampled[3:35] || got.IsSampled() {
		t.Errorf("unsampled: carried %v", got)
	}
	if n := len(spans.GetSpans()); n != 0 {
		t.Errorf("%d spans for an unsampled trace", n)
	}
}
