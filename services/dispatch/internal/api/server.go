// Package api is onlinesms.dispatch.v1.DispatchService: what other services ask of deliveries.
package api

import (
	"context"
	"strings"

	"github.com/google/uuid"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Cancellations withdraws messages.
type Cancellations interface {
	// Cancel withdraws a message for which no intent has been written; once it answers, none will be. errs.Exists
	// (MESSAGE_NOT_CANCELLABLE) when it is too late.
	Cancel(ctx context.Context, c delivery.Cancellation) error
}

// Server is the service.
type Server struct {
	dispatchv1.UnimplementedDispatchServiceServer

	cancellations Cancellations
}

// NewServer makes it.
func NewServer(c Cancellations) *Server { return &Server{cancellations: c} }

// CancelMessage implements DispatchService; only ingest may ask, which has looked the message up.
func (s *Server) CancelMessage(ctx context.Context, req *dispatchv1.CancelMessageRequest) (*dispatchv1.CancelMessageResponse, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return nil, errs.E(errs.Unauthenticated, "KEY_MISSING", "This call needs an API key.", nil)
	}
	message, err := uuid.Parse(req.GetMessageId())
	if err != nil {
		return nil, invalid("message_id", "not a UUID")
	}
	parcel, err := uuid.FromBytes(req.GetClearedParcelId())
	if err != nil {
		return nil, invalid("cleared_parcel_id", "not 16 bytes")
	}
	lane, err := delivery.LaneOf(strings.ToLower(req.GetLane().String()))
	if err != nil {
		return nil, invalid("lane", "not a lane of messages")
	}
	return &dispatchv1.CancelMessageResponse{}, s.cancellations.Cancel(ctx, delivery.Cancellation{
		Message: message, Parcel: parcel, Tenant: p.TenantID, Correlation: parcel, Env: p.Env, Lane: lane, Round: req.GetRound(),
	})
}

func invalid(field, detail string) error {
	e := errs.E(errs.Invalid, "REQUEST_INVALID", "The request is not valid.", nil)
	e.Violations = []errs.Violation{{Field: field, Reason: "REQUEST_INVALID", Detail: detail}}
	return e
}
