package door

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	_ "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	_ "github.com/onlinesms/onlinesms/proto/gen/onlinesms/event/v1"
	_ "github.com/onlinesms/onlinesms/proto/gen/onlinesms/feed/v1"
	"github.com/onlinesms/onlinesms/proto/openapi"
)

// Every RPC of every service in proto/ says who may call it and how it is recorded.
func TestEveryRPCDeclaresItsAccess(t *testing.T) {
	protos := os.DirFS(filepath.Join("..", "..", "..", "..", "proto"))
	files, methods := 0, 0
	err := fs.WalkDir(protos, "onlinesms", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".proto" {
			return err
		}
		files++
		f, err := protoregistry.GlobalFiles.FindFileByPath(path)
		if err != nil {
			t.Errorf("%s is not linked into this test: %v", path, err)
			return nil
		}
		for i := range f.Services().Len() {
			for j := range f.Services().Get(i).Methods().Len() {
				methods++
				d := f.Services().Get(i).Methods().Get(j)
				access := accessOf(d)
				if err := checkAccess(access, d); err != nil {
					t.Errorf("%s: %v", d.FullName(), err)
				}
				if access.GetChanges() && httpRule(d).GetGet() != "" {
					t.Errorf("%s changes something and is a GET", d.FullName())
				}
			}
		}
		return nil
	})
	if err != nil || files < 10 || methods < 10 {
		t.Errorf("%d files with %d methods, %v", files, methods, err)
	}
}

func TestUndeclaredMethodsAreNotOffered(t *testing.T) {
	for service, method := range map[string]string{
		"onlinesms.ingest.v1.MessageService":    "SendMassage",   // there is none
		"onlinesms.ingest.v1.ContentKeyService": "GetContentKey", // inner
		"grpc.health.v1.Health":                 "Check",         // declares no access
	} {
		info := grpc.ServiceInfo{Methods: []grpc.MethodInfo{{Name: method}}}
		if _, err := newOffer(map[string]grpc.ServiceInfo{service: info}); err == nil {
			t.Errorf("the door opens with %s/%s", service, method)
		}
	}
}

// The OpenAPI document tells exactly the routes there are.
func TestItem16RoutesAreDocumented(t *testing.T) {
	w := newWorld(t)
	if differing := w.Undocumented(openapi.Document); len(differing) > 0 {
		t.Error(differing)
	}
	if none := w.Undocumented([]byte(`{"paths": {"/v1/x": {"get": {}}}}`)); len(none) != len(w.offer.routes)+1 {
		t.Errorf("another document: %v", none)
	}
	eachMethod(func(d protoreflect.MethodDescriptor) {
		full := "/" + string(d.Parent().FullName()) + "/" + string(d.Name())
		if _, offered := w.offer.rules[full]; offered == accessOf(d).GetInner() {
			t.Errorf("%s: offered %v, inner %v", full, offered, accessOf(d).GetInner())
		}
	})
}

// Every route refuses a key that has all scopes but its own, and lets one with it pass.
func TestItem16EveryRouteWantsItsScope(t *testing.T) {
	w := newWorld(t)
	for _, r := range w.offer.routes {
		scope := w.offer.rules[r.rpc].GetScope()
		if scope == "" {
			continue // public
		}
		path := strings.NewReplacer("{message_id}", "x", "{key_id}", "x", "{index}", "1", "{verification_id}", "x", "{user_id}", "x", "{session_id}", "x",
			"{kind}", "templates", "{object_id}", "x", "{import_id}", "x", "{receipt_id}", "x", "{consent_import_id}", "x", "{complaint_id}", "x").
			Replace(strings.TrimPrefix(r.String(), r.method+" "))
		content := ""
		if r.method != "GET" {
			content = "{}"
		}
		resp, answer := w.do(t, true, r.method, path, content, "Authorization", "Bearer without-"+scope)
		if resp.StatusCode != 403 || !strings.Contains(string(answer), "SCOPE_MISSING") || !strings.Contains(string(answer), scope) {
			t.Errorf("%s without %s: %d %s", r, scope, resp.StatusCode, answer)
		}
		if resp, answer := w.do(t, true, r.method, path, content, "Authorization", "Bearer all"); resp.StatusCode == 403 || resp.StatusCode == 401 {
			t.Errorf("%s: %d %s", r, resp.StatusCode, answer)
		}
	}
}

// The same by gRPC, for every RPC that is offered, those without a JSON form too.
func TestItem16EveryRPCWantsItsScope(t *testing.T) {
	w := newWorld(t)
	conn := w.grpcConn(t)
	walked := 0
	for full, access := range w.offer.rules {
		if access.GetScope() == "" {
			continue
		}
		walked++
		call := func(key string) error {
			stream, err := conn.NewStream(withKey(t, key), &grpc.StreamDesc{ServerStreams: true}, full)
			if err != nil {
				return err
			}
			if err := stream.SendMsg(&emptypb.Empty{}); err != nil && !errors.Is(err, io.EOF) { // EOF: RecvMsg has the reason
				return err
			}
			return errors.Join(stream.CloseSend(), stream.RecvMsg(&emptypb.Empty{}))
		}
		if err := call("without-" + access.GetScope()); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), access.GetScope()) {
			t.Errorf("%s without %s: %v", full, access.GetScope(), err)
		}
		if err := call("all"); status.Code(err) == codes.PermissionDenied || status.Code(err) == codes.Unauthenticated {
			t.Errorf("%s: %v", full, err)
		}
	}
	if walked < 15 {
		t.Errorf("%d RPCs only", walked)
	}
}

func TestRoutesMatch(t *testing.T) {
	for path, want := range map[string]bool{
		"/v1/api-keys/k:rotate": true, "/v1/api-keys/:rotate": false, "/v1/api-keys/k": false, "/v1/api-keys/k/x:rotate": false,
		"/v1/api-keys:rotate": false, "v1/api-keys/k:rotate": false, "/v1/api-keys/k/:rotate": false,
	} {
		if got := newRoute("POST", "/v1/api-keys/{key_id}:rotate", "").matches(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
