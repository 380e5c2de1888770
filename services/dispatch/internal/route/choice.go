package route

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Routes is the configured set, in the file's order, which is the order of preference.
type Routes struct {
	list []*Route
}

// All returns the routes; the caller does not change the slice.
func (rs *Routes) All() []*Route { return rs.list }

// Categories as routes name them.
const (
	Promotional   = "promotional"
	Service       = "service"
	Transactional = "transactional"
	Government    = "government"
)

var categories = []string{Promotional, Service, Transactional, Government}

// Traffic is what a route is chosen by. Empty fields other than Env are not known, and no route is left out for them.
type Traffic struct {
	Env      string
	Category string
	Entity   string
	Header   string
	To       string // E.164 without the plus
	Key      uint32 // draws among routes of equal rank by their weights: the same for the same message
}

// Refusal says why a route does not take a message; empty when it does. Traffic of the wrong class is refused before
// submit, for an operator would refuse it and count it against the account (its codes 5206, 5207).
func (r *Route) Refusal(t *Traffic) string {
	header, digits := t.Header, t.Header != "" && strings.Trim(t.Header, "0123456789") == ""
	switch {
	case r.Env() != t.Env:
		return "another environment"
	case t.Category != "" && len(r.Categories) > 0 && !slices.Contains(r.Categories, t.Category):
		return "its binds do not carry category " + t.Category
	case t.Entity != "" && len(r.Entities) > 0 && !slices.Contains(r.Entities, t.Entity):
		return "it is for other entities"
	case header != "" && len(r.Headers) > 0 && !slices.Contains(r.Headers, header):
		return "it is for other headers"
	case header != "" && r.SixOnly && len(header) != 6:
		return "it takes headers of six characters only"
	case header != "" && t.Category == Promotional && !digits && r.AlphaPromo != nil && !*r.AlphaPromo:
		return "it takes promotion under numeric headers only"
	case t.To != "" && len(r.Prefixes) > 0 && !slices.ContainsFunc(r.Prefixes, func(p string) bool { return strings.HasPrefix(t.To, p) }):
		return "it is for other numbers"
	}
	return ""
}

// Step is what was thought of one route.
type Step struct {
	Route   string
	Refusal string // why it is left out; empty when it may take the message
	Usable  bool   // a bind of it is up here
}

// Choose returns the route for a message: of those that take it and are usable, the ones of the least rank, and among
// them by weight; when none is usable the first that takes it, for its bind may come back. It is nil when no route takes
// it: a message never goes to a route of the other environment (invariant 4), nor to one of another class.
func (rs *Routes) Choose(t *Traffic, usable func(*Route) bool) *Route {
	var first *Route
	var best []*Route
	for _, r := range rs.list {
		if r.Refusal(t) != "" {
			continue
		}
		if first == nil {
			first = r
		}
		switch {
		case !usable(r) || len(best) > 0 && r.Rank > best[0].Rank:
		case len(best) > 0 && r.Rank == best[0].Rank && r.Weight > 0 && best[0].Weight > 0:
			best = append(best, r)
		case len(best) == 0 || r.Rank < best[0].Rank:
			best = append(best[:0], r)
		}
	}
	switch len(best) {
	case 0:
		return first
	case 1:
		return best[0]
	}
	return weighted(best, t.Key)
}

// weighted draws by weight; equal keys draw the same.
func weighted(list []*Route, key uint32) *Route {
	sum := 0
	for _, r := range list {
		sum += r.Weight
	}
	at := int(uint64(key) * uint64(sum) >> 32)
	for _, r := range list {
		if at -= r.Weight; at < 0 {
			return r
		}
	}
	return list[len(list)-1]
}

// Explain tells what is thought of every route, in order, and which one is chosen; empty for none.
func (rs *Routes) Explain(t *Traffic, usable func(*Route) bool) (steps []Step, chosen string) {
	for _, r := range rs.list {
		steps = append(steps, Step{Route: r.Name, Refusal: r.Refusal(t), Usable: usable(r)})
	}
	if r := rs.Choose(t, usable); r != nil {
		chosen = r.Name
	}
	return steps, chosen
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

// classProblem says what is wrong with what a route is chosen by.
func (r *Route) classProblem() error {
	for _, c := range r.Categories {
		if !slices.Contains(categories, c) {
			return fmt.Errorf("route %q: %q is no category", r.Name, c)
		}
	}
	for _, p := range r.Prefixes {
		if p == "" || strings.Trim(p, "0123456789") != "" {
			return fmt.Errorf("route %q: prefix %q is not made of digits", r.Name, p)
		}
	}
	if r.Weight < 0 || r.Weight > 1000 {
		return fmt.Errorf("route %q: weight is not 0..1000", r.Name)
	}
	return nil
}
