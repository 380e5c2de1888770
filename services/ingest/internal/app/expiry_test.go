package app

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
)

// Item 13: a key close to its end says so in every answer, by gRPC and JSON, refusals included.
func TestItem13Warning(t *testing.T) {
	w := newWorld(t)
	key := w.key(t, "live", nil, "messages:read")
	if resp := w.request(t, "GET", "/v1/messages", "", bearer(key)...); resp.Header.Get("Key-Expires-In") != "" {
		t.Errorf("a fresh key expires in %s", resp.Header.Get("Key-Expires-In"))
	}
	w.setKey(t, key, "expire_time = now() + interval '23 hours'")
	for path, want := range map[string]int{"/v1/messages": 200, "/v1/messages/01930000-0000-7000-8000-000000000001": 404} {
		if resp := w.request(t, "GET", path, "", bearer(key)...); resp.StatusCode != want || resp.Header.Get("Key-Expires-In") != "1" {
			t.Errorf("%s: %d, Key-Expires-In %q", path, resp.StatusCode, resp.Header.Get("Key-Expires-In"))
		}
	}
	var header metadata.MD
	if _, err := w.client().ListMessages(as(t, key), &ingestv1.ListMessagesRequest{}, grpc.Header(&header)); err != nil || !slices.Equal(header.Get("key-expires-in"), []string{"1"}) {
		t.Errorf("%v, %v", header, err)
	}
	if err := tenant.Remind(t.Context(), w.store, w.log); err != nil || !strings.Contains(w.logs.String(), kidOf(t, key)) {
		t.Errorf("no reminder in the log, %v", err)
	}
}

// Item 13 with the service's clock moved and no job having run: at day 89 a key works, with its warning, and its reminder
// is an event; a second after day 90 it is refused. A key rotated with an overlap of 7 days works beside its successor,
// and then no more.
func TestItem13NinetyDays(t *testing.T) {
	w := newWorld(t)
	manager := w.key(t, "live", nil, "keys:write", "messages:read")
	made, err := w.keys().CreateApiKey(as(t, manager), &ingestv1.CreateApiKeyRequest{Name: "rotated", Scopes: []string{"messages:read"}})
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := w.keys().RotateApiKey(as(t, manager), &ingestv1.RotateApiKeyRequest{KeyId: made.GetApiKey().GetKeyId()})
	if err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	whole, old, fresh := w.live, made.GetSecret(), rotated.GetSecret()
	for _, step := range []struct {
		after   time.Duration
		key     string
		status  int
		reason  string
		warning string
	}{
		{0, whole, 200, "", ""}, {0, old, 200, "", "7"}, {0, fresh, 200, "", ""},
		{7*day - time.Hour, old, 200, "", "1"}, {7*day + time.Second, old, 401, "KEY_EXPIRED", ""}, {7*day + time.Second, fresh, 200, "", ""},
		{61 * day, whole, 200, "", "29"}, {89 * day, whole, 200, "", "1"}, {89 * day, fresh, 200, "", "1"},
		{90*day + time.Second, whole, 401, "KEY_EXPIRED", ""}, {90*day + time.Minute, fresh, 401, "KEY_EXPIRED", ""},
	} {
		w.ahead.Store(int64(step.after))
		resp := w.request(t, "GET", "/v1/messages", "", bearer(step.key)...)
		if resp.StatusCode != step.status || resp.Header.Get("Key-Expires-In") != step.warning {
			t.Errorf("after %v: %d with Key-Expires-In %q, want %d with %q", step.after, resp.StatusCode, resp.Header.Get("Key-Expires-In"), step.status, step.warning)
		}
		if step.reason != "" && resp.problem(t).Reason != step.reason {
			t.Errorf("after %v: %s", step.after, resp.body)
		}
		if step.after == 89*day {
			if err := tenant.Remind(t.Context(), w.store, w.log); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := w.count(t, "parcels WHERE subject LIKE 'onlinesms.ingest.v1.KeysExpiring.live.%'"); n != 1 {
		t.Errorf("%d reminders", n)
	}
}
