package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf/devca"
)

// handler answers a call of the test service.
type handler func(ctx context.Context, text string) (string, error)

// methods of the test service: two unary ones and a stream.
var methods = []string{"/test.v1.Echo/First", "/test.v1.Echo/Second", "/test.v1.Echo/Stream"}

// register adds the test service, without generated code.
func (h handler) register(r grpc.ServiceRegistrar) {
	unary := func(name string) grpc.MethodDesc {
		return grpc.MethodDesc{MethodName: name, Handler: func(srv any, ctx context.Context, decode func(any) error, chain grpc.UnaryServerInterceptor) (any, error) {
			in := new(wrapperspb.StringValue)
			if err := decode(in); err != nil {
				return nil, err
			}
			return chain(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: "/test.v1.Echo/" + name}, h.answer)
		}}
	}
	r.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.v1.Echo", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{unary("First"), unary("Second")},
		Streams: []grpc.StreamDesc{{StreamName: "Stream", ServerStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
			in := new(wrapperspb.StringValue)
			if err := stream.RecvMsg(in); err != nil {
				return err
			}
			out, err := h.answer(stream.Context(), in)
			if err != nil {
				return err
			}
			return stream.SendMsg(out)
		}}},
	}, nil)
}

func (h handler) answer(ctx context.Context, in any) (any, error) {
	out, err := h(ctx, in.(*wrapperspb.StringValue).GetValue())
	if err != nil {
		return nil, err
	}
	return wrapperspb.String(out), nil
}

// call calls a method of the test service.
func call(ctx context.Context, conn *grpc.ClientConn, method, text string) (string, error) {
	out := new(wrapperspb.StringValue)
	if !strings.HasSuffix(method, "/Stream") {
		err := conn.Invoke(ctx, method, wrapperspb.String(text), out)
		return out.GetValue(), err
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err != nil {
		return "", err
	}
	if err := stream.SendMsg(wrapperspb.String(text)); err != nil {
		return "", err
	}
	if err := stream.CloseSend(); err != nil {
		return "", err
	}
	err = stream.RecvMsg(out)
	return out.GetValue(), err
}

// network is a running server of the service "compliance" and the certificates of all services.
type network struct {
	server *Server
	dir    string
	log    *logBuffer
	stop   context.CancelFunc
	ended  chan error
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

var services = []string{"ingest", "compliance", "dispatch", "audit", "stranger"}

func start(t testing.TB, callers map[string][]string, h handler) *network {
	t.Helper()
	n := &network{dir: t.TempDir(), log: &logBuffer{}, ended: make(chan error, 1)}
	if err := devca.Create(n.dir); err != nil {
		t.Fatal(err)
	}
	for _, service := range services {
		if err := devca.Issue(n.dir, service, nil, tlsconf.SPIFFEID(service)); err != nil {
			t.Fatal(err)
		}
	}
	tls, err := tlsconf.Server(n.files("compliance"))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(n.log, nil))
	n.server, err = NewServer(ServerConfig{Addr: "127.0.0.1:0", TLS: tls, Log: log, Callers: callers}, h.register)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	go func() { n.ended <- n.server.Run(ctx) }()
	t.Cleanup(stop)
	return n
}

func (n *network) files(service string) tlsconf.Files {
	return tlsconf.Files{Cert: filepath.Join(n.dir, service+".pem"), Key: filepath.Join(n.dir, service+"-key.pem"),
		CA: filepath.Join(n.dir, "ca.pem")}
}

// as connects with the certificate of a service.
func (n *network) as(t testing.TB, service string) *grpc.ClientConn {
	t.Helper()
	tls, err := tlsconf.Client(n.files(service), "compliance")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := Dial(n.server.Addr().String(), tls)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func echo(_ context.Context, text string) (string, error) { return text, nil }

func everyone(callers ...string) map[string][]string {
	all := map[string][]string{}
	for _, method := range methods {
		all[method] = callers
	}
	return all
}

func TestEveryCallerOnEveryMethod(t *testing.T) {
	callers := map[string][]string{
		methods[0]: {"ingest", "dispatch"},
		methods[2]: {"audit"},
		// methods[1] is listed nowhere: nobody may call it.
	}
	allowed := map[string]bool{
		"ingest " + methods[0]: true, "dispatch " + methods[0]: true, "audit " + methods[2]: true,
	}
	n := start(t, callers, echo)
	for _, service := range services {
		conn := n.as(t, service)
		for _, method := range methods {
			out, err := call(t.Context(), conn, method, "hello")
			if allowed[service+" "+method] {
				if err != nil || out != "hello" {
					t.Errorf("%s on %s: %q, %v", service, method, out, err)
				}
				continue
			}
			back, ok := errors.AsType[*errs.Error](FromStatus(err))
			if !ok || back.Kind != errs.Denied || back.Reason != "CALLER_NOT_ALLOWED" || out != "" {
				t.Errorf("%s on %s: %q, %v", service, method, out, err)
			}
		}
	}
}

func TestCallersOfUnknownMethodsAreRefusedAtStart(t *testing.T) {
	n := start(t, nil, echo)
	tls, err := tlsconf.Server(n.files("compliance"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := ServerConfig{Addr: "127.0.0.1:0", TLS: tls, Log: slog.New(slog.DiscardHandler),
		Callers: map[string][]string{"/test.v1.Echo/Frist": {"ingest"}}}
	if _, err := NewServer(cfg, handler(echo).register); err == nil || !strings.Contains(err.Error(), "Frist") {
		t.Errorf("got %v", err)
	}
	if _, err := NewServer(ServerConfig{Addr: "127.0.0.1:0"}, handler(echo).register); err == nil {
		t.Error("a server without TLS")
	}
}

func TestPanicStaysInside(t *testing.T) {
	n := start(t, everyone("ingest"), func(_ context.Context, text string) (string, error) { panic("body: " + text) })
	conn := n.as(t, "ingest")
	for _, method := range methods {
		_, err := call(t.Context(), conn, method, "OTP 482913")
		if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "482913") {
			t.Errorf("%s: %v", method, err)
		}
	}
	log := n.log.String()
	if strings.Contains(log, "482913") || strings.Count(log, "call panicked") != 3 || !strings.Contains(log, "server_test.go") {
		t.Errorf("log:\n%s", log)
	}
}

func TestInternalErrorIsLoggedOnce(t *testing.T) {
	n := start(t, everyone("ingest"), func(context.Context, string) (string, error) {
		return "", fmt.Errorf("read row: %w", errors.New("disk is gone"))
	})
	_, err := call(t.Context(), n.as(t, "ingest"), methods[0], "x")
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "disk") {
		t.Errorf("got %v", err)
	}
	if log := n.log.String(); strings.Count(log, "disk is gone") != 1 || !strings.Contains(log, "caller=ingest") {
		t.Errorf("log:\n%s", log)
	}
}

func TestErrorCrossesTheWire(t *testing.T) {
	want := &errs.Error{Kind: errs.Exhausted, Reason: "OVERLOADED", Message: "later", Metadata: map[string]string{RetryAfter: "2s"}}
	n := start(t, everyone("ingest"), func(context.Context, string) (string, error) { return "", want })
	conn := n.as(t, "ingest")
	for _, method := range methods {
		_, err := call(t.Context(), conn, method, "x")
		got, ok := errors.AsType[*errs.Error](FromStatus(err))
		if !ok {
			t.Fatal(err)
		}
		got.Cause = nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-sent +received):\n%s", method, diff)
		}
	}
}

func TestOnlyTheDoorsWordOnThePrincipalCounts(t *testing.T) {
	sent := principal.Principal{TenantID: uuid.UUID{7}, Env: principal.Test, Actor: "key/k1", Scopes: []string{"messages:send"}}
	n := start(t, everyone(services...), func(ctx context.Context, _ string) (string, error) {
		p, ok := principal.FromContext(ctx)
		direct, directOK := PrincipalFromIncoming(ctx)
		if ok != directOK || !cmp.Equal(p, direct) {
			return "", errors.New("context and metadata disagree")
		}
		if !ok {
			return "nobody for " + Caller(ctx), nil
		}
		return fmt.Sprintf("%+v", p), nil
	})
	for _, service := range services {
		conn := n.as(t, service)
		for _, method := range methods {
			want := "nobody for " + service
			if service == "ingest" {
				want = fmt.Sprintf("%+v", sent)
			}
			ctx := WithPrincipal(principal.NewContext(t.Context(), sent))
			if got, err := call(ctx, conn, method, ""); err != nil || got != want {
				t.Errorf("%s on %s: %s, %v", service, method, got, err)
			}
		}
	}
	door := n.as(t, "ingest")
	twice := metadata.AppendToOutgoingContext(WithPrincipal(principal.NewContext(t.Context(), sent)), principalKey, "\x01forged")
	forged := metadata.AppendToOutgoingContext(t.Context(), principalKey, "\x01forged")
	for _, ctx := range []context.Context{twice, forged, WithPrincipal(t.Context())} {
		if got, err := call(ctx, door, methods[0], ""); err != nil || got != "nobody for ingest" {
			t.Errorf("got %s, %v", got, err)
		}
	}
}

// A client writes a well-formed principal into its own metadata, and the door passes that on by mistake.
func TestAClientsWordOnThePrincipalIsReplaced(t *testing.T) {
	n := start(t, everyone("ingest"), func(ctx context.Context, _ string) (string, error) {
		p, ok := principal.FromContext(ctx)
		return p.Actor + " " + strconv.FormatBool(ok), nil
	})
	door := n.as(t, "ingest")
	wanted := principal.Principal{TenantID: uuid.UUID{9}, Env: principal.Live, Actor: "key/somebody-else"}
	encoded, err := wanted.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	spoofed := metadata.AppendToOutgoingContext(t.Context(), principalKey, string(encoded), "x-request-id", "kept")
	verified := principal.NewContext(spoofed, principal.Principal{TenantID: uuid.UUID{7}, Env: principal.Test, Actor: "key/own"})
	for want, ctx := range map[string]context.Context{"false": WithPrincipal(spoofed), "key/own true": WithPrincipal(verified)} {
		if got, err := call(ctx, door, methods[0], ""); err != nil || strings.TrimSpace(got) != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
		if md, _ := metadata.FromOutgoingContext(ctx); len(md.Get("x-request-id")) != 1 {
			t.Error("other metadata is gone")
		}
	}
}

func TestHealthAndReflection(t *testing.T) {
	n := start(t, nil, echo)
	conn := n.as(t, "stranger")
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", answer, err)
	}
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list := &reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(list); err != nil {
		t.Fatal(err)
	}
	listed, err := stream.Recv()
	if err != nil || !strings.Contains(listed.String(), "test.v1.Echo") {
		t.Errorf("reflection: %v, %v", listed, err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
}

func TestStopLetsCallsFinish(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	n := start(t, everyone("ingest"), func(context.Context, string) (string, error) {
		close(entered)
		<-release
		return "finished", nil
	})
	answered := make(chan string, 1)
	conn := n.as(t, "ingest")
	go func() {
		out, err := call(context.Background(), conn, methods[0], "")
		answered <- fmt.Sprint(out, err)
	}()
	<-entered
	n.stop()
	select {
	case err := <-n.ended:
		t.Fatalf("stopped with a call in flight: %v", err)
	case <-time.After(50 * time.Millisecond): // it waits
	}
	close(release)
	if got := <-answered; got != "finished<nil>" {
		t.Errorf("the call got %s", got)
	}
	if err := <-n.ended; err != nil {
		t.Error(err)
	}
}

func TestStopIsBounded(t *testing.T) {
	entered := make(chan struct{})
	n := start(t, everyone("ingest"), func(ctx context.Context, _ string) (string, error) {
		close(entered)
		<-ctx.Done() // until its connection is closed
		return "", ctx.Err()
	})
	conn := n.as(t, "ingest")
	answered := make(chan error, 1)
	go func() {
		_, err := call(context.Background(), conn, methods[0], "")
		answered <- err
	}()
	<-entered
	n.server.stop(20 * time.Millisecond)
	if err := <-answered; status.Code(err) != codes.Unavailable {
		t.Errorf("the call got %v", err)
	}
}

func BenchmarkCall(b *testing.B) {
	n := start(b, everyone("ingest"), echo)
	conn := n.as(b, "ingest")
	b.ReportAllocs()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := call(context.Background(), conn, methods[0], "hello"); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
