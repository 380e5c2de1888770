package consumer

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel/trace"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Cleared is the event dispatch works on.
const Cleared = "onlinesms.compliance.v1.MessagesCleared"

// Taker makes parcels durable and queues them; *delivery.Engine does. When Take answers nil, the event may be
// acknowledged.
type Taker interface {
	Take(ctx context.Context, parcels []*delivery.Parcel) error
}

// Handler is the eventbus.Handler of durable `dispatch`.
type Handler struct{ taker Taker }

// NewHandler makes a handler.
func NewHandler(taker Taker) *Handler { return &Handler{taker} }

// Handle takes a batch of MessagesCleared.
func (h *Handler) Handle(ctx context.Context, batch []eventbus.Delivery) error {
	var parcels []*delivery.Parcel
	for i := range batch {
		list, err := parcelsOf(&batch[i])
		if err != nil {
			return err
		}
		parcels = append(parcels, list...)
	}
	return h.taker.Take(ctx, parcels)
}

// parcelsOf reads the shared part of an event's parcels. Environment and lane are the subject's: NATS grants publishing
// by subject, so a parcel cannot claim another one.
func parcelsOf(d *eventbus.Delivery) ([]*delivery.Parcel, error) {
	lane, err := delivery.LaneOf(d.Lane)
	if err != nil || d.Event != Cleared || (d.Env != principal.Live && d.Env != principal.Test) {
		return nil, errs.E(errs.Invalid, "EVENT_UNEXPECTED", "dispatch takes cleared messages only", err)
	}
	views, err := eventbus.Parcels(d.Data)
	if err != nil {
		return nil, err
	}
	parcels := make([]*delivery.Parcel, len(views))
	for i, v := range views {
		parcels[i] = &delivery.Parcel{
			ID: v.ID, Tenant: v.Tenant, Correlation: v.Correlation, Env: d.Env, Lane: lane,
			Trace: traceparent(d.Span), Payload: slices.Clone(v.Payload), // Data ends with the handler
		}
	}
	return parcels, nil
}

// traceparent writes a carried span in W3C form; empty without one.
func traceparent(c trace.SpanContext) string {
	if !c.IsValid() {
		return ""
	}
	return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-" + c.TraceFlags().String()
}
