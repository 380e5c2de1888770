package route

import (
	"strings"

	"github.com/google/uuid"
)

// Routes is the configured set, in the file's order, which is the order of preference.
type Routes struct {
	list []*Route
}

// All returns the routes; the caller does not change the slice.
func (rs *Routes) All() []*Route { return rs.list }

// Choose returns the route for a message of an environment: the first that is usable, else the first of the
// environment, for its bind may come back. It is nil when the environment has no route: a message never goes to a
// route of the other one (invariant 4).
func (rs *Routes) Choose(env string, usable func(*Route) bool) *Route {
	var first *Route
	for _, r := range rs.list {
		if r.Env() != env {
			continue
		}
		if usable(r) {
			return r
		}
		if first == nil {
			first = r
		}
	}
	return first
}

// InboundOwner answers the tenant an address is configured for on a route.
func (rs *Routes) InboundOwner(route, to string) (tenant uuid.UUID, ok bool) {
	for _, r := range rs.list {
		for _, a := range r.Inbound {
			if r.Name == route && strings.EqualFold(a.To, to) {
				return a.Tenant, true
			}
		}
	}
	return uuid.Nil, false
}
