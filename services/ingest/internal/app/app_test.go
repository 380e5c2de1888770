package app

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/rpc/rpctest"
)

func (w *world) count(t testing.TB, table string) (n int) {
	t.Helper()
	if err := w.db.DB.Worker.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A message goes in by gRPC, is on the stream, and its timeline grows with what the other services say.
func TestLifeOfAMessage(t *testing.T) {
	w := newWorld(t)
	sent, err := w.client().SendMessage(as(t, w.live), send())
	if err != nil || sent.GetState() != typev1.MessageState_ACCEPTED {
		t.Fatal(sent, err)
	}
	eventually(t, "the outbox to be empty", func() bool { return w.count(t, "outbox") == 0 })

	id := uuid.MustParse(sent.GetMessageId())
	compliance, dispatch := w.neighbour(t, "compliance"), w.neighbour(t, "dispatch")
	event, start := func() (uuid.UUID, []byte) { id := uuid.Must(uuid.NewV7()); return id, id[:] }, time.Now()
	at := func(n int) int64 { return start.Add(time.Duration(n) * time.Second).UnixMicro() }

	outcome := func(m proto.Message, n int, o *dispatchv1.Outcome) {
		parcelID, raw := event()
		o.MessageId, o.TimeUs = id[:], at(n)
		dispatch.Publish(parcel(t, m, "live", eventbus.LaneInteractive, parcelID,
			&dispatchv1.OutcomeParcel{ParcelId: raw, TenantId: demoTenant[:], Outcomes: []*dispatchv1.Outcome{o}}))
	}
	// Backwards: any order must give the same timeline.
	outcome(&dispatchv1.MessagesDelivered{}, 4, &dispatchv1.Outcome{Round: 1, OperatorCode: "000", DoneTimeUs: at(0)})
	outcome(&dispatchv1.MessagesSubmitted{}, 3, &dispatchv1.Outcome{Round: 1, Encoding: "GSM7", Segments: 2, Route: "sim"})
	parcelID, raw := event()
	compliance.Publish(parcel(t, &compliancev1.MessagesCleared{}, "live", eventbus.LaneInteractive, parcelID, &compliancev1.ClearedParcel{
		ParcelId: raw, TenantId: demoTenant[:], DecideTimeUs: at(2), Messages: []*compliancev1.ClearedMessage{{MessageId: id[:], Round: 1}}}))
	parcelID, raw = event()
	compliance.Publish(parcel(t, &compliancev1.MessagesHeld{}, "live", eventbus.LaneInteractive, parcelID, &compliancev1.HeldParcel{
		ParcelId: raw, TenantId: demoTenant[:], DecideTimeUs: at(1), Messages: []*compliancev1.HeldMessage{
			{MessageId: id[:], Round: 1, DueTimeUs: at(2), Reason: &typev1.Reason{Code: "SCHEDULED"}}}}))

	var got *ingestv1.GetMessageResponse
	eventually(t, "five timeline entries", func() bool {
		if got, err = w.client().GetMessage(as(t, w.live), &ingestv1.GetMessageRequest{MessageId: sent.GetMessageId()}); err != nil {
			t.Fatal(err)
		}
		return len(got.GetTimeline()) == 5
	})
	var words []string
	for _, e := range got.GetTimeline() {
		words = append(words, e.GetEvent())
	}
	if diff := cmp.Diff([]string{"ACCEPTED", "HELD", "CLEARED", "SUBMITTED", "DELIVERED"}, words); diff != "" {
		t.Error(diff)
	}
	if got.GetState() != typev1.MessageState_DELIVERED || got.GetEncoding() != "GSM7" || got.GetSegmentCount() != 2 ||
		got.GetTo() != "+9198XXXXXX10" || got.GetText() != "" || got.GetLane() != "interactive" || got.GetClientReference() != "order-17" ||
		got.GetTimeline()[4].GetOperatorTime().AsTime().UnixMicro() != at(0) || got.GetTimeline()[3].GetOperatorTime() != nil ||
		got.GetTimeline()[1].GetReasons()[0].GetCode() != "SCHEDULED" || got.GetTimeline()[1].GetDueTime() == nil {
		t.Errorf("%v", got)
	}
	list, err := w.client().ListMessages(as(t, w.live), &ingestv1.ListMessagesRequest{State: typev1.MessageState_DELIVERED})
	if err != nil || len(list.GetMessages()) != 1 || list.GetMessages()[0].GetMessageId() != sent.GetMessageId() {
		t.Errorf("list of delivered messages: %v, %v", list, err)
	}
	w.stopped()
	for _, secret := range []string{"9876543210", "482913", w.live, w.test} {
		if strings.Contains(w.logs.String(), secret) {
			t.Errorf("the log holds %q", secret[:6])
		}
	}
}

// The key with content:read sees number and text; the other environment's key sees no message.
func TestContentNeedsItsScope(t *testing.T) {
	w := newWorld(t)
	sent, err := w.client().SendMessage(as(t, w.test), send())
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.client().GetMessage(as(t, w.test), &ingestv1.GetMessageRequest{MessageId: sent.GetMessageId()})
	if err != nil || got.GetTo() != "+919876543210" || got.GetText() != send().GetText() {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := w.client().GetMessage(as(t, w.live), &ingestv1.GetMessageRequest{MessageId: sent.GetMessageId()}); status.Code(err) != codes.NotFound {
		t.Errorf("the live key reads a test message: %v", err)
	}
	// Erasure: once the data key is gone (and in no replica's memory), content is gone, and the rest stays.
	if _, err := w.db.DB.Worker.Exec(t.Context(), "DELETE FROM data_keys"); err != nil {
		t.Fatal(err)
	}
	fresh := ingestv1.NewMessageServiceClient(w.replica(t))
	got, err = fresh.GetMessage(as(t, w.test), &ingestv1.GetMessageRequest{MessageId: sent.GetMessageId()})
	if err != nil || got.GetTo() != "" || got.GetText() != "" || got.GetState() != typev1.MessageState_ACCEPTED {
		t.Errorf("after erasure: %v, %v", got, err)
	}
}

func TestIdempotencyAcrossProtocols(t *testing.T) {
	w := newWorld(t)
	var header metadata.MD
	first, err := w.client().SendMessage(as(t, w.live, "idempotency-key", "k1"), send(), grpc.Header(&header))
	if err != nil || len(header.Get("idempotent-replay")) > 0 {
		t.Fatal(err, header)
	}
	again, err := w.client().SendMessage(as(t, w.live, "idempotency-key", "k1"), send(), grpc.Header(&header))
	if err != nil || again.GetMessageId() != first.GetMessageId() || !slices.Equal(header.Get("idempotent-replay"), []string{"true"}) {
		t.Errorf("%v, %v, %v", again, err, header)
	}
	body, err := json.Marshal(map[string]string{
		"to": send().GetTo(), "entityId": send().GetEntityId(), "header": "ABCBNK", "templateId": send().GetTemplateId(),
		"text": send().GetText(), "clientReference": "order-17",
	})
	if err != nil {
		t.Fatal(err)
	}
	resp := w.request(t, "POST", "/v1/messages", string(body), append(bearer(w.live), "Idempotency-Key", "k1")...)
	if resp.StatusCode != 200 || resp.Header.Get("Idempotent-Replay") != "true" || !strings.Contains(string(resp.body), first.GetMessageId()) {
		t.Errorf("the same by JSON: %d %s", resp.StatusCode, resp.body)
	}
	resp = w.request(t, "POST", "/v1/messages", sendJSON, append(bearer(w.live), "Idempotency-Key", "k1")...)
	if p := resp.problem(t); p.Status != 409 || p.Reason != "IDEMPOTENCY_KEY_REUSED" {
		t.Errorf("another request with the key: %s", resp.body)
	}
	resp = w.request(t, "POST", "/v1/messages", sendJSON, append(bearer(w.test), "Idempotency-Key", "k1")...)
	if resp.StatusCode != 200 || resp.Header.Get("Idempotent-Replay") != "" {
		t.Errorf("the key in the other environment: %s", resp.body)
	}
	resp = w.request(t, "POST", "/v1/messages", sendJSON, append(bearer(w.test), "Idempotency-Key", "a", "Idempotency-Key", "b")...)
	if p := resp.problem(t); p.Status != 400 || p.Violations[0].Field != "idempotency-key" {
		t.Errorf("two keys: %s", resp.body)
	}
}

// 50 requests with one key at once, from two replicas of the service: one message.
func TestConcurrentRequestsWithOneKey(t *testing.T) {
	w := newWorld(t)
	second := w.replica(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids := map[string]int{}
	for i := range 50 {
		client := w.client()
		if i%2 == 1 {
			client = ingestv1.NewMessageServiceClient(second)
		}
		wg.Go(func() {
			resp, err := client.SendMessage(as(t, w.live, "idempotency-key", "one"), send())
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ids[resp.GetMessageId()]++
		})
	}
	wg.Wait()
	if len(ids) != 1 || w.count(t, "message_states") != 1 {
		t.Errorf("%d ids, %d messages", len(ids), w.count(t, "message_states"))
	}
}

func TestBatch(t *testing.T) {
	w := newWorld(t)
	one := func(to string) *ingestv1.OutgoingMessage {
		s := send()
		return &ingestv1.OutgoingMessage{To: to, EntityId: s.GetEntityId(), Header: s.GetHeader(), TemplateId: s.GetTemplateId(), Text: s.GetText()}
	}
	req := &ingestv1.BatchSendMessagesRequest{}
	for range 1000 {
		req.Messages = append(req.Messages, one("9876543210"))
	}
	req.Messages[7] = one("1600112233")
	resp, err := w.client().BatchSendMessages(as(t, w.live), req)
	if err != nil || len(resp.GetMessages()) != 1000 || w.count(t, "message_states") != 1000 {
		t.Fatalf("%d results, %d messages, %v", len(resp.GetMessages()), w.count(t, "message_states"), err)
	}
	bad := resp.GetMessages()[7]
	if bad.GetState() != typev1.MessageState_REFUSED || bad.GetReasons()[0].GetCode() != "RECIPIENT_INVALID" || bad.GetMessageId() == "" {
		t.Errorf("the hopeless item: %v", bad)
	}
	got, err := w.client().GetMessage(as(t, w.live), &ingestv1.GetMessageRequest{MessageId: bad.GetMessageId()})
	if err != nil || got.GetState() != typev1.MessageState_REFUSED || len(got.GetTimeline()) != 2 || got.GetReasons()[0].GetCode() != "RECIPIENT_INVALID" || strings.Contains(got.GetTo(), "16001") {
		t.Errorf("%v, %v", got, err)
	}
	refused, err := w.client().ListMessages(as(t, w.live), &ingestv1.ListMessagesRequest{State: typev1.MessageState_REFUSED})
	if err != nil || len(refused.GetMessages()) != 1 {
		t.Errorf("%v, %v", refused, err)
	}

	malformed := `{"messages": [` + sendJSON + `, {"to": "9876543210", "entityId": "17"}]}`
	problem := w.request(t, "POST", "/v1/messages:batch", malformed, bearer(w.live)...).problem(t)
	var fields []string
	for _, v := range problem.Violations {
		fields = append(fields, v.Field+" "+v.Reason)
	}
	want := []string{"messages[1].entityId ENTITY_ID_INVALID", "messages[1].templateId REQUIRED", "messages[1].header REQUIRED", "messages[1].text REQUIRED"}
	if diff := cmp.Diff(want, fields); diff != "" || problem.Status != 400 || problem.Reason != "REQUEST_INVALID" || w.count(t, "message_states") != 1000 {
		t.Errorf("%s; %+v", diff, problem)
	}
}

func TestListPages(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		req := send()
		req.ClientReference = fmt.Sprintf("ref-%d", i%2)
		if _, err := w.client().SendMessage(as(t, w.live), req); err != nil {
			t.Fatal(err)
		}
	}
	var refs []string
	path := "/v1/messages?pageSize=2"
	for next := ""; ; {
		resp := w.request(t, "GET", path+next, "", bearer(w.live)...)
		var page struct {
			Messages      []struct{ ClientReference, State, MessageID string }
			NextPageToken string
		}
		if err := json.Unmarshal(resp.body, &page); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%d %s %v", resp.StatusCode, resp.body, err)
		}
		for _, m := range page.Messages {
			refs = append(refs, m.ClientReference)
			if m.State != "ACCEPTED" {
				t.Errorf("state %q", m.State)
			}
		}
		if page.NextPageToken == "" {
			break
		}
		next = "&pageToken=" + page.NextPageToken
		if other := w.request(t, "GET", path+"&clientReference=ref-0"+next, "", bearer(w.live)...).problem(t); other.Status != 400 || other.Violations[0].Field != "pageToken" {
			t.Errorf("a token with other filters: %+v", other)
		}
	}
	if diff := cmp.Diff([]string{"ref-0", "ref-1", "ref-0", "ref-1", "ref-0"}, refs); diff != "" {
		t.Error(diff)
	}
	resp := w.request(t, "GET", "/v1/messages?clientReference=ref-1", "", bearer(w.live)...)
	if n := strings.Count(string(resp.body), `"ref-1"`); n != 2 {
		t.Errorf("%d messages with the reference: %s", n, resp.body)
	}
	if resp := w.request(t, "GET", "/v1/messages?clientReference=none", "", bearer(w.live)...); string(resp.body) != `{"messages":[]}` {
		t.Errorf("an empty list: %s", resp.body)
	}
	for query, field := range map[string]string{
		"stat=DELIVERED": "stat", "pageSize=x": "pageSize", "pageSize=501": "pageSize", "state=PERHAPS": "state",
		"startTime=2026-11-22T00:00:00Z&endTime=2026-11-21T00:00:00Z": "startTime", "pageToken=AAAA": "pageToken",
	} {
		if p := w.request(t, "GET", "/v1/messages?"+query, "", bearer(w.live)...).problem(t); p.Status != 400 || len(p.Violations) != 1 || p.Violations[0].Field != field {
			t.Errorf("%s: %+v", query, p)
		}
	}
}

// Without the bus messages are accepted all the same, and published when it is there. The relay is not needed for that.
func TestAcceptsWithoutNATS(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Bus.URL, c.Bus.MonitorURL = "tls://127.0.0.1:1", "https://127.0.0.1:1" })
	if w.ready() == nil {
		t.Error("ready before the bus was ever seen")
	}
	if _, err := w.client().SendMessage(as(t, w.live), send()); err != nil {
		t.Fatal(err)
	}
	if w.count(t, "outbox") != 1 {
		t.Error("no outbox row")
	}
}

// The lane of a single send is otp for a transactional template; every event is what compliance will read.
func TestPublishedEvent(t *testing.T) {
	w := newWorld(t)
	bus, err := eventbus.Connect(t.Context(), w.bus, "compliance")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	events := make(chan *ingestv1.MessagesAccepted, 10)
	ctx, cancel := context.WithCancel(t.Context())
	var consuming sync.WaitGroup
	consuming.Go(func() {
		_ = bus.Consume(ctx, eventbus.Subscription{Stream: "INGEST_INTERACTIVE", Durable: "compliance", Handler: func(_ context.Context, batch []eventbus.Delivery) error {
			for _, d := range batch {
				var e ingestv1.MessagesAccepted
				if err := proto.Unmarshal(d.Data, &e); err != nil {
					t.Error(err)
				}
				events <- &e
			}
			return nil
		}})
	})
	defer func() { cancel(); consuming.Wait() }()
	sent, err := w.client().SendMessage(as(t, w.live), send())
	if err != nil {
		t.Fatal(err)
	}
	id := uuid.MustParse(sent.GetMessageId())
	select {
	case e := <-events:
		p := e.GetParcels()[0]
		parcelID := message.ParcelOf(id)
		if string(p.GetParcelId()) != string(parcelID[:]) || string(p.GetTenantId()) != string(demoTenant[:]) || len(p.GetMessages()) != 1 ||
			string(p.GetMessages()[0].GetMessageId()) != string(id[:]) || p.GetMessages()[0].GetHeader() != "ABCBNK" || e.GetMetadata().GetProducer() != "ingest" {
			t.Errorf("%v", e)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no event")
	}
}

// Item 7: the inner port, as every service and as nobody.
func TestItem7EveryCallerOfEveryMethod(t *testing.T) {
	w := newWorld(t)
	rpctest.CheckCallers(t, w.inner.Addr().String(), "ingest", w.dir, map[string][]string{
		ingestv1.ContentKeyService_GetContentKey_FullMethodName:  {"compliance", "dispatch"},
		ingestv1.ContentKeyService_KeepLastingKey_FullMethodName: {"dispatch"},
	})
}
