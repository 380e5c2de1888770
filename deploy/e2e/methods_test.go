//go:build e2e

package e2e

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/onlinesms/onlinesms/proto/gen/onlinesms/audit/v1" // the contracts of what the door offers
	_ "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	_ "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	_ "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

// method is an RPC as its contract declares it.
type method struct {
	protoreflect.MethodDescriptor
	access *typev1.Access
	rule   *annotations.HttpRule // nil: no JSON form
}

// path is the method's name on the wire.
func (m method) path() string { return "/" + string(m.Parent().FullName()) + "/" + string(m.Name()) }

// ids are the names in the path of the JSON form: what the method is about.
func (m method) ids() (names []string) {
	_, pattern := m.verb()
	for _, part := range strings.Split(pattern, "{")[min(1, strings.Count(pattern, "{")):] {
		if name, _, found := strings.Cut(part, "}"); found {
			names = append(names, name)
		}
	}
	return names
}

// verb is HTTP's method and the path pattern of the JSON form.
func (m method) verb() (verb, pattern string) {
	for verb, pattern := range map[string]string{
		http.MethodGet: m.rule.GetGet(), http.MethodPost: m.rule.GetPost(), http.MethodPut: m.rule.GetPut(),
		http.MethodDelete: m.rule.GetDelete(), http.MethodPatch: m.rule.GetPatch(),
	} {
		if pattern != "" {
			return verb, pattern
		}
	}
	return "", ""
}

// request is req as its JSON form: the ids in the path, the rest in the body or, without one, in the query.
func (m method) request(t *testing.T, req proto.Message) (verb, path, body string) {
	t.Helper()
	verb, path = m.verb()
	rest := proto.Clone(req).ProtoReflect()
	for _, name := range m.ids() {
		field := m.Input().Fields().ByName(protoreflect.Name(name))
		path = strings.Replace(path, "{"+name+"}", url.PathEscape(rest.Get(field).String()), 1)
		rest.Clear(field)
	}
	if part := m.rule.GetBody(); part != "" {
		if part != "*" {
			rest = rest.Get(m.Input().Fields().ByName(protoreflect.Name(part))).Message()
		}
		text, err := protojson.Marshal(rest.Interface())
		if err != nil {
			t.Fatal(err)
		}
		return verb, path, string(text)
	}
	query := url.Values{}
	rest.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.Kind() != protoreflect.MessageKind && !field.IsList() {
			query.Set(field.JSONName(), value.String())
		}
		return true
	})
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return verb, path, ""
}

// methodsOf are the RPCs of a service that are for callers from outside who have a key.
func methodsOf(service protoreflect.ServiceDescriptor) (all []method) {
	for i := range service.Methods().Len() {
		d := service.Methods().Get(i)
		access, _ := proto.GetExtension(d.Options(), typev1.E_Access).(*typev1.Access)
		rule, _ := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule)
		if !access.GetInner() && !access.GetPublic() {
			all = append(all, method{d, access, rule})
		}
	}
	return all
}

// offered asks the running door by reflection for its services, and answers their RPCs: so a new one is met by these
// tests without a word here.
func offered(t *testing.T, conn *grpc.ClientConn) (all []method) {
	t.Helper()
	stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := &grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(ask); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range answer.GetListServicesResponse().GetService() {
		if !strings.HasPrefix(service.GetName(), "onlinesms.") {
			continue
		}
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service.GetName()))
		if err != nil {
			t.Fatalf("%s is offered and its contract is not imported here: %v", service.GetName(), err)
		}
		all = append(all, methodsOf(d.(protoreflect.ServiceDescriptor))...)
	}
	return all
}

// allScopes are those of every RPC for callers with a key.
func allScopes() (scopes []string) {
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			if !strings.HasPrefix(f.Path(), "onlinesms/") {
				break
			}
			for _, m := range methodsOf(f.Services().Get(i)) {
				scopes = append(scopes, m.access.GetScope())
			}
		}
		return true
	})
	slices.Sort(scopes)
	return slices.Compact(scopes)
}
