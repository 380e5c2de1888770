package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
)

func checkReflection(t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	ask := func(ctx context.Context) error {
		stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{
			FileContainingSymbol: "onlinesms.compliance.v1.ComplianceService"}}); err != nil && !errors.Is(err, io.EOF) { // EOF: Recv has the reason
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
