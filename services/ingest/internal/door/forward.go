package door

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
)

// forward offers at the door those unary RPCs of another service that rules lists: each call goes to conn with its
// deadline, its request id and the verified principal. With a nil conn they answer UNAVAILABLE.
func forward(registrar grpc.ServiceRegistrar, service string, conn grpc.ClientConnInterface) error {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return fmt.Errorf("forwarding %s: %w", service, err)
	}
	sd, ok := d.(protoreflect.ServiceDescriptor)
	if !ok {
		return fmt.Errorf("forwarding %s: not a service", service)
	}
	desc := &grpc.ServiceDesc{ServiceName: service, HandlerType: (*any)(nil), Metadata: sd.ParentFile().Path()}
	for i := range sd.Methods().Len() {
		md := sd.Methods().Get(i)
		method := fmt.Sprintf("/%s/%s", service, md.Name())
		if _, offered := rules[method]; !offered {
			continue
		}
		request, err := protoregistry.GlobalTypes.FindMessageByName(md.Input().FullName())
		if err != nil {
			return fmt.Errorf("forwarding %s: %w", method, err)
		}
		response, err := protoregistry.GlobalTypes.FindMessageByName(md.Output().FullName())
		if err != nil {
			return fmt.Errorf("forwarding %s: %w", method, err)
		}
		f := &forwarded{conn: conn, method: method, request: request, response: response}
		desc.Methods = append(desc.Methods, grpc.MethodDesc{MethodName: string(md.Name()), Handler: f.handle})
	}
	registrar.RegisterService(desc, struct{}{})
	return nil
}

type forwarded struct {
	conn              grpc.ClientConnInterface
	method            string
	request, response protoreflect.MessageType
}

// handle is a grpc.MethodHandler.
func (f *forwarded) handle(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
	req := f.request.New().Interface()
	if err := decode(req); err != nil {
		return nil, err
	}
	call := func(ctx context.Context, req any) (any, error) { return f.call(ctx, req.(proto.Message)) }
	if intercept == nil {
		return call(ctx, req)
	}
	return intercept(ctx, req, &grpc.UnaryServerInfo{FullMethod: f.method}, call)
}

func (f *forwarded) call(ctx context.Context, req proto.Message) (proto.Message, error) {
	if f.conn == nil {
		return nil, errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "this part of the platform is not connected", nil)
	}
	ctx = rpc.WithPrincipal(metadata.AppendToOutgoingContext(ctx, requestIDKey, requestID(ctx)))
	resp := f.response.New().Interface()
	if err := f.conn.Invoke(ctx, f.method, req, resp); err != nil {
		return nil, unforwarded(rpc.FromStatus(err))
	}
	return resp, nil
}

// unforwarded keeps the transport's own words (addresses, certificates) inside: only what has a reason comes from the
// other service itself.
func unforwarded(err error) error {
	e, ok := errors.AsType[*errs.Error](err)
	if !ok || e.Reason != "" || e.Kind != errs.Unavailable {
		return err
	}
	return errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "this part of the platform does not answer now; try again", err)
}
