package postgres

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

var decided, _ = otel.Meter("github.com/onlinesms/onlinesms/services/compliance").Int64Counter("onlinesms.compliance.decisions",
	metric.WithDescription("Messages decided, by outcome and environment."), metric.WithUnit("{message}"))

// sets are the attribute sets of the counter, made once.
var sets = map[string][3]metric.MeasurementOption{"live": setsOf("live"), "test": setsOf("test")}

func setsOf(env string) (s [3]metric.MeasurementOption) {
	for outcome := range s {
		s[outcome] = metric.WithAttributeSet(attribute.NewSet(attribute.String("env", env),
			attribute.String("outcome", strings.ToLower(policy.Outcome(outcome).String()))))
	}
	return s
}

// count notes the outcomes of a committed record.
func count(ctx context.Context, r record) {
	for outcome, n := range r.outcomes {
		if n > 0 {
			decided.Add(ctx, int64(n), sets[r.decision.env][outcome])
		}
	}
}
