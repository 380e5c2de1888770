package api_test

import (
	"context"
	"testing"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/api"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

type router struct {
	routes *route.Routes
	bound  string
}

func (r router) Routes() *route.Routes        { return r.routes }
func (r router) Usable(one *route.Route) bool { return one.Name == r.bound }

func TestSimulateRoute(t *testing.T) {
	routes, err := route.Parse([]byte(`routes:
  - {name: trans, env: [live], addr: "a:1", system_id: t, categories: [transactional]}
  - {name: promo, env: [live], addr: "a:1", system_id: p, categories: [promotional], prefixes: ["9198"]}
  - {name: sim, env: [test], addr: "f:1", system_id: s}`))
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewRouteServer(router{routes, "promo"})
	as := func(env string, scopes ...string) context.Context {
		return principal.NewContext(t.Context(), principal.Principal{Env: env, Scopes: scopes})
	}
	got, err := server.SimulateRoute(as("live", "routes:read"), &dispatchv1.SimulateRouteRequest{
		Category: typev1.Category_PROMOTIONAL, Header: "512345", Recipient: "9876543210",
	})
	if err != nil || got.Route != "promo" || !got.Bound || len(got.Steps) != 2 || got.Steps[0].Refusal == "" || got.Steps[1].Refusal != "" {
		t.Errorf("%v, %v", got, err)
	}
	got, err = server.SimulateRoute(as("live", "routes:read"), &dispatchv1.SimulateRouteRequest{Category: typev1.Category_PROMOTIONAL, Recipient: "7876543210"})
	if err != nil || got.Route != "" || got.Bound {
		t.Errorf("another number: %v, %v", got, err)
	}
	for kind, c := range map[errs.Kind]func() error{
		errs.Denied: func() error {
			_, err := server.SimulateRoute(as("live", "messages:read"), &dispatchv1.SimulateRouteRequest{Category: typev1.Category_SERVICE})
			return err
		},
		errs.Unauthenticated: func() error {
			_, err := server.SimulateRoute(t.Context(), &dispatchv1.SimulateRouteRequest{Category: typev1.Category_SERVICE})
			return err
		},
		errs.Invalid: func() error { // a number that is none
			_, err := server.SimulateRoute(as("live", "routes:read"), &dispatchv1.SimulateRouteRequest{Recipient: "x"})
			return err
		},
	} {
		if err := c(); errs.KindOf(err) != kind {
			t.Errorf("%v: %v", kind, err)
		}
	}
}
