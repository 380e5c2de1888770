package api

import (
	"context"
	"encoding/hex"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
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
	parked Parked
	now    func() time.Time
}

// Parked lists receipts whose message is not known.
type Parked interface {
	// Parked answers those of routes that came before a time, the newest first.
	Parked(ctx context.Context, routes []string, before time.Time, limit int) ([]delivery.Receipt, error)
}

// NewRouteServer makes it.
func NewRouteServer(router Router, parked Parked, now func() time.Time) *RouteServer {
	return &RouteServer{router: router, parked: parked, now: now}
}

// ListParkedReceipts implements RouteService.
func (s *RouteServer) ListParkedReceipts(ctx context.Context, req *dispatchv1.ListParkedReceiptsRequest) (*dispatchv1.ListParkedReceiptsResponse, error) {
	p, err := allowed(ctx, "routes:read")
	if err != nil {
		return nil, err
	}
	limit, before := int(req.GetPageSize()), s.now()
	if limit == 0 {
		limit = defaultPage
	}
	if limit < 0 || limit > maxPage {
		return nil, invalid("page_size", "1 to 500")
	}
	if t := req.GetBeforeTime(); t != nil {
		if t.CheckValid() != nil {
			return nil, invalid("before_time", "not a time")
		}
		before = t.AsTime()
	}
	var names []string
	for _, r := range s.router.Routes().All() {
		if r.Env() == p.Env {
			names = append(names, r.Name)
		}
	}
	list, err := s.parked.Parked(ctx, names, before, limit)
	if err != nil {
		return nil, err
	}
	resp := &dispatchv1.ListParkedReceiptsResponse{}
	for i := range list {
		r := &list[i]
		resp.Receipts = append(resp.Receipts, &dispatchv1.ParkedReceipt{
			Route: r.Route, OperatorId: r.OperatorID, State: int32(r.State), Code: r.Code, ReceiveTime: timestamppb.New(r.Received),
			PduSha256: hex.EncodeToString(r.Hash[:]),
		})
	}
	return resp, nil
}

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
