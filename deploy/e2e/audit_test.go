//go:build e2e

package e2e

import (
	"context"
	"testing"

	auditv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/audit/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

const acceptedAction = "onlinesms.ingest.v1.MessagesAccepted"

// trail is a tenant's log as an auditor sees it.
type trail struct {
	entries int
	// accepted adds up the messages of all accepted parcels.
	accepted int
	actions  map[string]int
}

// readTrail pages through a tenant's log and checks that its indices are contiguous from 0.
func readTrail(ctx context.Context, t *testing.T, client auditv1.AuditServiceClient) trail {
	t.Helper()
	read := trail{actions: map[string]int{}}
	for token := ""; ; {
		page, err := client.ListEvents(ctx, &auditv1.ListEventsRequest{PageSize: 500, PageToken: token})
		if err != nil {
			t.Fatalf("ListEvents: %v", err)
		}
		for _, event := range page.GetEvents() {
			if event.GetIndex() != int64(read.entries) {
				t.Fatalf("entry %d stands where %d should", event.GetIndex(), read.entries)
			}
			read.entries++
			read.actions[event.GetAction()]++
			if event.GetAction() == acceptedAction {
				read.accepted += int(event.GetMessageCount())
			}
		}
		if token = page.GetNextPageToken(); token == "" {
			return read
		}
	}
}

func auditor(t *testing.T, tenant string) auditv1.AuditServiceClient {
	t.Helper()
	return auditv1.NewAuditServiceClient(dial(t, platform.Env("ONLINESMS_GRPC_ADDR"), keyOf(t, tenant, "test")))
}

func TestAuditHoldsTheTrailOfAMessage(t *testing.T) {
	id := send(t, messages(t, demoTenant), otp(nextNumber(), "318850"))
	awaitState(t, messages(t, demoTenant), id, typev1.MessageState_DELIVERED)
	client := auditor(t, demoTenant)
	wanted := []string{acceptedAction, "onlinesms.compliance.v1.MessagesCleared",
		"onlinesms.dispatch.v1.MessagesSubmitted", "onlinesms.dispatch.v1.MessagesDelivered"}
	var actions map[string]int64
	eventually(t, patience, "audit has all entries of the message", func() bool {
		page, err := client.ListEvents(t.Context(), &auditv1.ListEventsRequest{MessageId: id})
		if err != nil {
			t.Fatalf("ListEvents: %v", err)
		}
		actions = map[string]int64{}
		for _, event := range page.GetEvents() {
			actions[event.GetAction()] = event.GetIndex()
		}
		for _, action := range wanted {
			if _, ok := actions[action]; !ok {
				return false
			}
		}
		return true
	})
	got, err := client.GetEvent(t.Context(), &auditv1.GetEventRequest{Index: actions[acceptedAction]})
	if err != nil {
		t.Fatalf("GetEvent: %v", err)
	}
	if got.GetEvent().GetAction() != acceptedAction || len(got.GetLeaf()) == 0 || len(got.GetEvent().GetLeafHash()) != 32 {
		t.Errorf("entry %v with a leaf of %d bytes", got.GetEvent(), len(got.GetLeaf()))
	}
}
