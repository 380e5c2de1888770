package door

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc/codes"
)

// metrics counts what did not get in and times what did.
type metrics struct {
	refused, plaintext, forwarded, exposed metric.Int64Counter
	duration                               metric.Float64Histogram
	outcomes                               *sync.Map // outcome -> []metric.RecordOption: making one costs more than the rest
}

// outcome of a call.
type outcome struct {
	method string
	code   codes.Code
}

func newMetrics() metrics {
	meter := otel.Meter("github.com/onlinesms/onlinesms/services/ingest/internal/door")
	counter := func(name, description string) metric.Int64Counter {
		c, err := meter.Int64Counter(name, metric.WithDescription(description))
		if err != nil {
			otel.Handle(err) // the counter counts nothing then
		}
		return c
	}
	duration, err := meter.Float64Histogram("onlinesms.ingest.call.duration", metric.WithUnit("s"),
		metric.WithDescription("Time of unary calls at the door, by method and gRPC code"),
		metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30))
	if err != nil {
		otel.Handle(err)
	}
	return metrics{
		duration: duration, outcomes: &sync.Map{},
		refused:   counter("onlinesms.ingest.refused_calls", "Calls refused at the door, by reason"),
		plaintext: counter("onlinesms.ingest.plaintext_attempts", "Plain HTTP sent to the HTTPS port"),
		exposed:   counter("onlinesms.ingest.exposed_keys", "API keys revoked because they were sent in clear"),
		forwarded: counter("onlinesms.ingest.ignored_forwarded_headers", "Calls with a forwarded address that is not believed"),
	}
}

func (m metrics) refuse(ctx context.Context, reason string) {
	m.refused.Add(ctx, 1, metric.WithAttributes(attribute.String("reason", reason)))
}

// took notes the end of a unary call.
func (m metrics) took(ctx context.Context, method string, code codes.Code, time time.Duration) {
	m.duration.Record(ctx, time.Seconds(), m.of(outcome{method, code})...)
}

func (m metrics) of(o outcome) []metric.RecordOption {
	if known, ok := m.outcomes.Load(o); ok {
		return known.([]metric.RecordOption)
	}
	set := attribute.NewSet(attribute.String("method", o.method), attribute.String("code", o.code.String()))
	made := []metric.RecordOption{metric.WithAttributeSet(set)}
	m.outcomes.Store(o, made)
	return made
}
