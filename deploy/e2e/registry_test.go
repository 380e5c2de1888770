//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	auditv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/audit/v1"
	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

// ownTemplate is made, suspended and stopped by these tests; no other test sends with it.
const (
	ownTemplate = "1107160000000077001"
	ownBody     = "Dear {#alphanumeric#}, your parcel is at the gate - ABCBNK"
)

// registry calls the JSON API with the demo tenant's live key and wants a status.
func registry(t *testing.T, method, path, body string, want int) answer {
	t.Helper()
	got := call(t, method, path, keyOf(t, demoTenant, "live"), body)
	if got.status != want {
		t.Fatalf("%s %s: %d %s, want %d", method, path, got.status, got.body, want)
	}
	return got
}

// becomes sends with the template of these tests until a message ends in a state.
func becomes(t *testing.T, want typev1.MessageState) (time.Duration, *ingestv1.GetMessageResponse) {
	t.Helper()
	return becomesOf(t, ownTemplate, "Dear Asha, your parcel is at the gate - ABCBNK", want)
}

// becomesOf answers how long that took from the call to the sending of the message, and the message.
func becomesOf(t *testing.T, template, text string, want typev1.MessageState) (time.Duration, *ingestv1.GetMessageResponse) {
	t.Helper()
	start := time.Now()
	client := messages(t, demoTenant)
	for {
		sent := time.Since(start)
		id := send(t, client, &ingestv1.SendMessageRequest{To: nextNumber(), EntityId: demoEntity, Header: demoHeader, TemplateId: template, Text: text})
		var got *ingestv1.GetMessageResponse
		eventually(t, patience, "the message is decided", func() bool {
			var err error
			got, err = client.GetMessage(t.Context(), &ingestv1.GetMessageRequest{MessageId: id})
			return err == nil && (got.GetState() == typev1.MessageState_REFUSED || got.GetState() == typev1.MessageState_DELIVERED)
		})
		if got.GetState() == want {
			return sent, got
		}
		if sent > patience {
			t.Fatalf("still %s", got.GetState())
		}
	}
}

// TestRegistryIsKeptByTheAPI registers a template, sends with it, suspends it, stops it and lets it go again, all over the
// public API; the audit log says who did it.
func TestRegistryIsKeptByTheAPI(t *testing.T) {
	created := registry(t, http.MethodPost, "/v1/registry/templates", fmt.Sprintf(`{"objectId":%q,"entityId":%q,"template":{"body":%q,"category":"SERVICE","headers":[%q]}}`,
		ownTemplate, demoEntity, ownBody, demoHeader), http.StatusOK)
	if created.header.Get("X-Audit-Event") == "" {
		t.Error("the change names no audit entry")
	}
	took, _ := becomes(t, typev1.MessageState_DELIVERED)
	t.Logf("registered: sendable within %v", took)

	registry(t, http.MethodPost, "/v1/registry/templates/"+ownTemplate+":status", `{"status":"suspended_customer","reason":"test"}`, http.StatusOK)
	took, got := becomes(t, typev1.MessageState_REFUSED)
	t.Logf("suspended: refused within %v", took)
	if code := got.GetReasons()[0].GetCode(); code != "TEMPLATE_SUSPENDED" {
		t.Errorf("refused for %s", code)
	}
	registry(t, http.MethodPost, "/v1/registry/templates/"+ownTemplate+":status", `{"status":"active"}`, http.StatusOK)
	becomes(t, typev1.MessageState_DELIVERED)

	stop := fmt.Sprintf(`{"scope":"template","objectId":%q,"reason":"test of the kill switch"}`, ownTemplate)
	registry(t, http.MethodPost, "/v1/stops", stop, http.StatusOK)
	took, got = becomes(t, typev1.MessageState_REFUSED)
	t.Logf("stopped: refused within %v", took)
	if code := got.GetReasons()[0].GetCode(); code != "SENDING_STOPPED" {
		t.Errorf("refused for %s", code)
	}
	registry(t, http.MethodPost, "/v1/stops:resume", stop, http.StatusOK)
	becomes(t, typev1.MessageState_DELIVERED)

	registry(t, http.MethodDelete, "/v1/registry/templates/"+ownTemplate+"?reason=done", "", http.StatusOK)
	var object struct {
		Object struct{ Status string }
	}
	registry(t, http.MethodGet, "/v1/registry/templates/"+ownTemplate, "", http.StatusOK).into(t, &object)
	if object.Object.Status != "inactive" {
		t.Errorf("after its end it is %q", object.Object.Status)
	}
	auditKnowsWho(t)
}

// auditKnowsWho finds the changes of the template in the audit log, by the key that made them.
func auditKnowsWho(t *testing.T) {
	t.Helper()
	client := auditv1.NewAuditServiceClient(dial(t, platform.Env("ONLINESMS_GRPC_ADDR"), keyOf(t, demoTenant, "live")))
	eventually(t, patience, "the audit log has the changes", func() bool {
		found := 0
		for token := ""; ; {
			page, err := client.ListEvents(t.Context(), &auditv1.ListEventsRequest{Action: "onlinesms.compliance.v1.RegistryChanged", PageSize: 500, PageToken: token})
			if err != nil {
				t.Fatalf("ListEvents: %v", err)
			}
			for _, e := range page.GetEvents() {
				if e.GetResource() == "templates/"+ownTemplate && strings.HasPrefix(e.GetActor(), "key/") {
					found++
				}
			}
			if token = page.GetNextPageToken(); token == "" {
				return found >= 4
			}
		}
	})
}

// importFile imports a CSV file over JSON and waits for its end.
func importFile(t *testing.T, content, mode string) (imported struct {
	ImportID, State, Reason, Portal       string
	Created, Changed, Unchanged, Problems string
}) {
	t.Helper()
	body := fmt.Sprintf(`{"content":%q,"entityId":%q,"mode":%q}`, base64.StdEncoding.EncodeToString([]byte(content)), demoEntity, mode)
	answer := struct{ Import any }{&imported}
	registry(t, http.MethodPost, "/v1/registry-imports", body, http.StatusOK).into(t, &answer)
	eventually(t, patience, "the import has ended", func() bool {
		registry(t, http.MethodGet, "/v1/registry-imports/"+imported.ImportID, "", http.StatusOK).into(t, &answer)
		return imported.State == "SUCCEEDED" || imported.State == "FAILED"
	})
	return imported
}

// TestRegistryImportsAPortalsFile imports a file, the same again, and one with a wrong line, and finds its objects in the
// export.
func TestRegistryImportsAPortalsFile(t *testing.T) {
	var file strings.Builder
	file.WriteString("Template Id,Template Name,Template Type,Header,Template Content,Template Status\n")
	for i := range 200 {
		fmt.Fprintf(&file, "11071600000881%05d,T%d,Service Implicit,ABCBNK,\"Dear {#alphanumeric#}, slot %d is yours - ABCBNK\",Approved\n", i, i, i)
	}
	if got := importFile(t, file.String(), ""); got.State != "SUCCEEDED" || got.Portal != "vilpower" || got.Created != "200" {
		t.Fatalf("%+v", got)
	}
	if got := importFile(t, file.String(), "import"); got.State != "SUCCEEDED" || got.Unchanged != "200" {
		t.Errorf("the same again: %+v", got)
	}
	wrong := importFile(t, file.String()+"11071600000881,T,Service Implicit,ABCBNK,x,Approved\n", "import")
	if wrong.State != "FAILED" || wrong.Reason != "IMPORT_LINES_WRONG" {
		t.Errorf("%+v", wrong)
	}
	var page struct {
		Problems []struct{ Line, Column, Reason string }
	}
	registry(t, http.MethodGet, "/v1/registry-imports/"+wrong.ImportID+"/problems", "", http.StatusOK).into(t, &page)
	if len(page.Problems) != 1 || page.Problems[0].Line != "202" || page.Problems[0].Reason != "TEMPLATE_ID_INVALID" {
		t.Errorf("%+v", page)
	}
	found := 0
	lines := bufio.NewScanner(bytes.NewReader(registry(t, http.MethodGet, "/v1/registry-export", "", http.StatusOK).body))
	for lines.Scan() {
		var line struct {
			Result struct{ Object struct{ ObjectID string } }
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		if strings.HasPrefix(line.Result.Object.ObjectID, "11071600000881") {
			found++
		}
	}
	if found != 200 {
		t.Errorf("%d of the imported templates are exported", found)
	}
	if got := call(t, http.MethodPost, "/v1/registry-imports", keyOf(t, demoTenant, "test"), `{"content":"eA=="}`); got.status != http.StatusForbidden {
		t.Errorf("a test key imports: %d %s", got.status, got.body)
	}
}

// TestRegistryTakesAHundredThousandTemplates imports them with progress, and a change of one among them holds at once.
// SHORT=1 takes a tenth.
func TestRegistryTakesAHundredThousandTemplates(t *testing.T) {
	count, steps := 100_000, 3
	if testing.Short() {
		count, steps = 10_000, 1 // a tenth may be through between two looks
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprintln(z, "template_id,category,headers,body")
	for i := range count {
		fmt.Fprintf(z, "110716000008%07d,service,ABCBNK,\"Dear {#alphanumeric#}, ticket %d is yours - ABCBNK\"\n", i, i)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	client := compliancev1.NewRegistryServiceClient(dial(t, platform.Env("ONLINESMS_GRPC_ADDR"), keyOf(t, demoTenant, "live")))
	start := time.Now()
	created, err := client.CreateImport(t.Context(), &compliancev1.CreateImportRequest{Content: packed.Bytes(), EntityId: demoEntity})
	if err != nil {
		t.Fatal(err)
	}
	watch, err := client.WatchImport(t.Context(), &compliancev1.WatchImportRequest{ImportId: created.GetImport().GetImportId()})
	if err != nil {
		t.Fatal(err)
	}
	var last *compliancev1.RegistryImport
	seen := 0
	for {
		resp, err := watch.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if resp.GetImport().GetPercent() < last.GetPercent() {
			t.Errorf("progress went back from %d to %d percent", last.GetPercent(), resp.GetImport().GetPercent())
		}
		last = resp.GetImport()
		seen++
	}
	t.Logf("%d templates (%d KiB packed) in %v, %d steps of progress", count, packed.Len()>>10, time.Since(start), seen)
	if last.GetState() != "SUCCEEDED" || last.GetCreated() != int64(count) || seen < steps {
		t.Fatalf("%v after %d steps", last, seen)
	}
	const ticket = "1107160000080000007"
	becomesOf(t, ticket, "Dear Asha, ticket 7 is yours - ABCBNK", typev1.MessageState_DELIVERED)
	if _, err := client.UpdateObjectStatus(t.Context(), &compliancev1.UpdateObjectStatusRequest{Kind: "templates", ObjectId: ticket, Status: "suspended_usage"}); err != nil {
		t.Fatal(err)
	}
	took, _ := becomesOf(t, ticket, "Dear Asha, ticket 7 is yours - ABCBNK", typev1.MessageState_REFUSED)
	t.Logf("suspended among them: refused within %v", took)
}
