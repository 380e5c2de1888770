package api

import (
	"context"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// TenantServer is onlinesms.ingest.v1.TenantService.
type TenantServer struct {
	ingestv1.UnimplementedTenantServiceServer
	tenants *tenant.Administration
}

// NewTenantServer joins the service to its room.
func NewTenantServer(tenants *tenant.Administration) *TenantServer {
	return &TenantServer{tenants: tenants}
}

// GetTenant answers the caller's tenant with the settings of its environment.
func (s *TenantServer) GetTenant(ctx context.Context, _ *ingestv1.GetTenantRequest) (*ingestv1.GetTenantResponse, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return nil, errNoPrincipal
	}
	profile, err := s.tenants.Profiles.Profile(ctx, p.TenantID, p.Env)
	if err != nil {
		return nil, err
	}
	return &ingestv1.GetTenantResponse{Tenant: toTenant(&profile)}, nil
}

// UpdateTenant replaces the settings of the caller's environment.
func (s *TenantServer) UpdateTenant(ctx context.Context, req *ingestv1.UpdateTenantRequest) (*ingestv1.UpdateTenantResponse, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return nil, errNoPrincipal
	}
	w := tenant.Wish{Name: req.GetName(), Addresses: req.GetAllowedAddresses()}
	if l := req.GetLimits(); l != nil {
		w.Limits = &tenant.Limits{
			RequestsPerSecond: l.GetRequestsPerSecond(), RequestBurst: l.GetRequestBurst(),
			MessagesPerSecond: l.GetMessagesPerSecond(), MessageBurst: l.GetMessageBurst(),
			RecipientPerHour: l.GetMessagesPerRecipientHour(), TemplatePerSecond: l.GetMessagesPerTemplateSecond(),
		}
	}
	profile, err := s.tenants.Update(ctx, p, caller.From(ctx).Address, w)
	if err != nil {
		return nil, err
	}
	return &ingestv1.UpdateTenantResponse{Tenant: toTenant(&profile)}, nil
}

func toTenant(p *tenant.Profile) *ingestv1.Tenant {
	l := &p.Limits
	return &ingestv1.Tenant{
		TenantId: p.ID.String(), Name: p.Name, AllowedAddresses: p.Addresses.Strings(), CreateTime: toTime(p.Create),
		Limits: &ingestv1.TenantLimits{
			RequestsPerSecond: l.RequestsPerSecond, RequestBurst: l.RequestBurst, MessagesPerSecond: l.MessagesPerSecond,
			MessageBurst: l.MessageBurst, MessagesPerRecipientHour: l.RecipientPerHour, MessagesPerTemplateSecond: l.TemplatePerSecond,
		},
	}
}
