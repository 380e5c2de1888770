package eventbus

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const traceHeader = "traceparent" // W3C Trace Context

// tracer is looked up at each use, so that a provider installed after start is seen.
func tracer() trace.Tracer {
	return otel.Tracer("github.com/onlinesms/onlinesms/services/internal/eventbus")
}

// spanContext reads a W3C traceparent; invalid for anything else.
func spanContext(traceparent string) trace.SpanContext {
	if traceparent == "" {
		return trace.SpanContext{}
	}
	carrier := propagation.MapCarrier{traceHeader: traceparent}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}

// traceparent writes c in W3C form; empty when c is invalid.
func traceparent(c trace.SpanContext) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), c), carrier)
	return carrier[traceHeader]
}

// startSpan opens a span for work that several traces share: the child of the first sampled context, with links to
// the other sampled ones. Without a sampled context it costs nothing: sampling is per event, not per message.
func startSpan(ctx context.Context, name string, kind trace.SpanKind, carried []trace.SpanContext,
	attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	var parent trace.SpanContext
	var links []trace.Link
	for _, c := range carried {
		switch {
		case !c.IsSampled():
		case !parent.IsValid():
			parent = c
		case !c.Equal(parent) && !slices.ContainsFunc(links, func(l trace.Link) bool { return l.SpanContext.Equal(c) }):
			links = append(links, trace.Link{SpanContext: c})
		}
	}
	if !parent.IsValid() {
		return ctx, trace.SpanFromContext(context.Background()) // a span that does nothing
	}
	return tracer().Start(trace.ContextWithRemoteSpanContext(ctx, parent), name,
		trace.WithSpanKind(kind), trace.WithLinks(links...), trace.WithAttributes(attributes...))
}
