package api

import (
	"context"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/webhook"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// Scopes of webhooks and of the stream of events.
const (
	scopeRead     = "webhooks:read"
	scopeWrite    = "webhooks:write"
	scopeMessages = "messages:read"
)

// Pages.
const (
	defaultPage   = 50
	maxEndpoints  = 100
	maxDeliveries = 500
)

// EndpointReader reads endpoints of a tenant.
type EndpointReader interface {
	Endpoint(ctx context.Context, at webhook.Place) (webhook.Endpoint, error)
	// Page answers up to limit endpoints before one (zero: from the newest), newest first.
	Page(ctx context.Context, tenant uuid.UUID, env string, before uuid.UUID, limit int) ([]webhook.Endpoint, error)
}

// EndpointServer is onlinesms.dispatch.v1.WebhookEndpointService.
type EndpointServer struct {
	dispatchv1.UnimplementedWebhookEndpointServiceServer

	endpoints *webhook.Service
	reader    EndpointReader
	now       func() time.Time
}

// NewEndpointServer makes it.
func NewEndpointServer(s *webhook.Service, r EndpointReader, now func() time.Time) *EndpointServer {
	return &EndpointServer{endpoints: s, reader: r, now: now}
}

// allowed is the caller, who must hold scope: the door has checked, this service checks again.
func allowed(ctx context.Context, scope string) (principal.Principal, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return p, errs.E(errs.Unauthenticated, "KEY_MISSING", "This call needs an API key.", nil)
	}
	if !p.Has(scope) {
		return p, errs.E(errs.Denied, "SCOPE_MISSING", "The key lacks scope "+scope+".", nil)
	}
	return p, nil
}

// place is where a request's endpoint stands, for a caller who holds scope.
func place(ctx context.Context, scope, endpoint string) (at webhook.Place, err error) {
	p, err := allowed(ctx, scope)
	if err != nil {
		return at, err
	}
	id, err := uuid.Parse(endpoint)
	if err != nil {
		return at, invalid("endpoint_id", "not a UUID")
	}
	return webhook.Place{Tenant: p.TenantID, Env: p.Env, Endpoint: id}, nil
}

// CreateWebhookEndpoint implements WebhookEndpointService.
func (s *EndpointServer) CreateWebhookEndpoint(ctx context.Context, req *dispatchv1.CreateWebhookEndpointRequest) (*dispatchv1.CreateWebhookEndpointResponse, error) {
	p, err := allowed(ctx, scopeWrite)
	if err != nil {
		return nil, err
	}
	e, secret, err := s.endpoints.Create(ctx, p.TenantID, p.Env, webhook.Wish{
		URL: req.GetUrl(), Description: req.GetDescription(), Types: req.GetEventTypes(), Ed25519: req.GetEd25519(),
	})
	if err != nil {
		return nil, err
	}
	return &dispatchv1.CreateWebhookEndpointResponse{Endpoint: s.show(&e), Secret: secret}, nil
}

// GetWebhookEndpoint implements WebhookEndpointService.
func (s *EndpointServer) GetWebhookEndpoint(ctx context.Context, req *dispatchv1.GetWebhookEndpointRequest) (*dispatchv1.GetWebhookEndpointResponse, error) {
	at, err := place(ctx, scopeRead, req.GetEndpointId())
	if err != nil {
		return nil, err
	}
	e, err := s.reader.Endpoint(ctx, at)
	if err != nil {
		return nil, err
	}
	return &dispatchv1.GetWebhookEndpointResponse{Endpoint: s.show(&e)}, nil
}

// ListWebhookEndpoints implements WebhookEndpointService.
func (s *EndpointServer) ListWebhookEndpoints(ctx context.Context, req *dispatchv1.ListWebhookEndpointsRequest) (*dispatchv1.ListWebhookEndpointsResponse, error) {
	p, err := allowed(ctx, scopeRead)
	if err != nil {
		return nil, err
	}
	limit, err := pageSize(req.GetPageSize(), maxEndpoints)
	if err != nil {
		return nil, err
	}
	before, err := tokenIDs(req.GetPageToken(), 1)
	if err != nil {
		return nil, err
	}
	found, err := s.reader.Page(ctx, p.TenantID, p.Env, before[0], limit+1) // one more tells whether there is a next page
	if err != nil {
		return nil, err
	}
	resp := &dispatchv1.ListWebhookEndpointsResponse{}
	if len(found) > limit {
		found = found[:limit]
		resp.NextPageToken = token(found[limit-1].ID)
	}
	for i := range found {
		resp.Endpoints = append(resp.Endpoints, s.show(&found[i]))
	}
	return resp, nil
}

// UpdateWebhookEndpoint implements WebhookEndpointService.
func (s *EndpointServer) UpdateWebhookEndpoint(ctx context.Context, req *dispatchv1.UpdateWebhookEndpointRequest) (*dispatchv1.UpdateWebhookEndpointResponse, error) {
	at, err := place(ctx, scopeWrite, req.GetEndpointId())
	if err != nil {
		return nil, err
	}
	e, err := s.endpoints.Update(ctx, at, webhook.Wish{
		URL: req.GetUrl(), Description: req.GetDescription(), Types: req.GetEventTypes(), Ed25519: req.GetEd25519(),
	})
	if err != nil {
		return nil, err
	}
	return &dispatchv1.UpdateWebhookEndpointResponse{Endpoint: s.show(&e)}, nil
}

// DeleteWebhookEndpoint implements WebhookEndpointService.
func (s *EndpointServer) DeleteWebhookEndpoint(ctx context.Context, req *dispatchv1.DeleteWebhookEndpointRequest) (*dispatchv1.DeleteWebhookEndpointResponse, error) {
	at, err := place(ctx, scopeWrite, req.GetEndpointId())
	if err != nil {
		return nil, err
	}
	return &dispatchv1.DeleteWebhookEndpointResponse{}, s.endpoints.Remove(ctx, at)
}

// VerifyWebhookEndpoint implements WebhookEndpointService.
func (s *EndpointServer) VerifyWebhookEndpoint(ctx context.Context, req *dispatchv1.VerifyWebhookEndpointRequest) (*dispatchv1.VerifyWebhookEndpointResponse, error) {
	e, err := s.turn(ctx, req.GetEndpointId(), s.endpoints.Verify)
	if err != nil {
		return nil, err
	}
	return &dispatchv1.VerifyWebhookEndpointResponse{Endpoint: e}, nil
}

// EnableWebhookEndpoint implements WebhookEndpointService.
func (s *EndpointServer) EnableWebhookEndpoint(ctx context.Context, req *dispatchv1.EnableWebhookEndpointRequest) (*dispatchv1.EnableWebhookEndpointResponse, error) {
	e, err := s.turn(ctx, req.GetEndpointId(), s.endpoints.Enable)
	if err != nil {
		return nil, err
	}
	return &dispatchv1.EnableWebhookEndpointResponse{Endpoint: e}, nil
}

// DisableWebhookEndpoint implements WebhookEndpointService.
func (s *EndpointServer) DisableWebhookEndpoint(ctx context.Context, req *dispatchv1.DisableWebhookEndpointRequest) (*dispatchv1.DisableWebhookEndpointResponse, error) {
	e, err := s.turn(ctx, req.GetEndpointId(), s.endpoints.Disable)
	if err != nil {
		return nil, err
	}
	return &dispatchv1.DisableWebhookEndpointResponse{Endpoint: e}, nil
}

// turn changes the standing of an endpoint.
func (s *EndpointServer) turn(ctx context.Context, id string, to func(context.Context, webhook.Place) (webhook.Endpoint, error)) (*dispatchv1.WebhookEndpoint, error) {
	at, err := place(ctx, scopeWrite, id)
	if err != nil {
		return nil, err
	}
	e, err := to(ctx, at)
	if err != nil {
		return nil, err
	}
	return s.show(&e), nil
}

// RotateWebhookSecret implements WebhookEndpointService.
func (s *EndpointServer) RotateWebhookSecret(ctx context.Context, req *dispatchv1.RotateWebhookSecretRequest) (*dispatchv1.RotateWebhookSecretResponse, error) {
	at, err := place(ctx, scopeWrite, req.GetEndpointId())
	if err != nil {
		return nil, err
	}
	overlap := webhook.DefaultOverlap
	if d := req.GetOverlap(); d != nil {
		overlap = d.AsDuration()
	}
	e, secret, err := s.endpoints.Rotate(ctx, at, overlap)
	if err != nil {
		return nil, err
	}
	return &dispatchv1.RotateWebhookSecretResponse{Endpoint: s.show(&e), Secret: secret}, nil
}

// SendTestEvent implements WebhookEndpointService.
func (s *EndpointServer) SendTestEvent(ctx context.Context, req *dispatchv1.SendTestEventRequest) (*dispatchv1.SendTestEventResponse, error) {
	at, err := place(ctx, scopeWrite, req.GetEndpointId())
	if err != nil {
		return nil, err
	}
	id, a, err := s.endpoints.Test(ctx, at)
	if err != nil {
		return nil, err
	}
	return &dispatchv1.SendTestEventResponse{
		EventId: id.String(), Delivered: a.Delivered(), HttpStatus: int32(a.Status), Error: a.Error, Duration: durationpb.New(a.Took),
	}, nil
}

// show is an endpoint without its secret.
func (s *EndpointServer) show(e *webhook.Endpoint) *dispatchv1.WebhookEndpoint {
	shown := &dispatchv1.WebhookEndpoint{
		EndpointId: e.ID.String(), Url: e.URL, Description: e.Description, EventTypes: e.Types, Status: e.Status,
		DisableReason: e.DisableReason, CreateTime: timestamppb.New(e.Created), VerifyTime: instant(e.Verified),
		FailingSince: instant(e.FailingSince), Ed25519: e.Ed25519, PublicKeys: []string{webhook.PublicKey(e.Public)},
	}
	if s.now().Before(e.PreviousUntil) {
		shown.PreviousSecretExpireTime = timestamppb.New(e.PreviousUntil)
		shown.PublicKeys = append(shown.PublicKeys, webhook.PublicKey(e.PreviousKey))
	}
	return shown
}

// instant is a time, or nothing for none.
func instant(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
