package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

const (
	echoUnary  = "/doortest.v1.Echo/Say"
	echoStream = "/doortest.v1.Echo/Repeat"
)

// A service of these tests, declared as ours are: a unary and a server-streaming RPC.
func init() {
	access := func(action string) *descriptorpb.MethodOptions {
		options := &descriptorpb.MethodOptions{}
		proto.SetExtension(options, typev1.E_Access, &typev1.Access{Scope: "decisions:read", Audit: action})
		return options
	}
	text := proto.String(".google.protobuf.StringValue")
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("doortest/v1/echo.proto"), Package: proto.String("doortest.v1"), Syntax: proto.String("proto3"),
		Dependency: []string{"google/protobuf/wrappers.proto", "onlinesms/type/v1/access.proto"},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Echo"), Method: []*descriptorpb.MethodDescriptorProto{
			{Name: proto.String("Say"), InputType: text, OutputType: text, Options: access("echo.say")},
			{Name: proto.String("Repeat"), InputType: text, OutputType: text, ServerStreaming: proto.Bool(true), Options: access("echo.repeat")},
		}}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		panic(err)
	}
	if err := protoregistry.GlobalFiles.RegisterFile(file); err != nil {
		panic(err)
	}
}

// echo is the service behind the door.
type echo struct {
	begin         sync.Once
	entered, gone chan struct{} // closed when an endless call is there, and when its caller has gone
}

func newEcho() *echo { return &echo{entered: make(chan struct{}), gone: make(chan struct{})} }

func (e *echo) say(ctx context.Context, text string) (*wrapperspb.StringValue, error) {
	p, _ := principal.FromContext(ctx)
	md, _ := metadata.FromIncomingContext(ctx)
	deadline, _ := ctx.Deadline()
	if strings.HasPrefix(text, "endless") {
		e.begin.Do(func() { close(e.entered) })
	}
	if text == "endless" {
		<-ctx.Done()
		close(e.gone)
		return nil, ctx.Err()
	}
	return wrapperspb.String(fmt.Sprintf("%s %s %v %v", text, p.Actor, md.Get(requestIDKey), time.Until(deadline) < 5*time.Second)), nil
}

var echoDesc = grpc.ServiceDesc{
	ServiceName: "doortest.v1.Echo", HandlerType: (*any)(nil), Metadata: "doortest/v1/echo.proto",
	Methods: []grpc.MethodDesc{{MethodName: "Say", Handler: func(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		req := &wrapperspb.StringValue{}
		if err := decode(req); err != nil {
			return nil, err
		}
		return intercept(ctx, req, &grpc.UnaryServerInfo{Server: srv, FullMethod: echoUnary}, func(ctx context.Context, _ any) (any, error) {
			return srv.(*echo).say(ctx, req.GetValue())
		})
	}}},
	Streams: []grpc.StreamDesc{{StreamName: "Repeat", ServerStreams: true, Handler: func(srv any, stream grpc.ServerStream) error {
		req := &wrapperspb.StringValue{}
		if err := stream.RecvMsg(req); err != nil {
			return err
		}
		if req.GetValue() == "refuse" {
			return status.Error(codes.NotFound, "nothing to repeat")
		}
		for i := 0; i < 3 || req.GetValue() == "endless"; i++ {
			resp, err := srv.(*echo).say(stream.Context(), fmt.Sprint(req.GetValue(), i))
			if err != nil {
				return err
			}
			if err := stream.SendMsg(resp); err != nil {
				close(srv.(*echo).gone)
				return err
			}
		}
		return nil
	}}},
}

func (w *world) grpcConn(t testing.TB) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(w.GRPCAddr().String(), grpc.WithTransportCredentials(credentials.NewTLS(w.tls())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func repeat(ctx context.Context, conn *grpc.ClientConn, text string) (grpc.ClientStream, error) {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, echoStream)
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(wrapperspb.String(text)); err != nil && !errors.Is(err, io.EOF) { // EOF: RecvMsg has the reason
		return nil, err
	}
	return stream, stream.CloseSend()
}

func TestForwardingUnaryAndStreaming(t *testing.T) {
	w := newWorld(t)
	conn := w.grpcConn(t)
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(withKey(t, "all"), requestIDKey, "r1"), 4*time.Second)
	defer cancel()
	said := &wrapperspb.StringValue{}
	if err := conn.Invoke(ctx, echoUnary, wrapperspb.String("a"), said); err != nil || said.GetValue() != "a key/all [r1] true" {
		t.Errorf("%q, %v", said.GetValue(), err)
	}
	stream, err := repeat(ctx, conn, "b")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := stream.RecvMsg(said); err != nil || said.GetValue() != fmt.Sprintf("b%d key/all [r1] true", i) {
			t.Errorf("%q, %v", said.GetValue(), err)
		}
	}
	if err := stream.RecvMsg(said); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
	_, later := w.records.take()
	if len(later) != 2 || later[0].Action != "echo.say" || later[1].Action != "echo.repeat" || later[1].Actor != "key/all" {
		t.Errorf("%+v", later)
	}
	if stream, err = repeat(ctx, conn, "refuse"); err == nil {
		err = stream.RecvMsg(said)
	}
	if status.Code(err) != codes.NotFound {
		t.Errorf("a refused stream: %v", err)
	}
	if stream, err = repeat(withKey(t, "none"), conn, "b"); err == nil {
		err = stream.RecvMsg(said)
	}
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("a stream without its scope: %v", err)
	}
}

// When the caller goes, or his time is over, the other service's call ends.
func TestForwardingPassesCancellationAndDeadline(t *testing.T) {
	for name, call := range map[string]func(context.Context, *grpc.ClientConn) error{
		"unary": func(ctx context.Context, conn *grpc.ClientConn) error {
			return conn.Invoke(ctx, echoUnary, wrapperspb.String("endless"), &wrapperspb.StringValue{})
		},
		"stream": func(ctx context.Context, conn *grpc.ClientConn) error {
			stream, err := repeat(ctx, conn, "endless")
			for err == nil {
				err = stream.RecvMsg(&wrapperspb.StringValue{})
			}
			return err
		},
	} {
		for _, want := range []codes.Code{codes.DeadlineExceeded, codes.Canceled} {
			w := newWorld(t)
			ctx, cancel := context.WithTimeout(withKey(t, "all"), 2*time.Second)
			if want == codes.Canceled {
				ctx, cancel = context.WithCancel(withKey(t, "all"))
				go func() { <-w.echo.entered; cancel() }()
			}
			if err := call(ctx, w.grpcConn(t)); status.Code(err) != want {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
			cancel()
			select {
			case <-w.echo.gone:
			case <-time.After(10 * time.Second):
				t.Errorf("%s, %v: the other service works on", name, want)
			}
		}
	}
}

func TestForwardingToAServiceThatIsAway(t *testing.T) {
	w := newWorld(t)
	conn := w.grpcConn(t)
	w.stopInner()
	err := conn.Invoke(withKey(t, "all"), echoUnary, wrapperspb.String("a"), &wrapperspb.StringValue{})
	stream, streamErr := repeat(withKey(t, "all"), conn, "a")
	if streamErr == nil {
		streamErr = stream.RecvMsg(&wrapperspb.StringValue{})
	}
	for name, err := range map[string]error{"unary": err, "stream": streamErr} {
		advice := false
		for _, d := range status.Convert(err).Details() {
			if info, ok := d.(*errdetails.RetryInfo); ok {
				advice = info.GetRetryDelay().AsDuration() > 0
			}
		}
		if status.Code(err) != codes.Unavailable || !advice {
			t.Errorf("%s: %v, retry advice %v", name, err, advice)
		}
	}
}
