// Package consumer turns events of ingest and dispatch into calls of the screener, and opens the content they carry.
package consumer

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// Events that concern compliance; others on the same streams are passed over.
const (
	EventAccepted = "onlinesms.ingest.v1.MessagesAccepted"
	EventReturned = "onlinesms.dispatch.v1.MessagesReturned"
)

// Screener decides what comes in. Each call is one transaction.
type Screener interface {
	Screen(ctx context.Context, parcels []screening.Parcel) error
	Return(ctx context.Context, parcels []screening.Returned) error
}

// Handler treats deliveries of all of these events.
type Handler struct {
	screener Screener
	answers  Answers
}

// New makes a handler.
func New(s Screener, a Answers) *Handler { return &Handler{s, a} }

// Handle screens the accepted parcels of a batch in one transaction, takes back the returned ones in another,
// and notes what operators said of recipients in a third. An
// event that cannot be read is errs.Invalid.
func (h *Handler) Handle(ctx context.Context, batch []eventbus.Delivery) error {
	var accepted []screening.Parcel
	var returned []screening.Returned
	answers := map[uuid.UUID][]screening.Answer{}
	for _, d := range batch {
		var err error
		switch d.Event {
		case EventAccepted:
			accepted, err = appendAccepted(ctx, accepted, d)
		case EventReturned:
			returned, err = appendReturned(ctx, returned, d)
		case EventFailed, EventUndelivered:
			err = appendAnswers(answers, d)
		}
		if err != nil {
			return err
		}
	}
	if len(answers) > 0 {
		if err := h.answers.AddAnswers(ctx, answers); err != nil {
			return err
		}
	}
	if len(accepted) > 0 {
		if err := h.screener.Screen(ctx, accepted); err != nil {
			return err
		}
	}
	if len(returned) > 0 {
		return h.screener.Return(ctx, returned)
	}
	return nil
}

func appendAccepted(ctx context.Context, parcels []screening.Parcel, d eventbus.Delivery) ([]screening.Parcel, error) {
	var event ingestv1.MessagesAccepted
	if err := proto.Unmarshal(d.Data, &event); err != nil {
		return nil, malformed("event", err)
	}
	parent := parentOf(ctx, d)
	for _, p := range event.GetParcels() {
		out := screening.Parcel{Env: d.Env, Lane: d.Lane, Trace: parent, Messages: make([]screening.Message, len(p.GetMessages()))}
		if err := ids(field{&out.ID, p.GetParcelId()}, field{&out.Tenant, p.GetTenantId()}, field{&out.Correlation, p.GetCorrelationId()}); err != nil {
			return nil, err
		}
		for i, m := range p.GetMessages() {
			to := &out.Messages[i]
			if err := ids(field{&to.ID, m.GetMessageId()}); err != nil {
				return nil, err
			}
			if screening.Accepted(to.ID) != out.ID {
				return nil, malformed("message id", fmt.Errorf("message %s is not of parcel %s", to.ID, out.ID))
			}
			to.EntityID, to.Header, to.TemplateID = m.GetEntityId(), m.GetHeader(), m.GetTemplateId()
			to.Content, to.RecipientIndex = m.GetContent(), m.GetRecipientIndex()
			to.Expire, to.Schedule = m.GetExpireTimeUs(), m.GetScheduleTimeUs()
		}
		parcels = append(parcels, out)
	}
	return parcels, nil
}

func appendReturned(ctx context.Context, parcels []screening.Returned, d eventbus.Delivery) ([]screening.Returned, error) {
	var event dispatchv1.MessagesReturned
	if err := proto.Unmarshal(d.Data, &event); err != nil {
		return nil, malformed("event", err)
	}
	parent := parentOf(ctx, d)
	for _, p := range event.GetParcels() {
		out := screening.Returned{Env: d.Env, Lane: d.Lane, Trace: parent, Messages: make([]screening.ReturnedMessage, len(p.GetOutcomes()))}
		if err := ids(field{&out.ID, p.GetParcelId()}, field{&out.Tenant, p.GetTenantId()}, field{&out.Correlation, p.GetCorrelationId()}); err != nil {
			return nil, err
		}
		for i, o := range p.GetOutcomes() {
			to := &out.Messages[i]
			if err := ids(field{&to.ID, o.GetMessageId()}, field{&to.Cleared, o.GetClearedParcelId()}); err != nil {
				return nil, err
			}
			to.Due = o.GetDueTimeUs()
			to.Reason = policy.Reason{Code: o.GetReason().GetCode(), Detail: o.GetReason().GetDetail(), Metadata: o.GetReason().GetMetadata()}
		}
		parcels = append(parcels, out)
	}
	return parcels, nil
}

// field is an id and the bytes it comes in.
type field struct {
	to    *uuid.UUID
	bytes []byte
}

func ids(fields ...field) error {
	for _, f := range fields {
		if len(f.bytes) != len(f.to) {
			return malformed("id", fmt.Errorf("%d bytes", len(f.bytes)))
		}
		copy(f.to[:], f.bytes)
	}
	return nil
}

func malformed(what string, cause error) error {
	return errs.E(errs.Invalid, "EVENT_MALFORMED", "an event's "+what+" cannot be read", cause)
}

// parentOf is the traceparent that outgoing parcels carry: of the span of the batch, else what the delivery carried.
func parentOf(ctx context.Context, d eventbus.Delivery) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		if !d.Span.IsValid() {
			return ""
		}
		ctx = trace.ContextWithRemoteSpanContext(ctx, d.Span)
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}
