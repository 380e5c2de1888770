package app

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
)

// principalKey is the metadata by which a forwarded call says whose it is; see services/internal/rpc.
const principalKey = "x-onlinesms-principal-bin"

// neighbours stand for the services behind the door: real servers with their certificates, which answer every RPC that
// there is nothing and remember who was said to call.
type neighbours struct {
	mu     sync.Mutex
	called map[string][]principal.Principal // by full method
}

// start runs a server as a service and answers its address.
func (n *neighbours) start(t *testing.T, dir, service string) string {
	t.Helper()
	identity, err := tlsconf.Server(tlsconf.Files{
		Cert: filepath.Join(dir, service+".pem"), Key: filepath.Join(dir, service+"-key.pem"), CA: filepath.Join(dir, "ca.pem")})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(identity)), grpc.UnknownServiceHandler(n.answer))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func (n *neighbours) answer(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	md, _ := metadata.FromIncomingContext(stream.Context())
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, encoded := range md.Get(principalKey) {
		var p principal.Principal
		if err := p.UnmarshalBinary([]byte(encoded)); err != nil {
			return err
		}
		n.called[method] = append(n.called[method], p)
	}
	return status.Error(codes.NotFound, "nothing here")
}

// Items 11 and 24 of the acceptance list where the door forwards: every RPC of every service behind it is told whose call
// it is, by the key and by nothing that the caller writes, and so can look in no other tenant and environment.
func TestItem24ForwardedCallsCarryTheirCaller(t *testing.T) {
	n := &neighbours{called: map[string][]principal.Principal{}}
	w := newWorld(t, func(c *Config) {
		dir := filepath.Dir(c.TLS.Cert)
		c.ComplianceAddr, c.AuditAddr = n.start(t, dir, "compliance"), n.start(t, dir, "audit")
		c.DispatchAddr = n.start(t, dir, "dispatch")
	})
	spoofed, err := principal.Principal{TenantID: uuid.UUID{1}, Env: "live", Actor: "key/other"}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	methods := 0
	for _, f := range forwards(nil, nil, nil) {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(f.Service))
		if err != nil {
			t.Fatal(err)
		}
		rpcs := d.(protoreflect.ServiceDescriptor).Methods()
		for i := range rpcs.Len() {
			m := rpcs.Get(i)
			access, _ := proto.GetExtension(m.Options(), typev1.E_Access).(*typev1.Access)
			if access.GetInner() || access.GetPublic() {
				continue
			}
			methods++
			for _, env := range []string{"live", "test"} {
				key := w.key(t, env, nil, access.GetScope())
				w.forwarded(t, n, m, key, env, string(spoofed))
			}
		}
	}
	if methods < 3 {
		t.Errorf("only %d RPCs are forwarded", methods)
	}
}

// forwarded calls m and looks at who was said to call.
func (w *world) forwarded(t *testing.T, n *neighbours, m protoreflect.MethodDescriptor, key, env, spoofed string) {
	t.Helper()
	full := "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
	n.mu.Lock()
	n.called[full] = nil
	n.mu.Unlock()
	err := w.invoke(as(t, key, principalKey, spoofed), m, full)
	if status.Code(err) != codes.NotFound {
		t.Errorf("%s: %v", full, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.called[full]) != 1 {
		t.Fatalf("%s came with %d principals", full, len(n.called[full]))
	}
	if p := n.called[full][0]; p.TenantID != demoTenant || p.Env != env || p.Actor != "key/"+kidOf(t, key) || strings.Join(p.Scopes, " ") == "" {
		t.Errorf("%s came as %+v", full, p)
	}
}

// invoke calls any RPC with an empty request, to its end.
func (w *world) invoke(ctx context.Context, m protoreflect.MethodDescriptor, full string) error {
	if !m.IsStreamingServer() {
		return w.grpc.Invoke(ctx, full, dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output()))
	}
	stream, err := w.grpc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, full)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(dynamicpb.NewMessage(m.Input())); err != nil && !errors.Is(err, io.EOF) { // EOF: RecvMsg has the reason
		return err
	}
	return stream.RecvMsg(dynamicpb.NewMessage(m.Output()))
}
