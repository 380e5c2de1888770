package door

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// metrics counts what did not get in.
type metrics struct{ refused, plaintext, forwarded metric.Int64Counter }

func newMetrics() metrics {
	meter := otel.Meter("github.com/onlinesms/onlinesms/services/ingest/internal/door")
	counter := func(name, description string) metric.Int64Counter {
		c, err := meter.Int64Counter(name, metric.WithDescription(description))
		if err != nil {
			otel.Handle(err) // the counter counts nothing then
		}
		return c
	}
	return metrics{
		refused:   counter("onlinesms.ingest.refused_calls", "Calls refused at the door, by reason"),
		plaintext: counter("onlinesms.ingest.plaintext_attempts", "Plain HTTP sent to the HTTPS port"),
		forwarded: counter("onlinesms.ingest.ignored_forwarded_headers", "Calls with a forwarded address that is not believed"),
	}
}

func (m metrics) refuse(ctx context.Context, reason string) {
	m.refused.Add(ctx, 1, metric.WithAttributes(attribute.String("reason", reason)))
}
