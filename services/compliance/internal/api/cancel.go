package api

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Cancellations withdraws messages.
type Cancellations interface {
	// Cancel withdraws a message of a tenant that is not cleared yet; once it answers, that one is never cleared.
	Cancel(ctx context.Context, tenant uuid.UUID, env, lane string, message uuid.UUID, now time.Time) (screening.Withdrawal, error)
	// CancelScheduled withdraws waiting messages, the earliest first, about 10,000 at the most; more may be left. After an
	// error some may have been.
	CancelScheduled(ctx context.Context, q screening.Scheduled, now time.Time) (cancelled int, more bool, err error)
}

// laneNames are the lanes of messages as subjects name them.
var laneNames = map[typev1.Lane]bool{typev1.Lane_OTP: true, typev1.Lane_INTERACTIVE: true, typev1.Lane_BULK: true}

// CancelMessage implements ComplianceService; only ingest may ask, which has looked the message up.
func (s *Server) CancelMessage(ctx context.Context, req *compliancev1.CancelMessageRequest) (*compliancev1.CancelMessageResponse, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return nil, errNoPrincipal
	}
	message, err := uuid.Parse(req.GetMessageId())
	if err != nil {
		return nil, invalid("message_id", "not a UUID")
	}
	if !laneNames[req.GetLane()] {
		return nil, invalid("lane", "not a lane of messages")
	}
	w, err := s.cancellations.Cancel(ctx, p.TenantID, p.Env, strings.ToLower(req.GetLane().String()), message, s.now())
	if err != nil {
		return nil, err
	}
	if w.Cancelled {
		return &compliancev1.CancelMessageResponse{Outcome: outcomeCancelled}, nil
	}
	resp := &compliancev1.CancelMessageResponse{Outcome: w.Latest.Outcome.String()}
	if w.Latest.Outcome == policy.Cleared && w.Latest.Parcel != uuid.Nil {
		resp.ClearedParcelId, resp.Round = w.Latest.Parcel[:], w.Latest.Round
	}
	return resp, nil
}

// outcomeCancelled stands beside the outcomes of decisions.
const outcomeCancelled = "CANCELLED"

// CancelScheduled implements ComplianceService; only ingest may ask.
func (s *Server) CancelScheduled(ctx context.Context, req *compliancev1.CancelScheduledRequest) (*compliancev1.CancelScheduledResponse, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return nil, errNoPrincipal
	}
	q := screening.Scheduled{Tenant: p.TenantID, Env: p.Env, Header: req.GetHeader(), TemplateID: req.GetTemplateId()}
	if t := req.GetStartTime(); t != nil {
		q.Start = t.AsTime()
	}
	if t := req.GetEndTime(); t != nil {
		q.End = t.AsTime()
	}
	n, more, err := s.cancellations.CancelScheduled(ctx, q, s.now())
	if err != nil {
		return nil, err
	}
	return &compliancev1.CancelScheduledResponse{CancelledCount: int32(n), More: more}, nil
}

var errNoPrincipal = errs.E(errs.Unauthenticated, "KEY_MISSING", "This call needs an API key.", nil)
