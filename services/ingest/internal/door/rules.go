package door

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

// reflectionPrefix begins the services of gRPC reflection, which are not ours to declare.
const reflectionPrefix = "grpc.reflection."

// reflectionAccess is for a valid key of any scope.
var reflectionAccess = &typev1.Access{Audit: "reflection.read"}

// unknownAction is the audit action of a call of what is not there.
const unknownAction = "unknown"

// offer is what the door offers: each RPC with its rule, and the routes of their JSON forms.
type offer struct {
	rules  map[string]*typev1.Access // full method
	routes []route
}

// newOffer reads the rules beside the RPCs of the registered services. It fails where one has none: what nobody has
// thought about is not opened.
func newOffer(services map[string]grpc.ServiceInfo) (*offer, error) {
	o := &offer{rules: map[string]*typev1.Access{}}
	for service, info := range services {
		for _, m := range info.Methods {
			full := fmt.Sprintf("/%s/%s", service, m.Name)
			if strings.HasPrefix(service, reflectionPrefix) {
				o.rules[full] = reflectionAccess
				continue
			}
			d, err := methodDescriptor(service + "." + m.Name)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", full, err)
			}
			access := accessOf(d)
			if err := checkAccess(access, d); err != nil {
				return nil, fmt.Errorf("%s: %w", full, err)
			}
			if access.GetInner() {
				return nil, fmt.Errorf("%s is for inner callers and must not be registered at the door", full)
			}
			o.rules[full] = access
			o.routes = append(o.routes, routesOf(d, full)...)
		}
	}
	return o, nil
}

func methodDescriptor(name string) (protoreflect.MethodDescriptor, error) {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil, err
	}
	md, ok := d.(protoreflect.MethodDescriptor)
	if !ok {
		return nil, errors.New("not a method")
	}
	return md, nil
}

// accessOf is the rule beside an RPC; nil when it has none.
func accessOf(d protoreflect.MethodDescriptor) *typev1.Access {
	access, _ := proto.GetExtension(d.Options(), typev1.E_Access).(*typev1.Access)
	return access
}

// checkAccess tells what is wrong with a method's rule: it must name an audit action and be for one of three kinds of
// callers; and a JSON form that is not a GET changes something.
func checkAccess(access *typev1.Access, d protoreflect.MethodDescriptor) error {
	switch kinds := []bool{access.GetScope() != "", access.GetPublic(), access.GetInner()}; {
	case access == nil:
		return errors.New("the method declares no access (type.v1.access)")
	case access.GetAudit() == "":
		return errors.New("the method declares no audit action")
	case len(slices.DeleteFunc(kinds, func(is bool) bool { return !is })) != 1:
		return errors.New("the method must declare one of scope, public and inner")
	case access.GetInner() && httpRule(d) != nil:
		return errors.New("an inner method has a JSON form")
	}
	return nil
}

// services are those with a JSON form.
func (o *offer) services() iter.Seq[string] {
	names := map[string]bool{}
	for _, r := range o.routes {
		service, _, _ := strings.Cut(strings.TrimPrefix(r.rpc, "/"), "/")
		names[service] = true
	}
	return maps.Keys(names)
}
