package api

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Reconciliations counts the messages of a tenant's day.
type Reconciliations interface {
	Reconciliation(ctx context.Context, tenant uuid.UUID, env string, day time.Time) (message.Reconciliation, error)
}

// ReconciliationServer is onlinesms.ingest.v1.ReconciliationService.
type ReconciliationServer struct {
	ingestv1.UnimplementedReconciliationServiceServer
	counts Reconciliations
	now    func() time.Time
}

// NewReconciliationServer makes it.
func NewReconciliationServer(counts Reconciliations, now func() time.Time) *ReconciliationServer {
	return &ReconciliationServer{counts: counts, now: now}
}

// GetReconciliation implements ReconciliationService.
func (s *ReconciliationServer) GetReconciliation(ctx context.Context, req *ingestv1.GetReconciliationRequest) (*ingestv1.GetReconciliationResponse, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return nil, errs.E(errs.Unauthenticated, "KEY_MISSING", "This call needs an API key.", nil)
	}
	now := s.now().UTC()
	day := now.Truncate(24 * time.Hour)
	if text := req.GetDay(); text != "" {
		var err error
		if day, err = time.Parse(time.DateOnly, text); err != nil {
			return nil, malformed(errs.Violation{Field: "day", Reason: "FORMAT", Detail: "a day as YYYY-MM-DD"})
		}
		if day.After(now) {
			return nil, malformed(errs.Violation{Field: "day", Reason: "OUT_OF_RANGE", Detail: "not in the future"})
		}
	}
	r, err := s.counts.Reconciliation(ctx, p.TenantID, p.Env, day)
	if err != nil {
		return nil, err
	}
	resp := &ingestv1.GetReconciliationResponse{
		Day: day.Format(time.DateOnly), CountTime: timestamppb.New(now), AcceptedCount: r.Accepted, GapCount: r.Gap(), StalledCount: r.Stalled,
	}
	for state, n := range r.States {
		resp.States = append(resp.States, &ingestv1.StateCount{State: typev1.MessageState(state), Count: n})
	}
	slices.SortFunc(resp.States, func(a, b *ingestv1.StateCount) int { return int(a.State - b.State) })
	return resp, nil
}
