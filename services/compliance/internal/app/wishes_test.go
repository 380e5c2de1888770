package app

import (
	"crypto/sha256"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consumer"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
)

// wishClients are the services of people's wishes on a replica, as the door calls them.
type wishClients struct {
	compliancev1.ConsentServiceClient
	compliancev1.SuppressionServiceClient
	compliancev1.ComplaintServiceClient
}

func (w *world) people(c *compliance) wishClients {
	tls, err := tlsconf.Client(w.files["ingest"], name)
	must(w.t, err)
	conn, err := rpc.Dial(c.addr.String(), tls)
	must(w.t, err)
	w.t.Cleanup(func() { conn.Close() })
	return wishClients{compliancev1.NewConsentServiceClient(conn), compliancev1.NewSuppressionServiceClient(conn), compliancev1.NewComplaintServiceClient(conn)}
}

var wishScopes = []string{"consents:read", "consents:write", "suppressions:read", "suppressions:write", "complaints:read", "complaints:write"}

const freshText = "Fresh stock at ABC stores till Sunday. Opt out: https://abc.in/stop?x=1 - ABC"

// promote sends a promotional message and answers what became of it.
func (w *world) promote(env string) seen {
	w.t.Helper()
	parcel, _ := w.accept(env, "bulk", w.text(stock, "512345", freshText))
	w.ingest.Publish(parcel)
	return w.next1()
}

// TestRequirement34Revoked: a message that waits for its time is refused at its release when the recipient has revoked consent
// meanwhile, by the replica that was not told; the ledger still shows the consent as of the minute before; and the evidence
// of the day has message, decision, template and that consent.
func TestRequirement34Revoked(t *testing.T) {
	w := newWorld(t, today(12))
	a, _ := w.start()
	client, ctx := w.people(a), w.as(w.demo.Tenant, "live", wishScopes...)
	given, err := client.RecordConsent(ctx, &compliancev1.RecordConsentRequest{Recipient: "98765 43210", EntityId: entity,
		Grant: &compliancev1.ConsentGrant{Method: "dca", NoticeVersion: "v1", NoticeLanguage: "hi", RegistrarReference: "DCA-1"}})
	must(t, err)
	if c := given.GetConsent(); c.GetState() != "VALID" || len(c.GetEvents()) != 1 {
		t.Fatalf("%v", given)
	}
	if got := w.promote("live"); got.event != "MessagesCleared" {
		t.Fatalf("%+v", got)
	}
	waiting := w.text(stock, "512345", freshText)
	waiting.schedule = w.clock.now().Add(2 * time.Hour)
	parcel, _ := w.accept("live", "bulk", waiting)
	w.ingest.Publish(parcel)
	if got := w.next1(); got.event != "MessagesHeld" {
		t.Fatalf("%+v", got)
	}
	w.clock.set(w.clock.now().Add(time.Hour))
	_, err = client.RevokeConsent(ctx, &compliancev1.RevokeConsentRequest{Recipient: recipient, EntityId: entity})
	must(t, err)
	revoked := w.clock.now()
	w.clock.set(waiting.schedule)
	if got := w.next1(); got.event != "MessagesRefused" || !slices.Equal(got.codes, []string{"OPTED_OUT"}) {
		t.Errorf("%+v", got)
	}
	for asOf, want := range map[time.Time]string{revoked.Add(-time.Minute): "VALID", revoked: "REVOKED"} {
		got, err := client.GetConsent(ctx, &compliancev1.GetConsentRequest{Recipient: recipient, EntityId: entity, AsOfTime: timestampOf(asOf)})
		if err != nil || len(got.GetConsents()) != 1 || got.GetConsents()[0].GetState() != want {
			t.Errorf("as of %v: %v %v", asOf, got, err)
		}
	}
	w.checkReceipt(client, given.GetConsent().GetEvents()[0])
	w.checkEvidence(client)
}

// checkReceipt verifies a receipt as its holder can.
func (w *world) checkReceipt(client wishClients, e *compliancev1.ConsentEvent) {
	w.t.Helper()
	got, err := client.GetConsentReceipt(w.as(w.demo.Tenant, "live", wishScopes...), &compliancev1.GetConsentReceiptRequest{ReceiptId: e.GetReceiptId()})
	must(w.t, err)
	if r, err := consent.Verify([]byte(got.GetDocument()), hashOf(got.GetDocument())); err != nil || r.Entity != entity || got.GetSha256() != e.GetReceiptSha256() {
		w.t.Errorf("%v %+v", err, r)
	}
	if strings.Contains(got.GetDocument(), "98765") {
		w.t.Error("the receipt holds the number")
	}
}

// checkEvidence asks for the evidence pack of the day (requirement 71).
func (w *world) checkEvidence(client wishClients) {
	w.t.Helper()
	got, err := client.GetEvidence(w.as(w.demo.Tenant, "live", wishScopes...),
		&compliancev1.GetEvidenceRequest{Recipient: recipient, Date: today(12).Format(time.DateOnly)})
	must(w.t, err)
	if len(got.GetMessages()) != 1 {
		w.t.Fatalf("%d messages in evidence: %v", len(got.GetMessages()), got)
	}
	m := got.GetMessages()[0]
	if m.GetTemplateId() != stock || m.GetTemplateRevision() != 1 || m.GetTemplateBody() == "" || len(m.GetDecisions()) == 0 || m.GetDecisions()[0].GetRulePack() == "" ||
		len(m.GetWishes().GetConsents()) != 1 || m.GetWishes().GetConsents()[0].GetState() != "VALID" {
		w.t.Errorf("%v", m)
	}
}

// TestOptOutReceived: what dispatch tells of an opt-out is recorded once and holds for the next message; the announcement
// is published for whoever submits.
func TestOptOutReceived(t *testing.T) {
	w := newWorld(t, today(12))
	c, _ := w.start()
	client, ctx := w.people(c), w.as(w.demo.Tenant, "live", wishScopes...)
	id := newID()
	payload, err := proto.Marshal(&dispatchv1.ReceivedOptOutParcel{ParcelId: id[:], TenantId: w.demo.Tenant[:], CorrelationId: id[:],
		OptOuts: []*dispatchv1.ReceivedOptOut{{RecipientIndex: w.index("live"), Scope: "entity", ObjectId: entity, Source: "keyword"}}})
	must(t, err)
	w.dispatch.Publish(eventbus.Parcel{ID: id, Tenant: w.demo.Tenant, Entries: 1, Payload: payload,
		Subject: eventbus.Subject(consumer.EventOptOutReceived, "live", eventbus.LaneControl)})
	until(t, "the opt-out is recorded", func() bool {
		got, err := client.GetConsent(ctx, &compliancev1.GetConsentRequest{Recipient: recipient})
		must(t, err)
		return len(got.GetOptOuts()) == 1 && got.GetOptOuts()[0].GetSource() == "keyword"
	})
	if got := w.promote("live"); got.event != "MessagesRefused" || got.codes[0] != "OPTED_OUT" {
		t.Errorf("%+v", got)
	}
	if got := w.promote("test"); got.event != "MessagesCleared" {
		t.Errorf("the other environment: %+v", got)
	}
	parcel, _ := w.accept("live", "otp", w.text(otp, "ABCBNK", otpText))
	w.ingest.Publish(parcel)
	if got := w.next1(); got.event != "MessagesCleared" {
		t.Errorf("a code: %+v", got)
	}
	if _, err := client.RequestConsent(ctx, &compliancev1.RequestConsentRequest{Recipient: recipient, EntityId: entity}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("asked within 90 days: %v", err)
	}
}

// TestRequirement37Brake: three complainants hold an entity's promotion, its codes go on; it survives a restart.
func TestRequirement37Brake(t *testing.T) {
	w := newWorld(t, today(12))
	c, stop := w.start()
	ctx := w.as(w.demo.Tenant, "live", wishScopes...)
	for i, number := range []string{"9876543211", "9876543212", "9876543213"} {
		got, err := w.people(c).RecordComplaint(ctx, &compliancev1.RecordComplaintRequest{Recipient: number, EntityId: entity, Reference: "r" + number})
		if err != nil || got.GetStanding().GetComplainants() != int32(i+1) {
			t.Fatalf("%v %v", got, err)
		}
	}
	stop()
	w.start()
	if got := w.promote("live"); got.event != "MessagesHeld" || got.codes[0] != "COMPLAINTS_BRAKE" {
		t.Errorf("%+v", got)
	}
	parcel, _ := w.accept("live", "otp", w.text(otp, "ABCBNK", otpText))
	w.ingest.Publish(parcel)
	if got := w.next1(); got.event != "MessagesCleared" {
		t.Errorf("a code: %+v", got)
	}
}

// TestWishesAreTheTenants: who may do what; nothing of another tenant or environment is seen; bad input is named.
func TestWishesAreTheTenants(t *testing.T) {
	w := newWorld(t, today(12))
	c, _ := w.start()
	client := w.people(c)
	record := func(env, scope, number string) error {
		_, err := client.RecordConsent(w.as(w.demo.Tenant, env, scope), &compliancev1.RecordConsentRequest{Recipient: number, EntityId: entity,
			Grant: &compliancev1.ConsentGrant{Method: "paper"}})
		return err
	}
	for _, step := range []struct {
		name string
		err  error
		want codes.Code
	}{
		{"to read only", record("live", "consents:read", recipient), codes.PermissionDenied},
		{"a landline", record("live", "consents:write", "01123456789"), codes.InvalidArgument},
		{"recorded", record("live", "consents:write", recipient), codes.OK},
		{"recorded again", record("live", "consents:write", recipient), codes.OK},
	} {
		if got := status.Code(step.err); got != step.want {
			t.Errorf("%s: %v", step.name, step.err)
		}
	}
	for name, ctx := range map[string]struct {
		tenant bool
		env    string
		want   int
	}{"the tenant": {true, "live", 1}, "its test key": {true, "test", 0}, "another tenant": {false, "live", 0}} {
		tenant := w.demo.Tenant
		if !ctx.tenant {
			tenant = newID()
		}
		got, err := client.GetConsent(w.as(tenant, ctx.env, "consents:read"), &compliancev1.GetConsentRequest{Recipient: recipient})
		if err != nil || len(got.GetConsents()) != ctx.want {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
}

// TestImportOverTheAPI: a registrar's file in two parts, with what is wrong by line.
func TestImportOverTheAPI(t *testing.T) {
	w := newWorld(t, today(12))
	c, _ := w.start()
	client, ctx := w.people(c), w.as(w.demo.Tenant, "live", wishScopes...)
	file := "recipient,entity_id,grant_time\n9876543210," + entity + ",2026-01-01\n01123456789," + entity + ",2026-01-01\n"
	first, err := client.ImportConsents(ctx, &compliancev1.ImportConsentsRequest{Content: []byte(file[:60]), More: true, TotalBytes: int64(len(file))})
	must(t, err)
	i := first.GetImport()
	if i.GetState() != "RUNNING" || i.GetNextOffset() == 0 || i.GetPercent() == 0 {
		t.Errorf("%v", i)
	}
	last, err := client.ImportConsents(ctx, &compliancev1.ImportConsentsRequest{Import: i.GetImportId(), Offset: i.GetNextOffset(), Content: []byte(file[i.GetNextOffset():])})
	must(t, err)
	if i := last.GetImport(); i.GetState() != "SUCCEEDED" || i.GetRecorded() != 1 || i.GetProblems() != 1 || i.GetPercent() != 100 {
		t.Errorf("%v", i)
	}
	problems, err := client.ListConsentImportProblems(ctx, &compliancev1.ListConsentImportProblemsRequest{ConsentImportId: i.GetImportId()})
	if err != nil || len(problems.GetProblems()) != 1 || problems.GetProblems()[0].GetLine() != 3 || problems.GetProblems()[0].GetColumn() != "recipient" {
		t.Errorf("%v %v", problems, err)
	}
	if got := w.promote("live"); got.event != "MessagesCleared" {
		t.Errorf("%+v", got)
	}
}

func timestampOf(at time.Time) *timestamppb.Timestamp { return timestamppb.New(at) }

func hashOf(document string) [32]byte { return sha256.Sum256([]byte(document)) }
