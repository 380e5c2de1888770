package api

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
)

// metrics counts what was answered.
type metrics struct{ messages metric.Int64Counter }

func newMetrics() metrics {
	meter := otel.Meter("github.com/onlinesms/onlinesms/services/ingest/internal/api")
	messages, err := meter.Int64Counter("onlinesms.ingest.messages",
		metric.WithDescription("Messages answered with an id, by environment and outcome"), metric.WithUnit("{message}"))
	if err != nil {
		otel.Handle(err) // the counter counts nothing then
	}
	return metrics{messages: messages}
}

func (m metrics) accepted(ctx context.Context, env string, answer *message.Answer) {
	counts := map[string]int64{}
	for i := range answer.Receipts {
		switch {
		case answer.Replay:
			counts["replayed"]++
		case answer.Receipts[i].State == message.StateRefused:
			counts["refused"]++
		default:
			counts["accepted"]++
		}
	}
	for outcome, n := range counts {
		m.messages.Add(ctx, n, metric.WithAttributes(attribute.String("env", env), attribute.String("outcome", outcome)))
	}
}
