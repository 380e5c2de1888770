//go:build e2e

package e2e

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	auditv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/audit/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
)

// madeFor makes a key of a tenant by its own API: what a test does to it costs nobody else's.
func madeFor(t *testing.T, tenant, env string, scopes ...string) (id, key string) {
	t.Helper()
	client := ingestv1.NewApiKeyServiceClient(dial(t, platform.Env("ONLINESMS_GRPC_ADDR"), keyOf(t, tenant, env)))
	made, err := client.CreateApiKey(t.Context(), &ingestv1.CreateApiKeyRequest{Name: t.Name(), Scopes: scopes})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetApiKey().GetKeyId(), made.GetSecret()
}

// inClear sends a request over plain HTTP to a TLS port. It follows no redirect.
func inClear(t *testing.T, addr, key string) (status int, header http.Header, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/v1/messages", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(read)
}

// Item 1 of the acceptance list, on the running platform with two doors: a key sent over plain HTTP gets a bare 400 and
// no redirect, is refused over HTTPS by both doors within 5 s, and its alert and its audit event are there.
func TestItem1KeySentInClear(t *testing.T) {
	for _, addr := range []string{strings.TrimPrefix(platform.Env("ONLINESMS_API_URL"), "https://"), platform.Env("ONLINESMS_GRPC_ADDR")} {
		id, key := madeFor(t, demoTenant, "test", "messages:read")
		alerts := len(auditEntries(t, "onlinesms.ingest.v1.KeysExposed"))
		if got := call(t, http.MethodGet, "/v1/messages", key, ""); got.status != http.StatusOK {
			t.Fatalf("the key before: %d %s", got.status, got.body)
		}
		status, header, body := inClear(t, addr, key)
		if status != http.StatusBadRequest || body != "" || header.Get("Location") != "" {
			t.Errorf("plain HTTP answers %d %q with %v", status, body, header)
		}
		for _, door := range []string{platform.Env("ONLINESMS_GRPC_ADDR"), platform.Env("ONLINESMS_GRPC_ADDR_2")} {
			client := ingestv1.NewMessageServiceClient(dial(t, door, key))
			eventually(t, 5*time.Second, "the key is refused at "+door, func() bool {
				_, err := client.ListMessages(t.Context(), &ingestv1.ListMessagesRequest{})
				return reasonIn(err) == "KEY_REVOKED"
			})
		}
		if got := call(t, http.MethodGet, "/v1/messages", key, ""); got.status != http.StatusUnauthorized || !strings.Contains(string(got.body), "KEY_REVOKED") {
			t.Errorf("by HTTPS: %d %s", got.status, got.body)
		}
		eventually(t, patience, "audit event and alert of key "+id, func() bool {
			event := slices.ContainsFunc(auditEntries(t, "api_key.expose"), func(e *auditv1.Event) bool {
				return e.GetResource() == "api_key/"+id && e.GetOutcome() == "success"
			})
			return event && len(auditEntries(t, "onlinesms.ingest.v1.KeysExposed")) == alerts+1
		})
	}
}

// auditEntries are those of an action in the demo tenant's test log; a fresh platform has few.
func auditEntries(t *testing.T, action string) []*auditv1.Event {
	t.Helper()
	page, err := auditor(t, demoTenant).ListEvents(t.Context(), &auditv1.ListEventsRequest{Action: action, PageSize: 500})
	if err != nil {
		t.Fatal(err)
	}
	return page.GetEvents()
}
