// Package api is onlinesms.dispatch.v1.DispatchService, InboundService: what is asked of deliveries and of what
// handsets send.
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

// Doubts gives messages in doubt back.
type Doubts interface {
	// Resend gives a message in doubt back to compliance, to be decided and sent once more. errs.Exists when it is not in
	// doubt (MESSAGE_NOT_IN_DOUBT) or its answer may still come (RESEND_TOO_EARLY).
	Resend(ctx context.Context, tenant uuid.UUID, env string, message uuid.UUID) error
}

// Server is the service.
type Server struct {
	dispatchv1.UnimplementedDispatchServiceServer

	cancellations Cancellations
	doubts        Doubts
}

// NewServer makes it.
func NewServer(c Cancellations, d Doubts) *Server { return &Server{cancellations: c, doubts: d} }

// ResendUnknown implements DispatchService; only ingest may ask, which has looked the message up.
func (s *Server) ResendUnknown(ctx context.Context, req *dispatchv1.ResendUnknownRequest) (*dispatchv1.ResendUnknownResponse, error) {
	p, err := allowed(ctx, "messages:send")
	if err != nil {
		return nil, err
	}
	message, err := uuid.Parse(req.GetMessageId())
	if err != nil {
		return nil, invalid("message_id", "not a UUID")
	}
	return &dispatchv1.ResendUnknownResponse{}, s.doubts.Resend(ctx, p.TenantID, p.Env, message)
}

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

// defaultPage is how many entries a page has when its caller does not say.
const defaultPage = 50

// allowed is the caller, who must hold scope: the door has checked, this service checks again.
func allowed(ctx context.Context, scope string) (principal.Principal, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return p, errs.E(errs.Unauthenticated, "KEY_MISSING", "This call needs an API key.", nil)
	}
	if !p.Has(scope) {
		return p, errs.E(errs.Denied, "SCOPE_MISSING", "The key lacks the scope "+scope+".", nil)
	}
	return p, nil
}
