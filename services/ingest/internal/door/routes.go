package door

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// route is an RPC's JSON form, as its proto says.
type route struct {
	method string // of HTTP
	path   []string
	verb   string // after the last colon
	rpc    string // full method
}

// routes are those of every RPC in rules.
var routes = func() (all []route) {
	for rpc := range rules {
		name := strings.ReplaceAll(strings.TrimPrefix(rpc, "/"), "/", ".")
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			continue // reflection registers itself later and has no JSON form
		}
		rule, _ := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule)
		if pattern := rule.GetGet(); pattern != "" {
			all = append(all, newRoute(http.MethodGet, pattern, rpc))
		}
		if pattern := rule.GetPost(); pattern != "" {
			all = append(all, newRoute(http.MethodPost, pattern, rpc))
		}
	}
	return all
}()

func newRoute(method, pattern, rpc string) route {
	pattern, verb, _ := strings.Cut(pattern, ":")
	return route{method, strings.Split(pattern, "/"), verb, rpc}
}

// matches tells whether path is of this route. A segment in braces takes anything but nothing.
func (r route) matches(path string) bool {
	if r.verb != "" {
		var ok bool
		if path, ok = strings.CutSuffix(path, ":"+r.verb); !ok {
			return false
		}
	}
	segments := strings.Split(path, "/")
	return slices.EqualFunc(r.path, segments, func(pattern, segment string) bool {
		return pattern == segment || strings.HasPrefix(pattern, "{") && segment != ""
	})
}

// pages are the paths outside of the RPCs: what may be read without a key.
var pages = []string{"/openapi.json", "/docs", "/v1/reasons"}

// allowed lists the methods a path takes; empty when there is no such path.
func allowed(path string) string {
	var methods []string
	if slices.Contains(pages, path) {
		methods = []string{http.MethodGet, http.MethodHead}
	}
	for _, r := range routes {
		if r.matches(path) {
			methods = append(methods, r.method)
		}
	}
	slices.Sort(methods)
	return strings.Join(slices.Compact(methods), ", ")
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
