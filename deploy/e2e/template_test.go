//go:build e2e

package e2e

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

// differing is a text that is almost of the OTP template.
const differing = "482913 is your otp for ABC login. Do not share it. - ABCBNK"

// mismatch is what the API tells of a difference.
type mismatch struct {
	Code, Fix, Remedy, Expected, Found string
	Position                           int
	LenientPass                        bool
}

// TestTemplatesAreMatchedAndFound asks about texts and bodies over JSON.
func TestTemplatesAreMatchedAndFound(t *testing.T) {
	type answer struct {
		Matched    bool
		Values     []struct{ Name, Value string }
		Mismatches []mismatch
	}
	var matched, differs answer
	registry(t, http.MethodPost, "/v1/templates:match", fmt.Sprintf(`{"templateId":%q,"text":%q}`, otpTemplate, strings.Replace(differing, "otp", "OTP", 1)), http.StatusOK).into(t, &matched)
	if !matched.Matched || len(matched.Values) != 1 || matched.Values[0].Value != "482913" {
		t.Errorf("%+v", matched)
	}
	registry(t, http.MethodPost, "/v1/templates:match", fmt.Sprintf(`{"templateId":%q,"text":%q}`, otpTemplate, differing), http.StatusOK).into(t, &differs)
	if m := differs.Mismatches; differs.Matched || len(m) != 1 || m[0].Code != "TEMPLATE_NOT_MATCHED" || m[0].Fix != "case" || m[0].Position != 16 || m[0].Remedy == "" {
		t.Errorf("%+v", differs)
	}
	var found struct {
		Templates  []struct{ TemplateID, Status, Category string }
		Nearest    struct{ TemplateID string }
		Mismatches []mismatch
	}
	registry(t, http.MethodPost, "/v1/templates:find", fmt.Sprintf(`{"text":%q,"header":%q}`, strings.Replace(differing, "otp", "OTP", 1), demoHeader), http.StatusOK).into(t, &found)
	if len(found.Templates) == 0 || found.Templates[0].TemplateID != otpTemplate || found.Templates[0].Status != "active" {
		t.Errorf("%+v", found)
	}
	found.Templates = nil
	registry(t, http.MethodPost, "/v1/templates:find", fmt.Sprintf(`{"text":%q}`, differing), http.StatusOK).into(t, &found)
	if len(found.Templates) != 0 || found.Nearest.TemplateID != otpTemplate || len(found.Mismatches) != 1 || found.Mismatches[0].Fix != "case" {
		t.Errorf("%+v", found)
	}
	var linted struct {
		Findings []struct{ Code, Severity, Remedy string }
	}
	registry(t, http.MethodPost, "/v1/templates:lint", `{"template":{"body":"{#var#}{#var#} sale"},"category":"PROMOTIONAL"}`, http.StatusOK).into(t, &linted)
	if len(linted.Findings) < 3 || linted.Findings[0].Severity != "error" || linted.Findings[0].Remedy == "" {
		t.Errorf("%+v", linted)
	}
	var read struct {
		Variables []struct {
			Type      string
			MaxLength int
		}
		FixedBytes int
	}
	registry(t, http.MethodPost, "/v1/templates:validate", `{"template":{"body":"Code {#number#} of ABC","portal":"jio"}}`, http.StatusOK).into(t, &read)
	if len(read.Variables) != 1 || read.Variables[0].Type != "numeric" || read.Variables[0].MaxLength != 30 || read.FixedBytes != 12 {
		t.Errorf("%+v", read)
	}
	registry(t, http.MethodPost, "/v1/templates:match", `{"templateId":"1107160000000999999","text":"x"}`, http.StatusNotFound)
	registry(t, http.MethodPost, "/v1/templates:validate", `{"template":{"body":""}}`, http.StatusBadRequest)
}

// TestScrubOfflineIsTheServices exports the registry, lets the command decide messages by it without a network, and sends
// the same ones: the outcomes are the same.
func TestScrubOfflineIsTheServices(t *testing.T) {
	dir := t.TempDir()
	export := filepath.Join(dir, "registry.ndjson")
	if err := os.WriteFile(export, registry(t, http.MethodGet, "/v1/registry-export", "", http.StatusOK).body, 0o600); err != nil {
		t.Fatal(err)
	}
	texts := []string{strings.Replace(differing, "otp", "OTP", 1), differing, "nothing of the kind"}
	var file strings.Builder
	file.WriteString("Mobile,Message\n")
	for _, text := range texts {
		fmt.Fprintf(&file, "%s,%q\n", nextNumber(), text)
	}
	messagesFile := filepath.Join(dir, "messages.csv")
	if err := os.WriteFile(messagesFile, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(platform.Dir(), "bin", "compliance"), "scrub", "-registry", export, "-col", "to=Mobile",
		"-entity", demoEntity, "-header", demoHeader, "-template", otpTemplate, "-out-format", "csv", messagesFile)
	cmd.Env = []string{} // no settings, no database
	var told bytes.Buffer
	cmd.Stderr = &told
	out, err := cmd.Output()
	if code := cmd.ProcessState.ExitCode(); err == nil || code != 1 {
		t.Fatalf("exit code %d: %s%s", code, out, told.String())
	}
	t.Logf("%s", told.String())
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")[1:]
	client := messages(t, demoTenant)
	for i, text := range texts {
		id := send(t, client, &ingestv1.SendMessageRequest{To: nextNumber(), EntityId: demoEntity, Header: demoHeader, TemplateId: otpTemplate, Text: text})
		want := []typev1.MessageState{typev1.MessageState_DELIVERED, typev1.MessageState_REFUSED, typev1.MessageState_REFUSED}[i]
		got := awaitState(t, client, id, want)
		if refused := strings.Contains(lines[i], ",REFUSED,"); refused != (want == typev1.MessageState_REFUSED) {
			t.Errorf("%q: %s by the service, by the command %s", text, want, lines[i])
		}
		for _, r := range got.GetReasons() {
			if !strings.Contains(lines[i], r.GetCode()) {
				t.Errorf("%q: refused for %s, by the command %s", text, r.GetCode(), lines[i])
			}
		}
	}
}

// TestAChangeDoesNotWaitForAnImport changes 50,000 templates by an import and suspends one meanwhile, again and again: no
// call and no replica waits until the import is through. SHORT=1 takes a tenth.
func TestAChangeDoesNotWaitForAnImport(t *testing.T) {
	count := 50_000
	if testing.Short() {
		count = 5_000
	}
	const template, body = "1107160000000077002", "Dear {#alphanumeric#}, your gate is open - ABCBNK"
	registry(t, http.MethodPost, "/v1/registry/templates", fmt.Sprintf(`{"objectId":%q,"entityId":%q,"template":{"body":%q,"category":"SERVICE","headers":[%q]}}`,
		template, demoEntity, body, demoHeader), http.StatusOK)
	becomesOf(t, template, "Dear Asha, your gate is open - ABCBNK", typev1.MessageState_DELIVERED)
	client := compliancev1.NewRegistryServiceClient(dial(t, platform.Env("ONLINESMS_GRPC_ADDR"), keyOf(t, demoTenant, "live")))
	created, err := client.CreateImport(t.Context(), &compliancev1.CreateImportRequest{Content: ticketFile(t, count), EntityId: demoEntity})
	if err != nil {
		t.Fatal(err)
	}
	watch, err := client.WatchImport(t.Context(), &compliancev1.WatchImportRequest{ImportId: created.GetImport().GetImportId()})
	if err != nil {
		t.Fatal(err)
	}
	changed, last := 0, (*compliancev1.RegistryImport)(nil)
	for {
		resp, err := watch.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		last = resp.GetImport()
		if percent := last.GetPercent(); percent < 50 || percent > 99 || changed > 2 {
			continue // it is not being written
		}
		status, want := "suspended_customer", typev1.MessageState_REFUSED
		if changed++; changed%2 == 0 {
			status, want = "active", typev1.MessageState_DELIVERED
		}
		start := time.Now()
		if _, err := client.UpdateObjectStatus(t.Context(), &compliancev1.UpdateObjectStatusRequest{Kind: "templates", ObjectId: template, Status: status}); err != nil {
			t.Fatal(err)
		}
		answered := time.Since(start)
		took, _ := becomesOf(t, template, "Dear Asha, your gate is open - ABCBNK", want)
		t.Logf("at %d %% of the import: %s answered in %v, effective %v later", last.GetPercent(), status, answered, took)
	}
	if last.GetState() != "SUCCEEDED" || last.GetCreated()+last.GetChanged()+last.GetUnchanged() != int64(count) {
		t.Errorf("%v", last)
	}
	if changed == 0 && !testing.Short() { // a short file may be written between two looks
		t.Error("no change fell into the import: the test has shown nothing")
	}
	t.Logf("%d changes while %d templates were imported", changed, count)
}

// ticketFile is a file of so many templates, packed.
func ticketFile(t *testing.T, count int) []byte {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprintln(z, "template_id,category,headers,body")
	for i := range count {
		fmt.Fprintf(z, "110716000009%07d,service,ABCBNK,\"Dear {#alphanumeric#}, gate %d is open for you - ABCBNK\"\n", i, i)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}
