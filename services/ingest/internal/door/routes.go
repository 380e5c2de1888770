package door

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// route is an RPC's JSON form, as its proto says.
type route struct {
	method string // of HTTP
	path   []string
	verb   string // after the last colon
	rpc    string // full method
}

func httpRule(d protoreflect.MethodDescriptor) *annotations.HttpRule {
	rule, _ := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule)
	return rule
}

// routesOf are the JSON forms of an RPC; none where its proto declares none.
func routesOf(d protoreflect.MethodDescriptor, rpc string) (all []route) {
	main := httpRule(d)
	if main == nil {
		return nil
	}
	for _, rule := range append([]*annotations.HttpRule{main}, main.GetAdditionalBindings()...) {
		for method, pattern := range map[string]string{
			http.MethodGet: rule.GetGet(), http.MethodPost: rule.GetPost(), http.MethodPut: rule.GetPut(),
			http.MethodDelete: rule.GetDelete(), http.MethodPatch: rule.GetPatch(),
		} {
			if pattern != "" {
				all = append(all, newRoute(method, pattern, rpc))
			}
		}
	}
	return all
}

func newRoute(method, pattern, rpc string) route {
	pattern, verb, _ := strings.Cut(pattern, ":")
	return route{method, strings.Split(pattern, "/"), verb, rpc}
}

// String is the route as the OpenAPI document names it: `GET /v1/messages/{message_id}`.
func (r route) String() string {
	s := r.method + " " + strings.Join(r.path, "/")
	if r.verb != "" {
		s += ":" + r.verb
	}
	return s
}

// matches tells whether path is of this route. A segment in braces takes anything but nothing.
func (r route) matches(path string) bool {
	if r.verb != "" {
		var ok bool
		if path, ok = strings.CutSuffix(path, ":"+r.verb); !ok {
			return false
		}
	}
	for i, pattern := range r.path {
		segment, rest, more := strings.Cut(path, "/")
		if pattern != segment && (!strings.HasPrefix(pattern, "{") || segment == "") || more != (i < len(r.path)-1) {
			return false
		}
		path = rest
	}
	return true
}

// pages are the paths outside of the RPCs: what may be read without a key.
var pages = []string{"/openapi.json", "/docs", "/v1/reasons", pinsPath, webhookIPsPath}

// allowed lists the methods a path takes; empty when there is no such path.
func (o *offer) allowed(path string) string {
	var methods []string
	if slices.Contains(pages, path) {
		methods = []string{http.MethodGet, http.MethodHead}
	}
	for _, r := range o.routes {
		if r.matches(path) {
			methods = append(methods, r.method)
		}
	}
	slices.Sort(methods)
	return strings.Join(slices.Compact(methods), ", ")
}

// methodOf is the RPC behind a request; empty when there is none. A route with a verb wins over one whose last segment
// would take it as part of an id.
func (o *offer) methodOf(r *http.Request) (rpc string) {
	for _, route := range o.routes {
		if route.method == r.Method && route.matches(r.URL.Path) {
			if rpc = route.rpc; route.verb != "" {
				return rpc
			}
		}
	}
	return rpc
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
