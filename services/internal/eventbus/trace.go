package eventbus

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

const traceHeader = "traceparent" // W3C Trace Context

// tracer is looked up at each use, so that a provider installed after start is seen.
func tracer() trace.Tracer {
	return otel.Tracer("github.com/onlinesms/onlinesms/services/internal/eventbus")
}

// spanContext reads a W3C traceparent (`00-<32 hex>-<16 hex>-<2 hex>`); invalid for anything else.
func spanContext(traceparent string) trace.SpanContext {
	if len(traceparent) != 55 || traceparent[:3] != "00-" || traceparent[35] != '-' || traceparent[52] != '-' {
		return trace.SpanContext{}
	}
	id, err := trace.TraceIDFromHex(traceparent[3:35])
	if err != nil {
		return trace.SpanContext{}
	}
	span, err := trace.SpanIDFromHex(traceparent[36:52])
	if err != nil {
		return trace.SpanContext{}
	}
	var flags trace.TraceFlags
	if c := traceparent[54]; traceparent[53] == '0' && (c == '1' || c == '3') {
		flags = trace.FlagsSampled
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: span, TraceFlags: flags, Remote: true})
}

// traceparent writes c in W3C form; empty when c is invalid.
func traceparent(c trace.SpanContext) string {
	if !c.IsValid() {
		return ""
	}
	return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-" + c.TraceFlags().String()
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
		case !linked(links, c) && !c.Equal(parent):
			links = append(links, trace.Link{SpanContext: c})
		}
	}
	if !parent.IsValid() {
		return ctx, trace.SpanFromContext(context.Background()) // a span that does nothing
	}
	return tracer().Start(trace.ContextWithRemoteSpanContext(ctx, parent), name,
		trace.WithSpanKind(kind), trace.WithLinks(links...), trace.WithAttributes(attributes...))
}

func linked(links []trace.Link, c trace.SpanContext) bool {
	for _, l := range links {
		if l.SpanContext.Equal(c) {
			return true
		}
	}
	return false
}
