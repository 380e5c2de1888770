package door

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
)

// Forward is a service that another of ours answers.
type Forward struct {
	Service string                   // full name, for example onlinesms.audit.v1.AuditService
	Conn    grpc.ClientConnInterface // mTLS; nil: not connected, its RPCs answer UNAVAILABLE
}

// forward offers at the door those RPCs of another service that are not inner, unary and server-streaming: each call
// goes to conn with its deadline, its cancellation, its request id and the verified principal.
func forward(registrar grpc.ServiceRegistrar, f Forward) error {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(f.Service))
	if err != nil {
		return fmt.Errorf("forwarding %s: %w", f.Service, err)
	}
	sd, ok := d.(protoreflect.ServiceDescriptor)
	if !ok {
		return fmt.Errorf("forwarding %s: not a service", f.Service)
	}
	desc := &grpc.ServiceDesc{ServiceName: f.Service, HandlerType: (*any)(nil), Metadata: sd.ParentFile().Path()}
	for i := range sd.Methods().Len() {
		md := sd.Methods().Get(i)
		if accessOf(md).GetInner() {
			continue
		}
		m, err := newForwarded(f, md)
		switch {
		case err != nil:
			return err
		case md.IsStreamingServer():
			desc.Streams = append(desc.Streams, grpc.StreamDesc{StreamName: string(md.Name()), Handler: m.stream, ServerStreams: true})
		default:
			desc.Methods = append(desc.Methods, grpc.MethodDesc{MethodName: string(md.Name()), Handler: m.handle})
		}
	}
	registrar.RegisterService(desc, struct{}{})
	return nil
}

type forwarded struct {
	conn              grpc.ClientConnInterface
	method            string
	request, response protoreflect.MessageType
}

func newForwarded(f Forward, md protoreflect.MethodDescriptor) (*forwarded, error) {
	method := fmt.Sprintf("/%s/%s", f.Service, md.Name())
	if md.IsStreamingClient() {
		return nil, fmt.Errorf("forwarding %s: streams of requests are not forwarded", method)
	}
	request, err := protoregistry.GlobalTypes.FindMessageByName(md.Input().FullName())
	if err != nil {
		return nil, fmt.Errorf("forwarding %s: %w", method, err)
	}
	response, err := protoregistry.GlobalTypes.FindMessageByName(md.Output().FullName())
	if err != nil {
		return nil, fmt.Errorf("forwarding %s: %w", method, err)
	}
	return &forwarded{conn: f.Conn, method: method, request: request, response: response}, nil
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
		return nil, errNotConnected
	}
	resp := f.response.New().Interface()
	if err := f.conn.Invoke(outgoing(ctx), f.method, req, resp); err != nil {
		return nil, unforwarded(err)
	}
	return resp, nil
}

// stream is a grpc.StreamHandler: one request, then answers as they come. It ends with the caller's context: when the
// caller goes, the other service's call is cancelled.
func (f *forwarded) stream(_ any, stream grpc.ServerStream) error {
	req := f.request.New().Interface()
	if err := stream.RecvMsg(req); err != nil {
		return err
	}
	if f.conn == nil {
		return errNotConnected
	}
	ctx, cancel := context.WithCancel(outgoing(stream.Context()))
	defer cancel()
	source, err := f.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, f.method)
	if err != nil {
		return unforwarded(err)
	}
	if err := errors.Join(source.SendMsg(req), source.CloseSend()); err != nil && !errors.Is(err, io.EOF) { // EOF: RecvMsg has the reason
		return unforwarded(err)
	}
	for {
		resp := f.response.New().Interface()
		if err := source.RecvMsg(resp); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return unforwarded(err)
		}
		if err := stream.SendMsg(resp); err != nil {
			return err
		}
	}
}

// outgoing is ctx for a call to another service of ours.
func outgoing(ctx context.Context) context.Context {
	return rpc.WithPrincipal(metadata.AppendToOutgoingContext(ctx, requestIDKey, requestID(ctx)))
}

var errNotConnected = errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "this part of the platform is not connected", nil)

// unforwarded is what a caller is told of a forwarded call's failure. A deadline or cancellation is the caller's own.
// Else the transport's words (addresses, certificates) stay inside: only what has a reason comes from the other service.
func unforwarded(err error) error {
	switch status.Code(err) {
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	case codes.Canceled:
		return context.Canceled
	}
	err = rpc.FromStatus(err)
	e, ok := errors.AsType[*errs.Error](err)
	if !ok || e.Reason != "" || e.Kind != errs.Unavailable {
		return err
	}
	return errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "this part of the platform does not answer now; try again", err)
}
