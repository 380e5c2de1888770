package app

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/proto/openapi"
)

// Item 35 of the acceptance list, the part of API calls: 1,000 mixed calls, read, changed, refused and unknown, are
// 1,000 records in the outbox; a send that was accepted is on record as its MessagesAccepted alone.
func TestItem35EveryCallIsOneRecord(t *testing.T) {
	w := newWorld(t)
	kinds := []struct{ method, path, body, key string }{
		{"GET", "/v1/messages", "", w.test},
		{"GET", "/v1/messages/01930000-0000-7000-8000-00000000a403", "", w.test},
		{"GET", "/v1/messages", "", ""},
		{"POST", "/v1/messages", "{", w.test},
		{"POST", "/v1/messages", `{"to": "1"}`, w.test},
		{"PUT", "/v1/tenant", "{}", w.test},
		{"GET", "/v1/audit/events", "", w.test},
		{"GET", "/v1/messages", "", "osms_test_nothing"},
	}
	const calls, callers = 1000, 8
	ids := make([]map[string]bool, callers)
	var all sync.WaitGroup
	for n := range callers {
		ids[n] = map[string]bool{}
		all.Go(func() {
			for i := n; i < calls; i += callers {
				kind := kinds[(i/callers+n)%len(kinds)]
				id := fmt.Sprintf("call-%d", i)
				if err := w.numbered(kind.method, kind.path, kind.body, kind.key, id); err != nil {
					t.Error(err)
					return
				}
				ids[n][id] = true
			}
		})
	}
	all.Wait()
	w.stopped() // what waits in memory is stored
	recorded := map[string]int{}
	for _, r := range w.callRecords(t) {
		recorded[r.GetRequestId()]++
		if r.GetAction() == "" || r.GetActor() == "" || r.GetAddress() == "" || r.GetTimeUs() == 0 || r.GetOutcome() != "success" && r.GetReason() == "" {
			t.Errorf("an incomplete record: %v", r)
		}
	}
	for _, own := range ids {
		for id := range own {
			if recorded[id] != 1 {
				t.Errorf("%s has %d records", id, recorded[id])
			}
		}
	}
	if len(recorded) != calls {
		t.Errorf("%d calls, %d records", calls, len(recorded))
	}
}

func (w *world) numbered(method, path, body, key, id string) error {
	req, err := http.NewRequest(method, "https://"+w.door.HTTPAddr().String()+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Request-Id", id)
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := w.https.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer bytes.Buffer
	if _, err := io.Copy(&answer, resp.Body); err != nil {
		return err
	}
	if got := resp.Header.Get("X-Request-Id"); got != id {
		return fmt.Errorf("%s %s: request id %q", method, path, got)
	}
	return nil
}

// callRecords reads the records of all parcels.
func (w *world) callRecords(t *testing.T) (records []*ingestv1.CallRecord) {
	t.Helper()
	// The service is stopped and its pools are closed.
	conn, err := pgx.Connect(t.Context(), string(w.db.Config.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // read only
	rows, err := conn.Query(t.Context(), "select payload from parcels where subject like 'onlinesms.ingest.v1.CallsRecorded.%'")
	if err != nil {
		t.Fatal(err)
	}
	payloads, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		t.Fatal(err)
	}
	for _, payload := range payloads {
		parcel := &ingestv1.CallParcel{}
		if err := proto.Unmarshal(payload, parcel); err != nil {
			t.Fatal(err)
		}
		records = append(records, parcel.GetRecords()...)
	}
	return records
}

// All routes of the OpenAPI document are offered by the service as it is put together.
func TestItem16TheServiceOffersWhatIsDocumented(t *testing.T) {
	w := newWorld(t)
	if missing := w.door.Undocumented(openapi.Document); len(missing) > 0 {
		t.Errorf("routes and document differ: %v", missing)
	}
}

// Item 1 of the acceptance list: a key that was sent over plain HTTP is answered 400 without a redirect, is refused
// over HTTPS within 5 s, and its withdrawal is on record and in the log, without the key.
func TestItem1KeySentInClear(t *testing.T) {
	w := newWorld(t)
	conn, err := net.Dial("tcp", w.door.HTTPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", w.test); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") || strings.Contains(string(answer), "Location") {
		t.Errorf("%q, %v", answer, err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		_, err := w.client().ListMessages(as(t, w.test), &ingestv1.ListMessagesRequest{})
		if status.Code(err) == codes.Unauthenticated {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the key still works: %v", err)
		}
		<-time.After(20 * time.Millisecond)
	}
	if _, err := w.client().ListMessages(as(t, w.live), &ingestv1.ListMessagesRequest{}); err != nil {
		t.Errorf("the other key: %v", err)
	}
	var alert []byte
	if err := w.db.DB.Worker.QueryRow(t.Context(), "SELECT payload FROM parcels WHERE subject = 'onlinesms.ingest.v1.KeysExposed.test.control'").Scan(&alert); err != nil {
		t.Fatalf("the alert: %v", err)
	}
	var keys ingestv1.ExposedParcel
	if err := proto.Unmarshal(alert, &keys); err != nil || len(keys.GetKeys()) != 1 || keys.GetKeys()[0].GetKeyId() != kidOf(t, w.test) {
		t.Errorf("the alert names %v, %v", keys.GetKeys(), err)
	}
	w.stopped()
	exposed := 0
	for _, r := range w.callRecords(t) {
		if r.GetAction() == "api_key.expose" && r.GetOutcome() == "success" && r.GetActor() == "anonymous" && r.GetAddress() == "127.0.0.1" &&
			strings.HasPrefix(r.GetResource(), "api_key/") && strings.Contains(strings.ToLower(r.GetAfter()), "revoked") {
			exposed++
		}
	}
	if exposed != 1 {
		t.Errorf("%d records of the withdrawal: %v", exposed, w.callRecords(t))
	}
	if logs := w.logs.String(); strings.Contains(logs, w.test) || !strings.Contains(logs, "sent in clear and is withdrawn") {
		t.Error("the log holds the key, or no alert")
	}
}
