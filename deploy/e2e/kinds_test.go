//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	auditv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/audit/v1"
	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

// party is a tenant in one environment, with what it has.
type party struct {
	sender
	env, key string
	conn     *grpc.ClientConn
	ids      map[string]string              // an object of each kind, by the request field that names it
	objects  []*compliancev1.RegistryObject // one of each kind of them
	tokens   []string                       // page tokens of its lists
}

// kind is something a tenant has in one environment. A new kind of object is a line in kinds.
type kind struct {
	field string // of requests that name one, for example message_id
	make  func(t *testing.T, p *party) string
	// counted: it is a number within the tenant's own list, so that another tenant has one of that number too.
	counted bool
	// shared: both environments of the tenant have it in common.
	shared bool
}

var kinds = []kind{
	{field: "message_id", make: madeMessage},
	{field: "parcel_id", make: madeParcel},
	{field: "key_id", make: madeKey},
	{field: "verification_id", make: madeVerification},
	{field: "index", make: madeAuditEntry, counted: true},
	{field: "object_id", make: madeObject, counted: true, shared: true}, // of each kind one: abouts
	{field: "import_id", make: madeImport, shared: true},
	{field: "inbound_id", make: madeInbound},
	{field: "receipt_id", make: madeReceipt},
	{field: "consent_import_id", make: madeConsentImport},
	{field: "complaint_id", make: madeComplaint},
	{field: "user_id", make: madeUser},
	{field: "session_id", make: func(*testing.T, *party) string { return fmt.Sprint("session-", rand.Uint64()) }}, // of people only: no key names one
	{field: "endpoint_id", make: madeEndpoint},
	{field: "event_id", make: madeDelivery},
}

// registered are fields that end like an id and name what is registered elsewhere: with the operators' DLT, or at an
// identity provider.
var registered = []string{"entity_id", "template_id", "object_id", "client_id"}

// ownSettings are fields that the random walk leaves alone: an intruder would shut himself out, and prove nothing more;
// a tenant's name is one for both environments, and a description repeats to him whatever he writes.
var ownSettings = []protoreflect.FullName{"onlinesms.ingest.v1.UpdateTenantRequest.limits",
	"onlinesms.ingest.v1.UpdateTenantRequest.allowed_addresses", "onlinesms.ingest.v1.UpdateTenantRequest.name",
	"onlinesms.dispatch.v1.CreateWebhookEndpointRequest.description", "onlinesms.dispatch.v1.UpdateWebhookEndpointRequest.description"}

// growing are reads whose answer changes with every call anybody makes, or is about what the call itself brings.
var growing = []string{"/onlinesms.audit.v1.AuditService/ListEvents", "/onlinesms.compliance.v1.ScrubService/Scrub",
	"/onlinesms.compliance.v1.ScrubService/BatchScrub", "/onlinesms.compliance.v1.ScrubService/Simulate",
	"/onlinesms.dispatch.v1.MessageEventService/StreamMessageEvents"}

// endless are streams without an end.
var endless = []string{"/onlinesms.dispatch.v1.MessageEventService/StreamMessageEvents"}

// volatile are fields that change by being looked at.
var volatile = []string{"last_use_time", "last_use_address", "last_use_date", "as_of_time",
	"count_time", "accepted_count", "stalled_count", "states"}

func madeMessage(t *testing.T, p *party) string {
	client := ingestv1.NewMessageServiceClient(p.conn)
	id := send(t, client, &ingestv1.SendMessageRequest{To: nextNumber(), EntityId: p.entity, Header: p.header, TemplateId: p.template,
		Text: p.text(), ClientReference: "of " + p.tenant + " " + p.env})
	awaitState(t, client, id, typev1.MessageState_DELIVERED)
	return id
}

func madeParcel(t *testing.T, p *party) string { return auditEntry(t, p).GetEventId() }

func madeKey(t *testing.T, p *party) string {
	made, err := ingestv1.NewApiKeyServiceClient(p.conn).CreateApiKey(t.Context(), &ingestv1.CreateApiKeyRequest{Name: "of " + p.env, Scopes: []string{"messages:read"}})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetApiKey().GetKeyId()
}

func madeVerification(t *testing.T, p *party) string {
	started, err := ingestv1.NewVerificationServiceClient(p.conn).Start(t.Context(), &ingestv1.VerificationServiceStartRequest{
		To: nextNumber(), EntityId: p.entity, Header: p.header, TemplateId: p.template, Purpose: "of " + p.env, ValidityPeriod: durationpb.New(10 * time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	// Its message moves on for a while, which a snapshot would see.
	awaitState(t, ingestv1.NewMessageServiceClient(p.conn), started.GetVerification().GetMessageId(), typev1.MessageState_DELIVERED)
	return started.GetVerification().GetVerificationId()
}

// madeInbound has a handset answer the party's header, which its message has made known to dispatch.
func madeInbound(t *testing.T, p *party) (id string) {
	client := dispatchv1.NewInboundServiceClient(p.conn)
	from := nextNumber()
	simulatorInbound(t, map[string]string{"from": from[1:], "to": p.header, "text": "of " + p.tenant + " " + p.env, "system_id": "onlinesms-" + p.env})
	eventually(t, patience, "the inbound message is listed", func() bool {
		page, err := client.ListInbound(t.Context(), &dispatchv1.ListInboundRequest{From: from})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.GetInbound()) > 0 {
			id = page.GetInbound()[0].GetInboundId()
		}
		return id != ""
	})
	return id
}

// madeUser invites a user. Users belong to no environment and are managed with live keys: a test key has none.
func madeUser(t *testing.T, p *party) string {
	if p.env != "live" {
		return fmt.Sprintf("01930000-0000-7000-8000-%012x", rand.Uint64N(1<<48))
	}
	made, err := ingestv1.NewUserServiceClient(p.conn).InviteUser(t.Context(), &ingestv1.InviteUserRequest{
		Email: fmt.Sprintf("u%d@people.example", rand.Uint64()), Role: "auditor"})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetUser().GetUserId()
}

func madeAuditEntry(t *testing.T, p *party) string {
	return strconv.FormatInt(auditEntry(t, p).GetIndex(), 10)
}

// auditEntry is that of the party's message.
func auditEntry(t *testing.T, p *party) (found *auditv1.Event) {
	client := auditv1.NewAuditServiceClient(p.conn)
	eventually(t, patience, "the audit entry of a message", func() bool {
		page, err := client.ListEvents(t.Context(), &auditv1.ListEventsRequest{MessageId: p.ids["message_id"], Action: acceptedAction})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.GetEvents()) > 0 {
			found = page.GetEvents()[0]
		}
		return found != nil
	})
	return found
}
