package consumer_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	eventv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/event/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/audit/internal/consumer"
	"github.com/onlinesms/onlinesms/services/audit/internal/ledger"
	"github.com/onlinesms/onlinesms/services/audit/internal/ledger/ledgertest"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

func newParcelID() uuid.UUID {
	id, _ := ledger.SplitMessageID(uuid.Must(uuid.NewV7()))
	return id
}

// delivery is an event as the bus hands it over.
func delivery(t *testing.T, event proto.Message) eventbus.Delivery {
	t.Helper()
	data, err := proto.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return eventbus.Delivery{
		Event: string(event.ProtoReflect().Descriptor().FullName()), Env: "test", Lane: "bulk", Data: data, Time: time.Now(),
	}
}

func TestOneEntryAParcelOfEveryEvent(t *testing.T) {
	store := ledgertest.NewStore()
	handler := consumer.New(store, rand.Reader, time.Now)
	tenant, accepted := uuid.New(), newParcelID()
	message := accepted
	message[15] |= 1
	metadata := &eventv1.Metadata{Producer: "test"}
	later := func() []byte { id := uuid.Must(uuid.NewV7()); return id[:] }
	events := []struct {
		event   proto.Message
		actor   string
		outcome string
	}{
		{&ingestv1.MessagesAccepted{Metadata: metadata, Parcels: []*ingestv1.AcceptedParcel{{
			ParcelId: accepted[:], TenantId: tenant[:],
			Messages: []*ingestv1.AcceptedMessage{{MessageId: accepted[:], Content: []byte("sealed")}, {MessageId: message[:]}},
		}}}, "service/ingest", ledger.Success},
		{&compliancev1.MessagesRefused{Metadata: metadata, Parcels: []*compliancev1.RefusedParcel{{
			ParcelId: later(), TenantId: tenant[:], CausationId: accepted[:],
			Messages: []*compliancev1.RefusedMessage{{MessageId: accepted[:]}},
		}}}, "service/compliance", ledger.Refused},
		{&dispatchv1.MessagesUndelivered{Metadata: metadata, Parcels: []*dispatchv1.OutcomeParcel{{
			ParcelId: later(), TenantId: tenant[:], CausationId: accepted[:],
			Outcomes: []*dispatchv1.Outcome{{MessageId: message[:]}},
		}}}, "service/dispatch", ledger.Failure},
		{&compliancev1.RegistryChanged{Metadata: metadata, Parcels: []*compliancev1.RegistryChangeParcel{{
			ParcelId: later(), TenantId: tenant[:], Version: 7, Objects: []string{"template/1107160000000000011"},
		}}}, "service/compliance", ledger.Success},
	}
	for _, e := range events {
		if err := handler.Handle(t.Context(), []eventbus.Delivery{delivery(t, e.event), delivery(t, e.event)}); err != nil {
			t.Fatal(err)
		}
	}
	log := ledgertest.CheckLog(t, store, tenant, "test")
	if len(log) != len(events) {
		t.Fatalf("%d entries for %d events, each delivered twice", len(log), len(events))
	}
	for i, e := range events {
		if log[i].Actor != e.actor || log[i].Outcome != e.outcome {
			t.Errorf("entry %d is by %s with %s, want %s with %s", i, log[i].Actor, log[i].Outcome, e.actor, e.outcome)
		}
	}
	index := uint16(1)
	about, err := store.List(t.Context(), ledger.Query{Tenant: tenant, Env: "test", After: -1, Limit: 10, Parcel: accepted, Index: &index})
	if err != nil || len(about) != 2 {
		t.Errorf("%d entries speak of the second message (%v), want accepted and undelivered", len(about), err)
	}
}

func TestPoisonIsInvalid(t *testing.T) {
	handler := consumer.New(ledgertest.NewStore(), rand.Reader, time.Now)
	poison := eventbus.Delivery{Event: "onlinesms.ingest.v1.MessagesAccepted", Env: "test", Data: []byte{0x12, 0x7f, 1}}
	if err := handler.Handle(t.Context(), []eventbus.Delivery{poison}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("bytes that are no event gave %v, want an Invalid error (dead letter)", err)
	}
}

func TestStoreFailureIsReported(t *testing.T) {
	store := ledgertest.NewStore()
	store.Fail(errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "away", nil))
	handler := consumer.New(store, rand.Reader, time.Now)
	id, tenant := newParcelID(), uuid.New()
	event := &ingestv1.MessagesAccepted{Parcels: []*ingestv1.AcceptedParcel{{ParcelId: id[:], TenantId: tenant[:]}}}
	if err := handler.Handle(t.Context(), []eventbus.Delivery{delivery(t, event)}); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("a store that is away gave %v: the event would be acked", err)
	}
}
