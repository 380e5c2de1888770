package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"
)

// redacted stands in the log for the value of an attribute whose key nobody has allowed.
const redacted = "[redacted]"

// allowed is the set of attribute keys whose values may be logged. A deny-list would have to know every place a number
// or text can come from; this one only has to know what we want to read.
var allowed atomic.Pointer[map[string]bool]

func init() {
	allowed.Store(&map[string]bool{})
	AllowLogKeys(slog.TimeKey, slog.LevelKey, slog.MessageKey, slog.SourceKey,
		"service", "trace_id", "span_id", "error", "kind", "reason", "panic", "stack",
		"command", "settings", "signal", "task", "addr", "version", "file", "name", "state", "status",
		"method", "code", "caller", "peer", "duration", "elapsed", "delay", "attempt", "limit", "count", "rows", "bytes",
		"lag", "oldest", "tenant_id", "message_id", "parcel_id", "event_id", "correlation_id", "causation_id", "key_id",
		"env", "lane", "event", "subject", "stream", "durable", "consumer", "sequence",
		"database", "role", "table", "partition", "day", "migration", "source", "sqlstate",
		"route", "bind", "operator", "system_id", "window")
}

// AllowLogKeys adds attribute keys whose values may be logged; call it from init. Never allow a key that can hold a
// message's text or variables, a phone number, an OTP or a credential.
func AllowLogKeys(keys ...string) {
	for {
		old := allowed.Load()
		next := maps.Clone(*old)
		for _, key := range keys {
			next[key] = true
		}
		if allowed.CompareAndSwap(old, &next) {
			return
		}
	}
}

// newLogger logs JSON lines to out from level on; an empty level is info.
func newLogger(out io.Writer, service, level string) (*slog.Logger, error) {
	var from slog.Level
	if level != "" {
		if err := from.UnmarshalText([]byte(level)); err != nil {
			return nil, fmt.Errorf("LOG_LEVEL %q: want debug, info, warn or error", level)
		}
	}
	handler := slog.NewJSONHandler(out, &slog.HandlerOptions{Level: from, ReplaceAttr: redact})
	return slog.New(spanHandler{handler}).With(slog.String("service", service)), nil
}

func redact(_ []string, a slog.Attr) slog.Attr {
	if !(*allowed.Load())[a.Key] {
		a.Value = slog.StringValue(redacted)
	}
	return a
}

// spanHandler adds the ids of the current span to each record.
type spanHandler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h spanHandler) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h spanHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return spanHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h spanHandler) WithGroup(name string) slog.Handler {
	return spanHandler{h.Handler.WithGroup(name)}
}
