package api

import (
	"context"
	"time"

	"github.com/google/uuid"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Canceller withdraws messages of the principal in ctx.
type Canceller interface {
	// Cancel withdraws a message; once it answers nil, that one will not be sent. errs.Exists
	// (MESSAGE_NOT_CANCELLABLE) when it is too late.
	Cancel(ctx context.Context, id uuid.UUID, lane string) error
	// CancelScheduled withdraws messages that wait for their schedule; more may be left.
	CancelScheduled(ctx context.Context, q message.Scheduled) (cancelled int, more bool, err error)
}

// CancelMessage withdraws a message for which no submit has been intended.
func (s *MessageServer) CancelMessage(ctx context.Context, req *ingestv1.CancelMessageRequest) (*ingestv1.CancelMessageResponse, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return nil, errNoPrincipal
	}
	id, err := parseID(req.GetMessageId())
	if err != nil {
		return nil, err
	}
	d, err := s.messages.Get(ctx, p.TenantID, p.Env, id)
	if err != nil {
		return nil, err
	}
	switch state := d.Standing.State; state {
	case message.StateAccepted, message.StateHeld, message.StateQueued:
		err = s.canceller.Cancel(ctx, id, d.Lane)
	case message.StateCancelled:
	default:
		err = errs.E(errs.Exists, "MESSAGE_NOT_CANCELLABLE", "the message is "+typev1.MessageState(state).String()+" and cannot be withdrawn any more", nil)
	}
	if err != nil {
		return nil, err
	}
	return &ingestv1.CancelMessageResponse{MessageId: id.String(), State: typev1.MessageState_CANCELLED}, nil
}

// CancelScheduled withdraws messages that wait for their schedule.
func (s *MessageServer) CancelScheduled(ctx context.Context, req *ingestv1.CancelScheduledRequest) (*ingestv1.CancelScheduledResponse, error) {
	var found []errs.Violation
	q := message.Scheduled{
		Header: req.GetHeader(), TemplateID: req.GetTemplateId(),
		Start: timeOr(req.GetStartTime(), time.Time{}, "start_time", &found),
		End:   timeOr(req.GetEndTime(), time.Time{}, "end_time", &found),
	}
	if !q.End.IsZero() && !q.Start.Before(q.End) {
		found = append(found, errs.Violation{Field: "start_time", Reason: "OUT_OF_RANGE", Detail: "must be before end_time"})
	}
	if len(found) > 0 {
		return nil, malformed(found...)
	}
	n, more, err := s.canceller.CancelScheduled(ctx, q)
	if err != nil {
		return nil, err
	}
	return &ingestv1.CancelScheduledResponse{CancelledCount: int32(n), More: more}, nil
}
