package consumer_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	eventv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/event/v1"
	"github.com/onlinesms/onlinesms/services/audit/internal/consumer"
	"github.com/onlinesms/onlinesms/services/audit/internal/ledger/ledgertest"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// TestWhoRecordedWishes: consents and complaints are entries of those who recorded them, with the receipts' hashes behind a
// commitment; a recipient's hash is not taken for a message.
func TestWhoRecordedWishes(t *testing.T) {
	store := ledgertest.NewStore()
	handler := consumer.New(store, rand.Reader, time.Now)
	tenant, metadata := uuid.New(), &eventv1.Metadata{Producer: "compliance"}
	wishes := &compliancev1.WishesRecorded{Metadata: metadata, Parcels: []*compliancev1.WishParcel{{ParcelId: idOf(), TenantId: tenant[:], Actor: "key/k1",
		Action: "consent.record", Reason: "asked", Wishes: []*compliancev1.Wish{{Kind: "GIVEN", RecipientIndex: make([]byte, 16), ReceiptHash: make([]byte, 32)}}}}}
	complaints := &compliancev1.ComplaintsRecorded{Metadata: metadata, Parcels: []*compliancev1.ComplaintParcel{{ParcelId: idOf(), TenantId: tenant[:],
		Actor: "user/u1", Action: "complaint.record", Complaints: []*compliancev1.ComplaintEntry{{Standing: "WARNED", ComplaintId: idOf(), RecipientIndex: make([]byte, 16)}}}}}
	if err := handler.Handle(t.Context(), []eventbus.Delivery{delivery(t, wishes), delivery(t, complaints)}); err != nil {
		t.Fatal(err)
	}
	log := ledgertest.CheckLog(t, store, tenant, "test")
	for i, want := range []struct{ actor, resource string }{{"key/k1", "wishes"}, {"user/u1", "complaints"}} {
		var committed []string
		for _, f := range log[i].Fields {
			committed = append(committed, f.Name)
		}
		if log[i].Actor != want.actor || log[i].Resource != want.resource || !strings.Contains(strings.Join(committed, " "), "after") {
			t.Errorf("entry %d: %s on %s, %v", i, log[i].Actor, log[i].Resource, committed)
		}
		if len(log[i].Messages) != 0 || strings.Contains(string(log[i].Leaf), "asked") {
			t.Errorf("entry %d: %+v", i, log[i])
		}
	}
}
