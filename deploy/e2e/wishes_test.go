//go:build e2e

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

// The demo's promotional template and its header.
const (
	promoTemplate = "1107160000000000033"
	promoHeader   = "512345"
)

func consents(t *testing.T, p *party) compliancev1.ConsentServiceClient {
	return compliancev1.NewConsentServiceClient(p.conn)
}

func given(t *testing.T, p *party, number string) *compliancev1.ConsentRecord {
	t.Helper()
	got, err := consents(t, p).RecordConsent(t.Context(), &compliancev1.RecordConsentRequest{Recipient: number, EntityId: p.entity,
		Grant: &compliancev1.ConsentGrant{Method: "dca", NoticeVersion: "v1", NoticeLanguage: "hi", RegistrarReference: "of " + p.tenant + " " + p.env}})
	if err != nil {
		t.Fatal(err)
	}
	return got.GetConsent()
}

func madeReceipt(t *testing.T, p *party) string {
	return given(t, p, nextNumber()).GetEvents()[0].GetReceiptId()
}

func madeConsentImport(t *testing.T, p *party) string {
	got, err := consents(t, p).ImportConsents(t.Context(), &compliancev1.ImportConsentsRequest{
		Content: []byte("recipient,entity_id\n" + nextNumber() + "," + p.entity + "\n12," + p.entity + "\n")})
	if err != nil {
		t.Fatal(err)
	}
	return got.GetImport().GetImportId()
}

func madeComplaint(t *testing.T, p *party) string {
	got, err := compliancev1.NewComplaintServiceClient(p.conn).RecordComplaint(t.Context(), &compliancev1.RecordComplaintRequest{
		Recipient: nextNumber(), EntityId: p.entity, Reference: "of " + p.tenant + " " + p.env})
	if err != nil {
		t.Fatal(err)
	}
	return got.GetComplaint().GetComplaintId()
}

func promotion(number string) *ingestv1.SendMessageRequest {
	return &ingestv1.SendMessageRequest{To: number, EntityId: demoEntity, Header: promoHeader, TemplateId: promoTemplate,
		Text: "Fresh stock at ABC stores till Sunday. Opt out: https://abc.in/stop?x=1 - ABC"}
}

// promotionGoes tells whether promotion may go for some time yet: 10:00 to 21:00, Indian Standard Time.
func promotionGoes() bool {
	hour := time.Now().In(time.FixedZone("IST", 19800)).Add(5 * time.Minute).Hour()
	return hour >= 10 && hour < 21
}

func reasonsOf(m *ingestv1.GetMessageResponse) (all []string) {
	for _, r := range m.GetReasons() {
		all = append(all, r.GetCode())
	}
	return all
}

// TestRequirement34RevokedConsent (D32): a message that waits is not sent when its recipient takes consent back, and a new
// one is refused as soon as the call is answered; as of before, the consent still stands, and its receipt verifies offline.
func TestRequirement34RevokedConsent(t *testing.T) {
	p, number := demoParty(t), nextNumber()
	client := messages(t, demoTenant)
	record := given(t, p, number)
	waiting := promotion(number)
	waiting.ScheduleTime = timestamp(time.Now().Add(4 * time.Second))
	held := send(t, client, waiting)
	awaitState(t, client, held, typev1.MessageState_HELD)
	before := time.Now()
	if _, err := consents(t, p).RevokeConsent(t.Context(), &compliancev1.RevokeConsentRequest{Recipient: number, EntityId: demoEntity}); err != nil {
		t.Fatal(err)
	}
	fresh := awaitState(t, client, send(t, client, promotion(number)), typev1.MessageState_REFUSED)
	if got := reasonsOf(fresh); !slices.Contains(got, "OPTED_OUT") {
		t.Errorf("refused for %v", got)
	}
	if promotionGoes() {
		if got := reasonsOf(awaitState(t, client, held, typev1.MessageState_REFUSED)); !slices.Contains(got, "OPTED_OUT") {
			t.Errorf("refused for %v", got)
		}
	}
	if n := len(segmentsTo(t, number)); n != 0 {
		t.Errorf("the operator got %d segments", n)
	}
	for at, want := range map[time.Time]string{before: "VALID", time.Now(): "REVOKED"} {
		got, err := consents(t, p).GetConsent(t.Context(), &compliancev1.GetConsentRequest{Recipient: number, EntityId: demoEntity, AsOfTime: timestamp(at)})
		if err != nil || len(got.GetConsents()) != 1 || got.GetConsents()[0].GetState() != want {
			t.Errorf("as of %v: %v %v, want %s", at, got, err, want)
		}
	}
	receipt, err := consents(t, p).GetConsentReceipt(t.Context(), &compliancev1.GetConsentReceiptRequest{ReceiptId: record.GetEvents()[0].GetReceiptId()})
	if err != nil {
		t.Fatal(err)
	}
	if hash := sha256.Sum256([]byte(receipt.GetDocument())); hex.EncodeToString(hash[:]) != record.GetEvents()[0].GetReceiptSha256() {
		t.Errorf("the receipt does not verify: %s", receipt.GetDocument())
	}
	if _, err := consents(t, p).RequestConsent(t.Context(), &compliancev1.RequestConsentRequest{Recipient: number, EntityId: demoEntity}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("asked within 90 days: %v", err)
	}
}

// TestRequirement71Evidence: one call answers for a number and a day what was sent, why, and what the recipient had said.
func TestRequirement71Evidence(t *testing.T) {
	p, number := demoParty(t), nextNumber()
	client := messages(t, demoTenant)
	given(t, p, number)
	id := send(t, client, otp(number, "482913"))
	awaitState(t, client, id, typev1.MessageState_DELIVERED)
	day := time.Now().In(time.FixedZone("IST", 19800)).Format(time.DateOnly)
	got, err := compliancev1.NewComplaintServiceClient(p.conn).GetEvidence(t.Context(), &compliancev1.GetEvidenceRequest{Recipient: number, Date: day})
	if err != nil || len(got.GetMessages()) != 1 {
		t.Fatalf("%v %v", got, err)
	}
	m := got.GetMessages()[0]
	if m.GetMessageId() != id || m.GetTemplateId() != otpTemplate || m.GetTemplateBody() == "" || len(m.GetDecisions()) == 0 ||
		m.GetDecisions()[0].GetRulePack() == "" || len(m.GetWishes().GetConsents()) != 1 {
		t.Errorf("%v", m)
	}
}

// TestSuppressedRecipient: a list forbids even codes where it says all, over JSON as well.
func TestSuppressedRecipient(t *testing.T) {
	p, number := demoParty(t), nextNumber()
	client := messages(t, demoTenant)
	answer := call(t, "POST", "/v1/suppressions", p.key, fmt.Sprintf(`{"recipients": [%q], "appliesTo": "all", "reason": "asked us to"}`, number))
	if answer.status != 200 || answer.header.Get("X-Audit-Event") == "" {
		t.Fatalf("%d %s", answer.status, answer.body)
	}
	// What few tenants have is looked for twice a second.
	eventually(t, patience, "a code to the number is refused", func() bool {
		id := send(t, client, otp(number, "482913"))
		for {
			got, err := client.GetMessage(t.Context(), &ingestv1.GetMessageRequest{MessageId: id})
			if err != nil {
				t.Fatal(err)
			}
			switch got.GetState() {
			case typev1.MessageState_REFUSED:
				return slices.Contains(reasonsOf(got), "RECIPIENT_SUPPRESSED")
			case typev1.MessageState_DELIVERED:
				return false
			}
		}
	})
	removed := call(t, "POST", "/v1/suppressions:remove", p.key, fmt.Sprintf(`{"recipients": [%q]}`, number))
	if removed.status != 200 {
		t.Fatalf("%d %s", removed.status, removed.body)
	}
	awaitState(t, client, send(t, client, otp(number, "482913")), typev1.MessageState_DELIVERED)
}
