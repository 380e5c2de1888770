// Package api answers AuditService.
package api

import (
	"context"

	"github.com/google/uuid"

	auditv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/audit/v1"
	"github.com/onlinesms/onlinesms/services/audit/internal/ledger"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// ScopeRead lets a key read its tenant's audit log.
const ScopeRead = "audit:read"

// Store answers queries, within one tenant and environment.
type Store interface {
	List(ctx context.Context, q ledger.Query) ([]ledger.Stored, error)
	Get(ctx context.Context, tenant uuid.UUID, env string, index int64) (ledger.Stored, error)
}

// Server implements auditv1.AuditServiceServer.
type Server struct {
	auditv1.UnimplementedAuditServiceServer
	store Store
}

// NewServer makes a server.
func NewServer(store Store) *Server { return &Server{store: store} }

// ListEvents implements auditv1.AuditServiceServer.
func (s *Server) ListEvents(ctx context.Context, req *auditv1.ListEventsRequest) (*auditv1.ListEventsResponse, error) {
	caller, err := reader(ctx)
	if err != nil {
		return nil, err
	}
	q, err := query(caller, req)
	if err != nil {
		return nil, err
	}
	q.Limit++ // one more tells whether there is another page
	found, err := s.store.List(ctx, q)
	if err != nil {
		return nil, err
	}
	resp := &auditv1.ListEventsResponse{}
	if len(found) == q.Limit {
		found = found[:q.Limit-1]
		resp.NextPageToken = pageToken(found[len(found)-1].Index)
	}
	for i := range found {
		resp.Events = append(resp.Events, event(&found[i]))
	}
	return resp, nil
}

// GetEvent implements auditv1.AuditServiceServer.
func (s *Server) GetEvent(ctx context.Context, req *auditv1.GetEventRequest) (*auditv1.GetEventResponse, error) {
	caller, err := reader(ctx)
	if err != nil {
		return nil, err
	}
	found, err := s.store.Get(ctx, caller.TenantID, caller.Env, req.GetIndex())
	if err != nil {
		return nil, err
	}
	return &auditv1.GetEventResponse{Event: event(&found), Leaf: found.Leaf, Fields: committed(found.Fields)}, nil
}

// reader is the caller, who must be known and allowed to read: the door has checked, this service checks again.
func reader(ctx context.Context) (principal.Principal, error) {
	caller, ok := principal.FromContext(ctx)
	if !ok {
		return caller, errs.E(errs.Unauthenticated, "KEY_MISSING", "the call carries no verified principal", nil)
	}
	if !caller.Has(ScopeRead) {
		return caller, errs.E(errs.Denied, "SCOPE_MISSING", "the key lacks scope "+ScopeRead, nil)
	}
	return caller, nil
}
