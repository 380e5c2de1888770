package door

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/onlinesms/onlinesms/proto/openapi"
)

func checkReflection(t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	ask := func(ctx context.Context) error {
		stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{
			FileContainingSymbol: "onlinesms.compliance.v1.ComplianceService"}}); err != nil {
			return err
		}
		answer, err := stream.Recv()
		if err == nil && answer.GetFileDescriptorResponse() == nil {
			return fmt.Errorf("reflection answers %v", answer)
		}
		return err
	}
	if err := ask(withKey(t, "none")); err != nil {
		t.Errorf("reflection with a key: %v", err)
	}
	if err := ask(t.Context()); status.Code(err) != codes.Unauthenticated {
		t.Errorf("reflection without a key: %v", err)
	}
}

// Every RPC the door offers has its rule, and every rule is of an RPC that is offered.
func TestEveryRPCHasAScope(t *testing.T) {
	w := newWorld(t)
	offered := map[string]bool{}
	for service, info := range w.grpc.GetServiceInfo() {
		for _, m := range info.Methods {
			offered[fmt.Sprintf("/%s/%s", service, m.Name)] = true
		}
	}
	for method := range offered {
		if _, ok := rules[method]; !ok {
			t.Errorf("%s is offered without a declared scope", method)
		}
	}
	for method := range rules {
		if !offered[method] {
			t.Errorf("%s has a rule and is not offered", method)
		}
	}
}

// The OpenAPI document tells exactly the routes there are.
func TestRoutesAreDocumented(t *testing.T) {
	var doc openAPI
	if err := json.Unmarshal(openapi.Document, &doc); err != nil {
		t.Fatal(err)
	}
	var documented, served []string
	for path, methods := range doc.Paths {
		for method := range methods {
			documented = append(documented, strings.ToUpper(method)+" "+path)
		}
	}
	for _, r := range routes {
		path := strings.Join(r.path, "/")
		if r.verb != "" {
			path += ":" + r.verb
		}
		served = append(served, r.method+" "+path)
	}
	slices.Sort(documented)
	slices.Sort(served)
	if diff := cmp.Diff(documented, served); diff != "" {
		t.Error(diff)
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]string{"/openapi.json": `"openapi"`, "/docs": "/v1/messages:batch", "/v1/reasons": "TOO_LARGE"} {
		resp, content := w.do(t, true, "GET", path, "")
		if resp.StatusCode != 200 || !strings.Contains(string(content), want) {
			t.Errorf("%s: %d %.200s", path, resp.StatusCode, content)
		}
		if head, none := w.do(t, false, "HEAD", path, ""); head.StatusCode != 200 || len(none) > 0 {
			t.Errorf("HEAD %s: %d", path, head.StatusCode)
		}
		for _, outside := range []string{"src=", "http://", "@import", "<script"} {
			if path == "/docs" && strings.Contains(string(content), outside) {
				t.Errorf("/docs loads something: %s", outside)
			}
		}
	}
}

func TestJSONPath(t *testing.T) {
	for in, want := range map[string]string{
		"messages[3].entity_id": "messages[3].entityId", "to": "to", "idempotency-key": "idempotency-key",
		"variables[0].name": "variables[0].name", "validity_period": "validityPeriod", "": "",
	} {
		if got := jsonPath(in); got != want {
			t.Errorf("jsonPath(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRequestID(t *testing.T) {
	for _, proposed := range []string{"", "a b", "x\r\ny", strings.Repeat("x", 65), "ü"} {
		if got := chooseRequestID(proposed); got == proposed || len(got) < 20 {
			t.Errorf("%q gives %q", proposed, got)
		}
	}
	if got := chooseRequestID("Req-1.a_b"); got != "Req-1.a_b" {
		t.Errorf("a safe id became %q", got)
	}
}

// The catalogue is in order and has every reason of grpc itself.
func TestCatalogue(t *testing.T) {
	if !slices.IsSortedFunc(catalogue, func(a, b Reason) int { return strings.Compare(a.Reason, b.Reason) }) {
		t.Error("the catalogue is not in order")
	}
	for code := range statuses {
		reason := frameworkReason(code)
		if !slices.ContainsFunc(catalogue, func(r Reason) bool { return r.Reason == reason }) {
			t.Errorf("%s is not in the catalogue", reason)
		}
	}
}
