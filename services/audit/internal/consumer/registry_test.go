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
	"github.com/onlinesms/onlinesms/services/audit/internal/ledger"
	"github.com/onlinesms/onlinesms/services/audit/internal/ledger/ledgertest"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// TestWhoChangedTheRegistry: a change of a registry and a kill switch are entries of those who made them, on what they
// changed, with what it was before and after behind commitments.
func TestWhoChangedTheRegistry(t *testing.T) {
	store := ledgertest.NewStore()
	handler := consumer.New(store, rand.Reader, time.Now)
	tenant, metadata := uuid.New(), &eventv1.Metadata{Producer: "compliance"}
	change := &compliancev1.RegistryChanged{Metadata: metadata, Parcels: []*compliancev1.RegistryChangeParcel{
		{ParcelId: idOf(), TenantId: tenant[:], Version: 2, Objects: []string{"headers/ABCBNK"}, Actor: "key/k1", Action: "registry.status", Reason: "asked",
			Changes: []*compliancev1.RegistryChange{{Object: "headers/ABCBNK", Before: `{"status":"active"}`, After: `{"status":"inactive"}`}}},
		{ParcelId: idOf(), TenantId: tenant[:], Version: 3, Actor: "key/k2", Action: "registry.import",
			Changes: []*compliancev1.RegistryChange{{Object: "registry-imports/1", After: `{"created":2}`}, {Object: "headers/A", After: "{}"}}},
	}}
	stop := &compliancev1.SendingStopsChanged{Metadata: metadata, Parcels: []*compliancev1.SendingStopParcel{
		{ParcelId: idOf(), TenantId: tenant[:], Actor: "user/u1", Scope: "tenant", Reason: "attack", Stopped: true}}}
	if err := handler.Handle(t.Context(), []eventbus.Delivery{delivery(t, change), delivery(t, stop)}); err != nil {
		t.Fatal(err)
	}
	log := ledgertest.CheckLog(t, store, tenant, "test")
	for i, want := range []struct{ actor, resource, committed string }{
		{"key/k1", "headers/ABCBNK", "after before messages parcel"}, {"key/k2", "registry-imports/1", "after messages parcel"},
		{"user/u1", "stops/tenant", "after messages parcel"},
	} {
		var committed []string
		for _, f := range log[i].Fields {
			committed = append(committed, f.Name)
		}
		if log[i].Actor != want.actor || log[i].Resource != want.resource || strings.Join(committed, " ") != want.committed || log[i].Outcome != ledger.Success {
			t.Errorf("entry %d: %s on %s, %v", i, log[i].Actor, log[i].Resource, committed)
		}
	}
	if strings.Contains(string(log[0].Leaf), "inactive") || strings.Contains(string(log[2].Leaf), "attack") {
		t.Error("a leaf holds in clear what is committed")
	}
}
