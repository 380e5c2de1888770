package api

import (
	"context"
	"strings"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
	"github.com/onlinesms/onlinesms/services/internal/msisdn"
)

// Router knows the routes and which are bound.
type Router interface {
	Routes() *route.Routes
	Usable(r *route.Route) bool
}

// RouteServer is onlinesms.dispatch.v1.RouteService.
type RouteServer struct {
	dispatchv1.UnimplementedRouteServiceServer

	router Router
}

// NewRouteServer makes it.
func NewRouteServer(router Router) *RouteServer { return &RouteServer{router: router} }

// SimulateRoute implements RouteService; routes of the other environment are not shown.
func (s *RouteServer) SimulateRoute(ctx context.Context, req *dispatchv1.SimulateRouteRequest) (*dispatchv1.SimulateRouteResponse, error) {
	p, err := allowed(ctx, "routes:read")
	if err != nil {
		return nil, err
	}
	t := route.Traffic{Env: p.Env, Entity: req.GetEntityId(), Header: req.GetHeader()}
	switch c := req.GetCategory(); {
	case typev1.Category_name[int32(c)] == "":
		return nil, invalid("category", "not a category")
	case c != typev1.Category_CATEGORY_UNSPECIFIED:
		t.Category = strings.ToLower(c.String())
	}
	if req.GetRecipient() != "" {
		e164, ok := msisdn.E164(req.GetRecipient())
		if !ok {
			return nil, invalid("recipient", "not an Indian mobile number")
		}
		t.To = strings.TrimPrefix(e164, "+")
	}
	routes := s.router.Routes()
	steps, chosen := routes.Explain(&t, s.router.Usable)
	resp := &dispatchv1.SimulateRouteResponse{Route: chosen}
	for i, r := range routes.All() {
		if r.Env() != p.Env {
			continue
		}
		resp.Steps = append(resp.Steps, &dispatchv1.RouteStep{Route: steps[i].Route, Refusal: steps[i].Refusal, Bound: steps[i].Usable})
		resp.Bound = resp.Bound || steps[i].Route == chosen && steps[i].Usable
	}
	return resp, nil
}
