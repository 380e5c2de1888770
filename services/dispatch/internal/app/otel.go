package app

import (
	"context"
	"errors"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// observe registers the engine's counters as metrics.
func (d *dispatch) observe() error {
	meter := otel.Meter("github.com/onlinesms/onlinesms/services/dispatch")
	s := d.engine.Stats()
	messages, err := meter.Int64ObservableCounter("dispatch.messages", metric.WithDescription("Messages by what became of them at submit."))
	if err != nil {
		return err
	}
	deliveries, err := meter.Int64ObservableCounter("dispatch.deliver_sm", metric.WithDescription("deliver_sm by sort; inbound ones are answered and dropped."))
	if err != nil {
		return err
	}
	slowed, err := meter.Int64ObservableCounter("dispatch.throttled", metric.WithDescription("Batches of answers in which the operator asked for less."))
	if err != nil {
		return err
	}
	outcomes := map[string]*atomic.Int64{
		"taken": &s.Taken, "intended": &s.Intended, "submitted": &s.Submitted, "failed": &s.Failed, "unknown": &s.Unknown,
		"returned": &s.Returned, "expired": &s.Expired, "released": &s.Released,
	}
	sorts := map[string]*atomic.Int64{"receipt": &s.Receipts, "inbound": &s.Inbound, "unreadable": &s.Unreadable}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for name, n := range outcomes {
			o.ObserveInt64(messages, n.Load(), metric.WithAttributes(attribute.String("outcome", name)))
		}
		for name, n := range sorts {
			o.ObserveInt64(deliveries, n.Load(), metric.WithAttributes(attribute.String("sort", name)))
		}
		o.ObserveInt64(slowed, s.Throttled.Load())
		return nil
	}, messages, deliveries, slowed)
	return errors.Join(err, d.webhooks.observe())
}
