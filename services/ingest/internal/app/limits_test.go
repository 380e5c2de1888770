package app

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
)

// Item 17: a tenant's limit holds at the door, with the headers that say so; what is refused costs nothing, and another
// environment is not concerned.
func TestItem17LimitAtTheDoor(t *testing.T) {
	w := newWorld(t)
	admin := w.key(t, "live", nil, "tenant:write", "tenant:read", "messages:send", "messages:read")
	tenants := ingestv1.NewTenantServiceClient(w.grpc)
	limit := func(l *ingestv1.TenantLimits) {
		t.Helper()
		if _, err := tenants.UpdateTenant(as(t, admin), &ingestv1.UpdateTenantRequest{Limits: l}); err != nil {
			t.Fatal(err)
		}
	}
	limit(&ingestv1.TenantLimits{RequestsPerSecond: 0.1, RequestBurst: 10})
	var last *response
	taken := 0
	for range 15 {
		if last = w.request(t, "GET", "/v1/messages", "", bearer(w.live)...); last.StatusCode == 200 {
			taken++
		}
	}
	if taken != 10 || last.StatusCode != 429 || last.problem(t).Reason != "RATE_LIMITED" {
		t.Errorf("%d taken of a burst of 10; %d %s", taken, last.StatusCode, last.body)
	}
	h := last.Header
	if retry := h.Get("Retry-After"); retry != "10" && retry != "9" {
		t.Errorf("Retry-After %q at one in ten seconds", retry)
	}
	if h.Get("RateLimit-Limit") != "10" || h.Get("RateLimit-Remaining") != "0" || h.Get("RateLimit-Policy") != `"requests";q=10;w=100` ||
		!strings.HasPrefix(h.Get("RateLimit"), `"requests";r=0;t=`) || h.Get("RateLimit-Reset") == "" {
		t.Errorf("headers %v", h)
	}
	if resp := w.request(t, "GET", "/v1/messages", "", bearer(w.test)...); resp.StatusCode != 200 || resp.Header.Get("RateLimit") != "" {
		t.Errorf("the test environment: %d", resp.StatusCode)
	}
}

func TestItem17MessagesRecipientsTemplates(t *testing.T) {
	w := newWorld(t)
	admin := w.key(t, "live", nil, "tenant:write", "messages:send")
	set := func(l *ingestv1.TenantLimits) {
		t.Helper()
		if _, err := ingestv1.NewTenantServiceClient(w.grpc).UpdateTenant(as(t, admin), &ingestv1.UpdateTenantRequest{Limits: l}); err != nil {
			t.Fatal(err)
		}
	}
	batch := func(numbers ...string) error {
		req := &ingestv1.BatchSendMessagesRequest{}
		for _, to := range numbers {
			m := send()
			req.Messages = append(req.Messages, &ingestv1.OutgoingMessage{
				To: to, EntityId: m.GetEntityId(), Header: m.GetHeader(), TemplateId: m.GetTemplateId(), Text: m.GetText()})
		}
		_, err := w.client().BatchSendMessages(as(t, w.live), req)
		return err
	}
	set(&ingestv1.TenantLimits{MessagesPerSecond: 0.01, MessageBurst: 3})
	if err := batch("9876543210", "9876543211", ""); reasonOf(err) != "REQUEST_INVALID" {
		t.Error(err)
	}
	if err := batch("9876543210", "9876543211", "9876543212"); err != nil {
		t.Errorf("what was refused has cost something: %v", err)
	}
	if err := batch("9876543210"); reasonOf(err) != "RATE_LIMITED" {
		t.Errorf("a fourth message: %v", err)
	}
	if err := batch("9876543210", "9876543211", "9876543212", "9876543213"); status.Code(err) != codes.InvalidArgument {
		t.Errorf("more than the burst: %v", err)
	}
	set(&ingestv1.TenantLimits{MessagesPerRecipientHour: 2})
	if err := batch("9876543210", "09876543210"); err != nil {
		t.Error(err)
	}
	if err := batch("9876543219", "+919876543210"); reasonOf(err) != "RATE_LIMITED" {
		t.Errorf("a third to one recipient: %v", err)
	}
	if err := batch("9876543219", "9876543219"); err != nil {
		t.Errorf("the other recipient of the refused batch lost something: %v", err)
	}
}
