//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

// scrubs is ScrubService with a tenant's test key, through the door.
func scrubs(t *testing.T, tenant string) compliancev1.ScrubServiceClient {
	t.Helper()
	return compliancev1.NewScrubServiceClient(dial(t, platform.Env("ONLINESMS_GRPC_ADDR"), keyOf(t, tenant, "test")))
}

// simulate decides what was accepted since a time by a rule pack, empty for the one in force.
func simulate(t *testing.T, client compliancev1.ScrubServiceClient, pack string, since time.Time) (last *compliancev1.SimulateResponse) {
	t.Helper()
	if pack == "" {
		packs, err := client.ListRulePacks(t.Context(), &compliancev1.ListRulePacksRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range packs.GetRulePacks() {
			if p.GetInForce() {
				pack = p.GetVersion()
			}
		}
	}
	stream, err := client.Simulate(t.Context(), &compliancev1.SimulateRequest{RulePack: pack, StartTime: timestamppb.New(since),
		EndTime: timestamppb.New(time.Now().Add(time.Minute))})
	if err != nil {
		t.Fatal(err)
	}
	for {
		next, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return last
		case err != nil:
			t.Fatal(err)
		}
		last = next
	}
}

// checkDecisions: every accepted message was decided exactly once, and all decisions, made again from their records by the
// rules in force, come out as they are recorded. None was lost and none made twice when processes died.
func checkDecisions(t *testing.T, s sender, accepted []string, since time.Time) {
	t.Helper()
	client := scrubs(t, s.tenant)
	got := simulate(t, client, "", since)
	sum := got.GetSummary()
	if n := int64(len(accepted)); got.GetDecisionCount() != n || sum.GetSameCount() != n || sum.GetOtherReasonsCount() != 0 {
		t.Errorf("tenant %s: %d messages accepted; decisions: %v", s.tenant, n, got)
	}
	for i := 0; i < len(accepted); i += 50 {
		replayed, err := client.ReplayDecision(t.Context(), &compliancev1.ReplayDecisionRequest{MessageId: accepted[i]})
		if err != nil || len(replayed.GetDecisions()) != 1 || !replayed.GetIdentical() {
			t.Errorf("message %s: %v, %v", accepted[i], replayed, err)
		}
	}
}

// TestScrubTellsWhatSendingDoes scrubs by JSON, sends the same, and has the decision explained, made again and simulated.
func TestScrubTellsWhatSendingDoes(t *testing.T) {
	began, to := time.Now(), nextNumber()
	text := "604418 is your OTP for ABC login. Do not share it - ABCBNK"
	body := fmt.Sprintf(`{"message":{"to":%q,"entityId":%q,"header":%q,"templateId":"1107160000000000011","text":%q}}`, to, demoEntity, demoHeader, text)
	key := keyOf(t, demoTenant, "test")
	answer := call(t, http.MethodPost, "/v1/scrubs", key, body)
	var scrubbed struct {
		Result struct {
			Outcome, Encoding    string
			LenientOperatorsPass bool
			Checks               []struct {
				Check, Standing string
				Reasons         []struct {
					Code, Remedy  string
					OperatorCodes []struct{ Table, Code string }
				}
			}
		}
	}
	if err := json.Unmarshal(answer.body, &scrubbed); err != nil || answer.status != http.StatusOK {
		t.Fatalf("%d %s: %v", answer.status, answer.body, err)
	}
	failed := ""
	for _, c := range scrubbed.Result.Checks {
		if c.Standing == "CHECK_STANDING_FAILS" {
			failed = c.Check + " " + c.Reasons[0].Code
			if c.Reasons[0].Remedy == "" || len(c.Reasons[0].OperatorCodes) == 0 {
				t.Errorf("%+v", c)
			}
		}
	}
	if r := scrubbed.Result; r.Outcome != "REFUSED" || failed != "text TEMPLATE_NOT_MATCHED" || r.Encoding != "GSM7" || !r.LenientOperatorsPass {
		t.Errorf("%s", answer.body)
	}
	client := messages(t, demoTenant)
	id := send(t, client, &ingestv1.SendMessageRequest{To: to, EntityId: demoEntity, Header: demoHeader, TemplateId: "1107160000000000011", Text: text})
	awaitState(t, client, id, typev1.MessageState_REFUSED)
	if got := call(t, http.MethodGet, "/v1/messages/"+id+"/decision:explain", key, ""); got.status != http.StatusOK ||
		!strings.Contains(string(got.body), "TEMPLATE_NOT_MATCHED") || !strings.Contains(string(got.body), "header.status") {
		t.Errorf("explained: %d %s", got.status, got.body)
	}
	if got := call(t, http.MethodPost, "/v1/messages/"+id+"/decision:replay", key, "{}"); got.status != http.StatusOK ||
		!strings.Contains(strings.ReplaceAll(string(got.body), " ", ""), `"identical":true`) {
		t.Errorf("replayed: %d %s", got.status, got.body)
	}
	if got := simulate(t, scrubs(t, demoTenant), "", began); got.GetDecisionCount() < 1 || len(got.GetSummary().GetChanges()) != 0 {
		t.Errorf("by the rules in force: %v", got)
	}
	got := call(t, http.MethodPost, "/v1/decisions:simulate", key, `{"rulePack":"third-amendment-draft"}`)
	if got.status != http.StatusOK || !strings.Contains(string(got.body), `"summary"`) {
		t.Errorf("simulated: %d %.500s", got.status, got.body)
	}
}
