package door

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	auditv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/audit/v1"
	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

// What curl -d says of a body, nothing at all, and types made from JSON are read as JSON.
func TestBodiesReadAsJSON(t *testing.T) {
	w := newWorld(t)
	for _, kind := range []string{"", "application/x-www-form-urlencoded", "application/json; charset=utf-8", "application/vnd.api+json"} {
		resp, content := w.do(t, true, "POST", "/v1/messages", body, "Authorization", "Bearer all", "Content-Type", kind)
		if resp.StatusCode != 200 {
			t.Errorf("Content-Type %q: %d %s", kind, resp.StatusCode, content)
		}
	}
}

func TestAnEmptyPageHasItsList(t *testing.T) {
	for want, m := range map[string]proto.Message{
		`{"messages":[]}`:                      &ingestv1.ListMessagesResponse{},
		`{"messages":[],"nextPageToken":"x"}`:  &ingestv1.ListMessagesResponse{NextPageToken: "x"},
		`{"messages":[{"messageId":"m"}]}`:     &ingestv1.ListMessagesResponse{Messages: []*ingestv1.MessageSummary{{MessageId: "m"}}},
		`{"messageId":"m","state":"ACCEPTED"}`: &ingestv1.SendMessageResponse{MessageId: "m", State: typev1.MessageState_ACCEPTED},
		`{"events":[]}`:                        &auditv1.ListEventsResponse{},
	} {
		got, err := newCodec().Marshal(m)
		if err != nil || strings.ReplaceAll(string(got), " ", "") != want {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	}
}

func TestJSONAndGRPCMeetTheSameInterceptors(t *testing.T) {
	w := newWorld(t)
	resp, content := w.do(t, true, "POST", "/v1/messages", body, "Authorization", "Bearer all", "X-Request-Id", "mine-1")
	var sent map[string]string
	if err := json.Unmarshal(content, &sent); err != nil || resp.StatusCode != 200 || !cmp.Equal(sent, map[string]string{"messageId": "key/all", "state": "ACCEPTED"}) {
		t.Errorf("%d %s", resp.StatusCode, content)
	}
	if resp.Header.Get("X-Request-Id") != "mine-1" || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", resp.Header)
	}
	conn, err := grpc.NewClient(w.GRPCAddr().String(), grpc.WithTransportCredentials(credentials.NewTLS(w.tls())))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := ingestv1.NewMessageServiceClient(conn)
	var header metadata.MD
	got, err := client.SendMessage(withKey(t, "all"), &ingestv1.SendMessageRequest{}, grpc.Header(&header))
	if err != nil || got.GetMessageId() != "key/all" || len(header.Get(requestIDKey)) != 1 {
		t.Errorf("%v, %v, %v", got, err, header)
	}
	for key, want := range map[string]codes.Code{"wrong": codes.Unauthenticated, "none": codes.PermissionDenied} {
		if _, err := client.SendMessage(withKey(t, key), &ingestv1.SendMessageRequest{}); status.Code(err) != want {
			t.Errorf("key %s: %v", key, err)
		}
	}
	if _, err := client.SendMessage(t.Context(), &ingestv1.SendMessageRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("no key: %v", err)
	}
	twice := metadata.AppendToOutgoingContext(withKey(t, "all"), "authorization", "Bearer none")
	if _, err := client.SendMessage(twice, &ingestv1.SendMessageRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("two keys: %v", err)
	}
	decisions := compliancev1.NewComplianceServiceClient(conn)
	if d, err := decisions.GetDecision(withKey(t, "all"), &compliancev1.GetDecisionRequest{MessageId: "m"}); err != nil || d.GetDecisions()[0].GetRulePack() != "key/alllivetrue" {
		t.Errorf("forwarded: %v, %v", d, err)
	}
	if _, err := decisions.GetTemplateCategory(withKey(t, "all"), &compliancev1.GetTemplateCategoryRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("an inner method is offered: %v", err)
	}
	checkReflection(t, conn)
}

// A field that is the whole body is read as strictly as a request: a DLT id must be a string, since a JSON number would
// be rounded (I05).
func TestBodyThatIsAField(t *testing.T) {
	var object *compliancev1.RegistryObject
	decode := func(body string) error { return newCodec().NewDecoder(strings.NewReader(body)).Decode(&object) }
	if err := decode(`{"objectId":"1701158019811140068","entity":{}}`); err != nil || object.GetObjectId() != "1701158019811140068" {
		t.Errorf("%v %v", object, err)
	}
	for body, reason := range map[string]string{`{"objectId":1701158019811140068}`: "TYPE", `{"objectID":"1"}`: "UNKNOWN"} {
		err := decode(body)
		if m, ok := misreadOf(fmt.Sprint(err)); !ok || m.reason != reason {
			t.Errorf("%s: %v", body, err)
		}
	}
}
