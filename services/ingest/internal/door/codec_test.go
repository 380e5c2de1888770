package door

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	auditv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/audit/v1"
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
