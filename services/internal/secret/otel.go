package secret

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
)

func init() {
	_, err := otel.Meter("github.com/onlinesms/onlinesms/services/internal/secret").Int64ObservableGauge("onlinesms.secret.stale",
		metric.WithDescription("Secrets whose newest value could not be taken; 0 is healthy."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			stale := make(map[string]int64)
			for f := range problems.Range {
				stale[f.(*follower).name]++
			}
			o.Observe(int64(len(stale)))
			return nil
		}))
	if err != nil {
		panic(err) // the name is a constant
	}
}
