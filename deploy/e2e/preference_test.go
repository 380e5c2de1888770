//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

const (
	scrubbedTemplate = "1107160000000077050"
	scrubbedBody     = "Scrubbed stock at ABC stores till {#alphanumeric#}. Opt out: {#url#} - ABC"
	scrubbedText     = "Scrubbed stock at ABC stores till Sunday. Opt out: https://abc.in/stop?x=1 - ABC"
	firstPreference  = 7_000_000_000
)

// preferenceLines is the size of the file: E2E_PREFERENCES=10000000 for the full one.
func preferenceLines(t *testing.T) int {
	t.Helper()
	if text := os.Getenv("E2E_PREFERENCES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1000 {
			t.Fatalf("E2E_PREFERENCES=%s", text)
		}
		return n
	}
	return 200_000
}

// writeScrub writes a file of so many numbers; of three the first is fully blocked, the second free, the third blocks the
// header's category of goods. turn moves that on by so many numbers.
func writeScrub(t *testing.T, w io.Writer, lines, turn int) {
	t.Helper()
	out := bufio.NewWriter(w)
	for i := range lines {
		fmt.Fprintf(out, "%d%s\n", firstPreference+i, []string{",full", ",none", ",5|8"}[(i+turn)%3])
	}
	if err := out.Flush(); err != nil {
		t.Error(err)
	}
}

// importPreferences prepares the operator's command.
func importPreferences(t *testing.T, file string, at time.Time) *exec.Cmd {
	t.Helper()
	env, err := platform.ServiceEnv()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(platform.Dir(), "bin", "compliance"), "import-preferences", "-file", file,
		"-provider", "e2e", "-reference", filepath.Base(file), "-at", at.Format(time.RFC3339))
	cmd.Env = env
	return cmd
}

// scrubReplica is one replica of the platform, as its door shows it.
type scrubReplica struct {
	compliancev1.PreferenceServiceClient
	compliancev1.ComplianceServiceClient
	ingestv1.MessageServiceClient
}

func scrubReplicas(t *testing.T) (all []scrubReplica) {
	for _, addr := range []string{"ONLINESMS_GRPC_ADDR", "ONLINESMS_GRPC_ADDR_2"} {
		var conn grpc.ClientConnInterface = dial(t, platform.Env(addr), keyOf(t, demoTenant, "live"))
		all = append(all, scrubReplica{compliancev1.NewPreferenceServiceClient(conn), compliancev1.NewComplianceServiceClient(conn), ingestv1.NewMessageServiceClient(conn)})
	}
	return all
}

// registered says what the register of a replica says of the number at a place of the file.
func (r scrubReplica) registered(t *testing.T, place int) string {
	t.Helper()
	got, err := r.Lookup(t.Context(), &compliancev1.PreferenceServiceLookupRequest{To: fmt.Sprintf("+91%d", firstPreference+place), Goods: 5})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(got.GetAnswer() + " " + got.GetBlockedBy())
}

// decided sends promotion to the number at a place of the file and answers which reasons on preference it met.
func (r scrubReplica) decided(t *testing.T, place int) (found []string) {
	t.Helper()
	id := send(t, r.MessageServiceClient, &ingestv1.SendMessageRequest{To: fmt.Sprintf("+91%d", firstPreference+place), EntityId: demoEntity, Header: "512345",
		TemplateId: scrubbedTemplate, Text: scrubbedText})
	var got *compliancev1.GetDecisionResponse
	eventually(t, patience, "promotion is decided", func() bool {
		state, err := r.GetMessage(t.Context(), &ingestv1.GetMessageRequest{MessageId: id})
		if err != nil || state.GetState() == typev1.MessageState_ACCEPTED {
			return false
		}
		got, err = r.GetDecision(t.Context(), &compliancev1.GetDecisionRequest{MessageId: id})
		return err == nil && len(got.GetDecisions()) > 0
	})
	for _, reason := range got.GetDecisions()[0].GetReasons() {
		if slices.Contains([]string{"PREFERENCE_BLOCKED", "NOT_SCRUBBED"}, reason.GetCode()) {
			found = append(found, reason.GetCode())
		}
	}
	return found
}

// TestPreferencesReachEveryReplica: the operator imports a scrub's file while messages flow; it is in force on both
// replicas, decisions are right before, during and after; an importer that is killed leaves the file in force.
func TestPreferencesReachEveryReplica(t *testing.T) {
	lines, replicas := preferenceLines(t), scrubReplicas(t)
	registry(t, http.MethodPost, "/v1/registry/templates", fmt.Sprintf(`{"objectId":%q,"entityId":%q,"template":{"body":%q,"category":"PROMOTIONAL","headers":["512345"],"goods":5}}`,
		scrubbedTemplate, demoEntity, scrubbedBody), http.StatusOK)
	file := filepath.Join(t.TempDir(), "first.csv")
	writeFile(t, file, lines, 0)
	scrubbed := time.Now()
	start := time.Now()
	sent := importWhileSending(t, replicas, file, scrubbed, "")
	t.Logf("%d lines imported in %v, %d messages sent meanwhile", lines, time.Since(start).Round(time.Millisecond), sent)
	check := func(turn int) {
		t.Helper()
		for _, r := range replicas {
			eventually(t, patience, "the file is in force", func() bool { return r.registered(t, 0) == []string{"BLOCKED all", "FREE", "BLOCKED category"}[turn%3] })
			for place := range 3 {
				want := []string{"BLOCKED all", "FREE", "BLOCKED category"}[(place+turn)%3]
				if got := r.registered(t, place); got != want {
					t.Errorf("place %d: %s, want %s", place, got, want)
				}
				wantReason := ""
				if want != "FREE" {
					wantReason = "PREFERENCE_BLOCKED"
				}
				if got := strings.Join(r.decided(t, place), " "); got != wantReason {
					t.Errorf("place %d, decided: %q, want %q", place, got, wantReason)
				}
			}
			if got := r.registered(t, lines); got != "NOT_SCRUBBED" {
				t.Errorf("behind the file: %s", got)
			}
		}
	}
	check(0)
	killImporter(t, lines, scrubbed)
	check(0)
	second := filepath.Join(t.TempDir(), "second.csv")
	writeFile(t, second, lines, 1)
	importWhileSending(t, replicas, second, scrubbed, "PREFERENCE_BLOCKED")
	check(1)
}

func writeFile(t *testing.T, path string, lines, turn int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	writeScrub(t, f, lines, turn)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// importWhileSending runs the command and sends codes, which pass throughout, and promotion to the first number, which is
// never decided by anything but the file before or the one after. It answers how many codes were sent.
func importWhileSending(t *testing.T, replicas []scrubReplica, file string, at time.Time, before string) (sent int) {
	t.Helper()
	cmd := importPreferences(t, file, at)
	var out bytes.Buffer
	cmd.Stderr = &out
	var ended atomic.Bool
	done := make(chan error, 1)
	go func() {
		err := cmd.Run()
		ended.Store(true)
		done <- err
	}()
	client := messages(t, demoTenant)
	var ids []string
	for !ended.Load() {
		ids = append(ids, send(t, client, otp(nextNumber(), "271828")))
		if got := strings.Join(replicas[0].decided(t, 0), " "); before != "" && got != before && got != "" {
			t.Errorf("during the import: %q", got)
		}
	}
	if err := <-done; err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if !strings.Contains(out.String(), " lines") || !strings.Contains(out.String(), "100 %") {
		t.Errorf("no progress: %s", out.String())
	}
	for _, id := range ids {
		awaitState(t, client, id, typev1.MessageState_DELIVERED)
	}
	return len(ids)
}

// killImporter kills -9 an importer that has read most of another file.
func killImporter(t *testing.T, lines int, at time.Time) {
	t.Helper()
	cmd := importPreferences(t, "-", at)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writeScrub(t, in, lines, 2) // more than the pipe holds: it has read all but the last of it
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Errorf("killed: %v", err)
	}
}
