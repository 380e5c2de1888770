// Package rpctest walks everything an inner gRPC server offers, as every service and as nobody.
package rpctest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"

	"github.com/onlinesms/onlinesms/services/internal/rpc"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf/devca"
)

const (
	door     = "ingest" // forwards the calls of applications
	patience = 30 * time.Second
)

// everybody is each service there is, and one that nobody has heard of, with a certificate of the same authority.
var everybody = []string{"ingest", "compliance", "dispatch", "audit", "stranger"}

// CheckCallers calls every method that the server of service at addr offers, as every service, and fails t unless
// exactly the right ones get past its list of callers: for what applications may call (declared in the contract by a
// scope, or as public) the door, for what the contract declares inner those that inner lists by full method name. A
// method that is new is covered by itself. It also fails t when the server talks to a client without a certificate or
// with TLS below 1.3. certificates is the directory of the development authority that signed the server's.
func CheckCallers(t *testing.T, addr, service, certificates string, inner map[string][]string) {
	t.Helper()
	methods := offered(t, dial(t, addr, service, certificates, door))
	for method := range inner {
		if !slices.ContainsFunc(methods, func(m protoreflect.MethodDescriptor) bool { return path(m) == method && access(m).GetInner() }) {
			t.Errorf("%s is no inner method that is offered", method)
		}
	}
	for _, caller := range everybody {
		conn := dial(t, addr, service, certificates, caller)
		for _, m := range methods {
			allowed := []string{door}
			if access(m).GetInner() {
				allowed = inner[path(m)]
			}
			err := call(conn, m)
			if refused := refusedCaller(err); refused == slices.Contains(allowed, caller) {
				t.Errorf("%s calls %s: %v; allowed are %v", caller, path(m), err, allowed)
			}
		}
	}
	t.Logf("%d methods of %s, each as %v", len(methods), service, everybody)
	checkHandshakes(t, addr, service, certificates)
}

func path(m protoreflect.MethodDescriptor) string {
	return fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
}

func access(m protoreflect.MethodDescriptor) *typev1.Access {
	found, _ := proto.GetExtension(m.Options(), typev1.E_Access).(*typev1.Access)
	return found
}

// files makes caller's certificate.
func files(t *testing.T, certificates, caller string) tlsconf.Files {
	t.Helper()
	if err := devca.Issue(certificates, caller, nil, tlsconf.SPIFFEID(caller)); err != nil {
		t.Fatal(err)
	}
	return tlsconf.Files{Cert: filepath.Join(certificates, caller+".pem"), Key: filepath.Join(certificates, caller+"-key.pem"),
		CA: filepath.Join(certificates, "ca.pem")}
}

func dial(t *testing.T, addr, service, certificates, caller string) *grpc.ClientConn {
	t.Helper()
	identity, err := tlsconf.Client(files(t, certificates, caller), service)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := rpc.Dial(addr, identity)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// offered asks the server itself what it offers, beside health and reflection, which every service may call.
func offered(t *testing.T, conn *grpc.ClientConn) (methods []protoreflect.MethodDescriptor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	ask := &reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(ask); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range answer.GetListServicesResponse().GetService() {
		if strings.HasPrefix(s.GetName(), "grpc.") {
			continue
		}
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(s.GetName()))
		if err != nil {
			t.Fatalf("%s: %v", s.GetName(), err)
		}
		all := found.(protoreflect.ServiceDescriptor).Methods()
		for i := range all.Len() {
			methods = append(methods, all.Get(i))
		}
	}
	if len(methods) == 0 {
		t.Fatal("the server offers nothing")
	}
	return methods
}

// call sends an empty request, without a principal, and answers how the call ended.
func call(conn *grpc.ClientConn, m protoreflect.MethodDescriptor) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	shape := &grpc.StreamDesc{ServerStreams: m.IsStreamingServer(), ClientStreams: m.IsStreamingClient()}
	stream, err := conn.NewStream(ctx, shape, path(m), grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	if err := stream.SendMsg(&emptypb.Empty{}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return stream.RecvMsg(&emptypb.Empty{})
}

// refusedCaller tells whether a call was refused for who made it, not for what it asked.
func refusedCaller(err error) bool {
	st := status.Convert(err)
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetReason() == "CALLER_NOT_ALLOWED" {
			return st.Code() == codes.PermissionDenied
		}
	}
	return false
}

// checkHandshakes: nobody without a certificate, or with an older TLS, gets as far as a call.
func checkHandshakes(t *testing.T, addr, service, certificates string) {
	t.Helper()
	good, err := tlsconf.Client(files(t, certificates, door), service)
	if err != nil {
		t.Fatal(err)
	}
	anonymous := good.Clone()
	anonymous.GetClientCertificate = nil
	settings := map[string]*tls.Config{"no certificate": anonymous}
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12} {
		old := good.Clone()
		old.MinVersion, old.MaxVersion = version, version
		settings[tls.VersionName(version)] = old
	}
	if err := greeted(addr, good); err != nil {
		t.Errorf("a good client: %v", err)
	}
	for name, cfg := range settings {
		if greeted(addr, cfg) == nil {
			t.Errorf("%s: the server goes on", name)
		}
	}
}

// greeted connects and reads the first bytes of the server: with TLS 1.3 a refused certificate shows on a read only.
func greeted(addr string, cfg *tls.Config) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 9)) // the header of HTTP/2's SETTINGS
	return err
}
