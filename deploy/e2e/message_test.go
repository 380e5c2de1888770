//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

// numbers hands out recipients, each once; none ends like one of the simulator's special numbers.
var numbers atomic.Uint32

func nextNumber() string { return fmt.Sprintf("+919810%06d", numbers.Add(1)) }

func otp(number, code string) *ingestv1.SendMessageRequest {
	s := demoSender()
	return &ingestv1.SendMessageRequest{To: number, EntityId: s.entity, Header: s.header, TemplateId: s.template,
		Text: fmt.Sprintf(s.format, code)}
}

func TestMessageIsDeliveredAndTellsItsTimeline(t *testing.T) {
	client := messages(t, demoTenant)
	number := nextNumber()
	id := send(t, client, otp(number, "482913"))
	got := awaitState(t, client, id, typev1.MessageState_DELIVERED)

	var events []string
	var last time.Time
	for _, entry := range got.GetTimeline() {
		events = append(events, entry.GetEvent())
		at := entry.GetTime().AsTime()
		if at.Before(last) {
			t.Errorf("%s stands before the entry ahead of it", entry.GetEvent())
		}
		last = at
	}
	if want := []string{"ACCEPTED", "CLEARED", "SUBMITTED", "DELIVERED"}; !slices.Equal(events, want) {
		t.Errorf("timeline %v, want %v", events, want)
	}
	if got.GetEncoding() != "GSM7" || got.GetSegmentCount() != 1 || got.GetLane() != "otp" {
		t.Errorf("encoding %s, %d segments, lane %s; want GSM7, 1, otp", got.GetEncoding(), got.GetSegmentCount(), got.GetLane())
	}
}

func TestMessageByJSON(t *testing.T) {
	key := keyOf(t, demoTenant, "test")
	number := nextNumber()
	body := fmt.Sprintf(`{"to":%q,"entityId":%q,"header":%q,"templateId":%q,"variables":[{"value":"A1"},{"value":"B2"},{"value":"https://abc.in/t?id=91"}],"clientReference":"json-1"}`,
		number, demoEntity, demoHeader, serviceTemplate)
	sent := call(t, http.MethodPost, "/v1/messages", key, body)
	if sent.status != http.StatusOK {
		t.Fatalf("send: %d %s", sent.status, sent.body)
	}
	if sent.header.Get("Strict-Transport-Security") == "" {
		t.Error("no Strict-Transport-Security")
	}
	var message struct{ MessageID, State, To, Text, ClientReference string }
	sent.into(t, &message)
	id := message.MessageID
	eventually(t, patience, "message is DELIVERED", func() bool {
		got := call(t, http.MethodGet, "/v1/messages/"+id, key, "")
		got.into(t, &message)
		return message.State == "DELIVERED"
	})
	if message.To != number || message.ClientReference != "json-1" {
		t.Errorf("to %q, reference %q; want %q, json-1: the key may read content", message.To, message.ClientReference, number)
	}
	if want := "Dear A1, order B2 shipped. Track: https://abc.in/t?id=91 - ABCBNK"; segmentsTo(t, number)[0].Text != want {
		t.Errorf("the operator got %q, want %q", segmentsTo(t, number)[0].Text, want)
	}
}

// TestAKeyWithoutContentSeesNeitherNumberNorText uses a tenant whose test key lacks content:read.
func TestAKeyWithoutContentSeesNeitherNumberNorText(t *testing.T) {
	s := otherSender(2)
	client := messages(t, s.tenant)
	number := nextNumber()
	id := send(t, client, &ingestv1.SendMessageRequest{To: number, EntityId: s.entity, Header: s.header, TemplateId: s.template,
		Text: fmt.Sprintf(s.format, "771204")})
	got := awaitState(t, client, id, typev1.MessageState_DELIVERED)
	if got.GetText() != "" || strings.Contains(got.GetTo(), number[5:11]) {
		t.Errorf("text and number are shown: %q, %q", got.GetText(), got.GetTo())
	}
	if other := messages(t, demoTenant); other != nil {
		if _, err := other.GetMessage(t.Context(), &ingestv1.GetMessageRequest{MessageId: id}); err == nil {
			t.Error("another tenant can read the message")
		}
	}
}

func TestRefusals(t *testing.T) {
	client := messages(t, demoTenant)
	wrong := otp(nextNumber(), "482913")
	wrong.Text = strings.Replace(wrong.Text, "Do not share it.", "Do not share it!", 1)
	unknown := otp(nextNumber(), "482913")
	unknown.Header = "XYZBNK"
	prefixed := otp(nextNumber(), "482913")
	prefixed.Header = "VM-ABCBNK"
	for _, test := range []struct {
		name    string
		request *ingestv1.SendMessageRequest
		code    string
		// position of the first character that differs, from 1; empty for none
		position string
	}{
		{"text is off by one character", wrong, "TEMPLATE_NOT_MATCHED", fmt.Sprint(1 + strings.Index(wrong.GetText(), "!"))},
		{"header is unknown", unknown, "HEADER_NOT_FOUND", ""},
		{"header has a prefix", prefixed, "HEADER_HAS_PREFIX", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := awaitState(t, client, send(t, client, test.request), typev1.MessageState_REFUSED)
			reason := got.GetReasons()[0]
			if reason.GetCode() != test.code {
				t.Fatalf("refused for %s, want %s", reason.GetCode(), test.code)
			}
			if test.position != "" && reason.GetMetadata()["position"] != test.position {
				t.Errorf("position %q, want %q", reason.GetMetadata()["position"], test.position)
			}
		})
	}
}

func TestScheduledMessageIsHeldUntilItsTime(t *testing.T) {
	client := messages(t, demoTenant)
	request := otp(nextNumber(), "482913")
	due := time.Now().Add(3 * time.Second)
	request.ScheduleTime = timestamp(due)
	id := send(t, client, request)
	awaitState(t, client, id, typev1.MessageState_HELD)
	got := awaitState(t, client, id, typev1.MessageState_DELIVERED)
	for _, entry := range got.GetTimeline() {
		if entry.GetEvent() == "SUBMITTED" && entry.GetTime().AsTime().Before(due) {
			t.Errorf("submitted %v before its time", due.Sub(entry.GetTime().AsTime()))
		}
	}
}

var hash = regexp.MustCompile(`^[0-9a-f]{64}$`)

func TestSegmentsAndTheirTLVs(t *testing.T) {
	client := messages(t, demoTenant)
	for _, test := range []struct {
		name, text, encoding string
		segments             int
	}{
		{"Hindi of 71 characters", strings.Repeat("क", 71-len(" - ABCBNK")) + " - ABCBNK", "UCS2", 2},
		{"153 euro signs", strings.Repeat("€", 153) + " - ABCBNK", "GSM7", 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			number := nextNumber()
			id := send(t, client, &ingestv1.SendMessageRequest{To: number, EntityId: demoEntity, Header: demoHeader,
				TemplateId: anyTemplate, Text: test.text})
			got := awaitState(t, client, id, typev1.MessageState_DELIVERED)
			if got.GetEncoding() != test.encoding || int(got.GetSegmentCount()) != test.segments {
				t.Errorf("%s in %d segments, want %s in %d", got.GetEncoding(), got.GetSegmentCount(), test.encoding, test.segments)
			}
			segments := segmentsTo(t, number)
			if len(segments) != test.segments {
				t.Fatalf("the operator got %d segments, want %d", len(segments), test.segments)
			}
			var text string
			for _, s := range segments {
				text += s.Text
				if s.TLVs["0x1400"] != demoEntity || s.TLVs["0x1401"] != anyTemplate || !hash.MatchString(s.TLVs["0x1402"]) {
					t.Errorf("segment %d has parameters %v", s.Segment, s.TLVs)
				}
			}
			if text != test.text {
				t.Errorf("the segments together say %q", text)
			}
		})
	}
}

func TestRepeatWithTheSameKeyIsTheSameMessage(t *testing.T) {
	key := keyOf(t, demoTenant, "test")
	client := ingestv1.NewMessageServiceClient(dial(t, platform.Env("ONLINESMS_GRPC_ADDR"), key))
	ctx := idempotent(t.Context(), "e2e-repeat-"+nextNumber())
	request := otp(nextNumber(), "482913")
	first, err := client.SendMessage(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	again, err := client.SendMessage(ctx, request)
	if err != nil || again.GetMessageId() != first.GetMessageId() {
		t.Errorf("the repeat answers %v, %v; want %s", again.GetMessageId(), err, first.GetMessageId())
	}
	if _, err := client.SendMessage(ctx, otp(nextNumber(), "482914")); err == nil {
		t.Error("another request under the same key is accepted")
	}
}
