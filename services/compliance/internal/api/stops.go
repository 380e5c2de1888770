package api

import (
	"context"

	"github.com/google/uuid"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
)

// Stops puts kill switches on and off.
type Stops interface {
	// Stop puts one on; it answers the one in force.
	Stop(ctx context.Context, tenant uuid.UUID, stop registry.Stop) (registry.Stop, error)
	// Resume takes one off; errs.NotFound when it is not on.
	Resume(ctx context.Context, tenant uuid.UUID, stop registry.Stop) error
	// Stops answers those in force.
	Stops(ctx context.Context, tenant uuid.UUID) (registry.Stops, error)
}

// StopSending implements RegistryService.
func (s *RegistryServer) StopSending(ctx context.Context, req *compliancev1.StopSendingRequest) (*compliancev1.StopSendingResponse, error) {
	p, err := writer(ctx)
	if err != nil {
		return nil, err
	}
	stop := registry.Stop{Scope: registry.Scope(req.GetScope()), Object: req.GetObjectId(), Reason: req.GetReason(), Actor: p.Actor}
	if wrong := registry.CheckStop(stop.Scope, stop.Object, stop.Reason); wrong != nil {
		return nil, violated(wrong...)
	}
	stop, err = s.store.Stop(ctx, p.TenantID, stop)
	if err != nil {
		return nil, err
	}
	return &compliancev1.StopSendingResponse{Stop: encodeStop(stop)}, nil
}

// ResumeSending implements RegistryService.
func (s *RegistryServer) ResumeSending(ctx context.Context, req *compliancev1.ResumeSendingRequest) (*compliancev1.ResumeSendingResponse, error) {
	p, err := writer(ctx)
	if err != nil {
		return nil, err
	}
	stop := registry.Stop{Scope: registry.Scope(req.GetScope()), Object: req.GetObjectId(), Reason: req.GetReason(), Actor: p.Actor}
	if wrong := registry.CheckStop(stop.Scope, stop.Object, stop.Reason); wrong != nil {
		return nil, violated(wrong...)
	}
	if err := s.store.Resume(ctx, p.TenantID, stop); err != nil {
		return nil, err
	}
	return &compliancev1.ResumeSendingResponse{}, nil
}

// ListStops implements RegistryService.
func (s *RegistryServer) ListStops(ctx context.Context, _ *compliancev1.ListStopsRequest) (*compliancev1.ListStopsResponse, error) {
	p, err := caller(ctx, scopeRegistryRead)
	if err != nil {
		return nil, err
	}
	all, err := s.store.Stops(ctx, p.TenantID)
	if err != nil {
		return nil, err
	}
	resp := &compliancev1.ListStopsResponse{}
	for _, stop := range all.Stops {
		resp.Stops = append(resp.Stops, encodeStop(stop))
	}
	return resp, nil
}

func encodeStop(s registry.Stop) *compliancev1.SendingStop {
	return &compliancev1.SendingStop{Scope: string(s.Scope), ObjectId: s.Object, Reason: s.Reason, Actor: s.Actor, StopTime: timestamp(s.Since)}
}
