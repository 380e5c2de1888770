package api

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Outcomes a message is counted under.
const (
	outcomeAccepted = "accepted"
	outcomeRefused  = "refused"
	outcomeReplayed = "replayed"
)

// metrics counts what was answered. Attribute sets are made once: making one costs more than all else a send counts.
type metrics struct {
	messages metric.Int64Counter
	options  map[[2]string][]metric.AddOption // by environment and outcome
}

func newMetrics() metrics {
	meter := otel.Meter("github.com/onlinesms/onlinesms/services/ingest/internal/api")
	messages, err := meter.Int64Counter("onlinesms.ingest.messages",
		metric.WithDescription("Messages answered with an id, by environment and outcome"), metric.WithUnit("{message}"))
	if err != nil {
		otel.Handle(err) // the counter counts nothing then
	}
	m := metrics{messages: messages, options: map[[2]string][]metric.AddOption{}}
	for _, env := range []string{principal.Live, principal.Test} {
		for _, outcome := range []string{outcomeAccepted, outcomeRefused, outcomeReplayed} {
			set := attribute.NewSet(attribute.String("env", env), attribute.String("outcome", outcome))
			m.options[[2]string{env, outcome}] = []metric.AddOption{metric.WithAttributeSet(set)}
		}
	}
	return m
}

func (m metrics) accepted(ctx context.Context, env string, answer *message.Answer) {
	refused := 0
	for i := range answer.Receipts {
		if answer.Receipts[i].State == message.StateRefused {
			refused++
		}
	}
	if answer.Replay {
		m.add(ctx, env, outcomeReplayed, len(answer.Receipts))
		return
	}
	m.add(ctx, env, outcomeRefused, refused)
	m.add(ctx, env, outcomeAccepted, len(answer.Receipts)-refused)
}

func (m metrics) add(ctx context.Context, env, outcome string, n int) {
	if n > 0 {
		m.messages.Add(ctx, int64(n), m.options[[2]string{env, outcome}]...)
	}
}
