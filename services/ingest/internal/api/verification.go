package api

import (
	"context"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/ingest/internal/verification"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// VerificationServer is onlinesms.ingest.v1.VerificationService.
type VerificationServer struct {
	ingestv1.UnimplementedVerificationServiceServer
	sessions *verification.Service
}

// NewVerificationServer joins the service to its room.
func NewVerificationServer(sessions *verification.Service) *VerificationServer {
	return &VerificationServer{sessions: sessions}
}

// Start makes a session and sends its code, or sends the next code of the session that is open.
func (s *VerificationServer) Start(ctx context.Context, req *ingestv1.VerificationServiceStartRequest) (*ingestv1.VerificationServiceStartResponse, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return nil, errNoPrincipal
	}
	r := verification.Request{
		Tenant: p.TenantID, Env: p.Env, To: req.GetTo(), EntityID: req.GetEntityId(), Header: req.GetHeader(),
		TemplateID: req.GetTemplateId(), Purpose: req.GetPurpose(), CodeLength: int(req.GetCodeLength()),
		Address: req.GetClientAddress(), Caller: caller.From(ctx).Address, Trace: traceparent(ctx),
	}
	for _, v := range req.GetVariables() {
		r.Variables = append(r.Variables, message.Variable{Name: v.GetName(), Value: v.GetValue()})
	}
	if d := req.GetValidityPeriod(); d != nil {
		validity := d.AsDuration() // saturates, so that what is out of range stays so
		r.Validity = &validity
	}
	view, err := s.sessions.Start(ctx, r)
	if err != nil {
		return nil, err
	}
	concerns(ctx, view.ID)
	return &ingestv1.VerificationServiceStartResponse{Verification: toVerification(&view)}, nil
}

// Check compares a code.
func (s *VerificationServer) Check(ctx context.Context, req *ingestv1.VerificationServiceCheckRequest) (*ingestv1.VerificationServiceCheckResponse, error) {
	at, err := verificationAt(ctx, req.GetVerificationId())
	if err != nil {
		return nil, err
	}
	view, valid, err := s.sessions.Check(ctx, at, req.GetCode(), req.GetPurpose())
	if err != nil {
		return nil, err
	}
	return &ingestv1.VerificationServiceCheckResponse{Valid: valid, Verification: toVerification(&view)}, nil
}

// Cancel ends a session.
func (s *VerificationServer) Cancel(ctx context.Context, req *ingestv1.VerificationServiceCancelRequest) (*ingestv1.VerificationServiceCancelResponse, error) {
	at, err := verificationAt(ctx, req.GetVerificationId())
	if err != nil {
		return nil, err
	}
	view, err := s.sessions.Cancel(ctx, at)
	if err != nil {
		return nil, err
	}
	return &ingestv1.VerificationServiceCancelResponse{Verification: toVerification(&view)}, nil
}

// Get answers a session.
func (s *VerificationServer) Get(ctx context.Context, req *ingestv1.VerificationServiceGetRequest) (*ingestv1.VerificationServiceGetResponse, error) {
	at, err := verificationAt(ctx, req.GetVerificationId())
	if err != nil {
		return nil, err
	}
	view, err := s.sessions.Get(ctx, at)
	if err != nil {
		return nil, err
	}
	return &ingestv1.VerificationServiceGetResponse{Verification: toVerification(&view)}, nil
}

// verificationAt is the place of a session of the caller's tenant and environment. What cannot be an id names nothing.
func verificationAt(ctx context.Context, text string) (message.Place, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return message.Place{}, errNoPrincipal
	}
	id, err := uuid.Parse(text)
	if err != nil || len(text) != 36 {
		return message.Place{}, invalid("verification_id", "FORMAT", "must be a UUID as Start answers it")
	}
	concerns(ctx, id)
	return message.Place{Env: p.Env, Tenant: p.TenantID, ID: id}, nil
}

// concerns names the session in the call's audit record: nothing else of the call stands there.
func concerns(ctx context.Context, id uuid.UUID) {
	if call := record.From(ctx); call != nil {
		call.Resource = "verification/" + id.String()
	}
}

// toVerification is a session without anything of its code.
func toVerification(v *verification.View) *ingestv1.Verification {
	to := &ingestv1.Verification{
		VerificationId: v.ID.String(), Status: v.Status, To: v.To, Purpose: v.Purpose,
		CreateTime: timestamppb.New(v.Create), ExpireTime: timestamppb.New(v.Expire),
		ChecksLeft: int32(verification.MaxChecks - v.Checks), Sends: int32(v.Sends),
	}
	if v.Message != uuid.Nil {
		to.MessageId = v.Message.String()
	}
	return to
}
