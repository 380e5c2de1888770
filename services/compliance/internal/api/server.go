// Package api is compliance's gRPC services. ComplianceService: why a message was decided as it was, what category a
// template has, and the withdrawal of messages that are not cleared yet. RegistryService: what is registered. ScrubService:
// messages tried without being sent, decisions explained, made again and simulated.
package api

import (
	"context"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Decisions answers the decisions on a message of a tenant, the latest first; errs.NotFound when there is none.
type Decisions interface {
	Decisions(ctx context.Context, tenant uuid.UUID, env string, message uuid.UUID) ([]screening.Recorded, error)
}

// Registry answers what is registered for a tenant.
type Registry interface {
	Snapshot(tenant uuid.UUID) *registry.Snapshot
	Ready() error
}

// Server is the service.
type Server struct {
	compliancev1.UnimplementedComplianceServiceServer

	decisions     Decisions
	registry      Registry
	cancellations Cancellations
	now           func() time.Time
}

// NewServer makes it.
func NewServer(d Decisions, r Registry, c Cancellations, now func() time.Time) *Server {
	return &Server{decisions: d, registry: r, cancellations: c, now: now}
}

// GetDecision implements ComplianceService. A message of another tenant or environment is NOT_FOUND.
func (s *Server) GetDecision(ctx context.Context, req *compliancev1.GetDecisionRequest) (*compliancev1.GetDecisionResponse, error) {
	p, err := caller(ctx, scopeRead)
	if err != nil {
		return nil, err
	}
	message, err := uuid.Parse(req.GetMessageId())
	if err != nil {
		return nil, invalid("message_id", "not a UUID")
	}
	decided, err := s.decisions.Decisions(ctx, p.TenantID, p.Env, message)
	if err != nil {
		return nil, err
	}
	resp := &compliancev1.GetDecisionResponse{}
	for _, d := range decided {
		resp.Decisions = append(resp.Decisions, encode(message, d.Decided))
	}
	return resp, nil
}

// GetTemplateCategory implements ComplianceService; only ingest may ask.
func (s *Server) GetTemplateCategory(_ context.Context, req *compliancev1.GetTemplateCategoryRequest) (*compliancev1.GetTemplateCategoryResponse, error) {
	tenant, err := uuid.Parse(req.GetTenantId())
	if err != nil {
		return nil, invalid("tenant_id", "not a UUID")
	}
	if err := s.registry.Ready(); err != nil {
		return nil, errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "The registry is being loaded; try again.", err)
	}
	resp := &compliancev1.GetTemplateCategoryResponse{}
	if t := s.registry.Snapshot(tenant).Template(req.GetTemplateId()); t != nil {
		resp.Category = typev1.Category(t.Category)
	}
	return resp, nil
}

func encode(message uuid.UUID, d screening.Decided) *compliancev1.Decision {
	out := &compliancev1.Decision{MessageId: message.String(), Outcome: d.Outcome.String(), RulePack: d.Pack,
		DecideTime: timestamppb.New(d.At), Round: d.Round, Category: typev1.Category(d.Category)}
	for _, r := range d.Reasons {
		out.Reasons = append(out.Reasons, &typev1.Reason{Code: r.Code, Detail: r.Detail, Metadata: r.Metadata})
	}
	for _, r := range d.Findings {
		out.Findings = append(out.Findings, &typev1.Reason{Code: r.Code, Detail: r.Detail, Metadata: r.Metadata})
	}
	if d.Run != uuid.Nil {
		out.ScrubRunId = d.Run.String()
	}
	if !d.Due.IsZero() {
		out.DueTime = timestamppb.New(d.Due)
	}
	return out
}
