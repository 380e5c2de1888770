package consumer_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	eventv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/event/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/audit/internal/consumer"
	"github.com/onlinesms/onlinesms/services/audit/internal/ledger"
	"github.com/onlinesms/onlinesms/services/audit/internal/ledger/ledgertest"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

func idOf() []byte { id := uuid.Must(uuid.NewV7()); return id[:] }

// Item 35 of the acceptance list, the part of API calls: 1,000 mixed calls, known and unknown, are 1,000 entries,
// however often their event comes.
func TestItem35EveryCallIsOneEntry(t *testing.T) {
	store := ledgertest.NewStore()
	handler := consumer.New(store, rand.Reader, time.Now)
	tenant, platform := uuid.New(), uuid.Nil
	parcels := []*ingestv1.CallParcel{
		{ParcelId: idOf(), TenantId: tenant[:]}, {ParcelId: idOf(), TenantId: platform[:]}, {ParcelId: idOf(), TenantId: tenant[:]},
	}
	outcomes := []string{ledger.Success, ledger.Refused, ledger.Failure}
	for i := range 1000 {
		p := parcels[i%3]
		p.Records = append(p.Records, &ingestv1.CallRecord{
			EventId: idOf(), Action: "message.get", Actor: []string{"key/k1", "anonymous", "key/k2"}[i%3], Outcome: outcomes[i%3],
			TimeUs: time.Now().UnixMicro(), Address: "192.0.2.7", UserAgent: "curl/8",
		})
	}
	event := &ingestv1.CallsRecorded{Metadata: &eventv1.Metadata{Producer: "ingest"}, Parcels: parcels}
	for range 2 {
		if err := handler.Handle(t.Context(), []eventbus.Delivery{delivery(t, event), delivery(t, event)}); err != nil {
			t.Fatal(err)
		}
	}
	own, others := ledgertest.CheckLog(t, store, tenant, "test"), ledgertest.CheckLog(t, store, platform, "test")
	if len(own) != 667 || len(others) != 333 {
		t.Errorf("1,000 calls became %d and %d entries", len(own), len(others))
	}
	for q, want := range map[ledger.Query]int{
		{Actor: "key/k2"}: 333, {Actor: "key/k1", Outcome: ledger.Success}: 334, {Outcome: ledger.Refused}: 0, {Action: "message.get"}: 667,
	} {
		q.Tenant, q.Env, q.After, q.Limit = tenant, "test", -1, 2000
		if found, err := store.List(t.Context(), q); err != nil || len(found) != want {
			t.Errorf("%+v finds %d, %v; want %d", q, len(found), err, want)
		}
	}
}

func TestWhatAnEntryTellsOfACall(t *testing.T) {
	store := ledgertest.NewStore()
	handler := consumer.New(store, rand.Reader, time.Now)
	tenant, call := uuid.New(), idOf()
	event := &ingestv1.CallsRecorded{Metadata: &eventv1.Metadata{Producer: "ingest"}, Parcels: []*ingestv1.CallParcel{{
		ParcelId: idOf(), TenantId: tenant[:], Records: []*ingestv1.CallRecord{{
			EventId: call, Action: "api_key.update", Actor: "key/k1", Resource: "api_key/k2", Outcome: ledger.Refused,
			Reason: "SCOPE_MISSING", RequestId: "req-1", TimeUs: 1765432100000001, Address: "192.0.2.7", UserAgent: "curl/8",
			Before: `{"name":"a"}`, After: `{"name":"b"}`,
		}},
	}}}
	if err := handler.Handle(t.Context(), []eventbus.Delivery{delivery(t, event)}); err != nil {
		t.Fatal(err)
	}
	e, err := store.Get(t.Context(), tenant, "test", 0)
	if err != nil {
		t.Fatal(err)
	}
	if e.EventID != uuid.UUID(call) || e.OccurredAt.UnixMicro() != 1765432100000001 || e.Reason != "SCOPE_MISSING" || e.RequestID != "req-1" {
		t.Errorf("%+v", e)
	}
	leaf := string(e.Leaf)
	for _, line := range []string{
		"action api_key.update\n", "actor key/k1\n", "resource api_key/k2\n", "outcome refused\nreason SCOPE_MISSING\nrequest_id req-1\n",
		"commit address ", "commit after ", "commit before ", "commit user_agent ",
	} {
		if !strings.Contains(leaf, line) {
			t.Errorf("the leaf lacks %q:\n%s", line, leaf)
		}
	}
	for _, personal := range []string{"192.0.2.7", "curl", "name"} {
		if strings.Contains(leaf, personal) {
			t.Errorf("the leaf holds %q in clear", personal)
		}
	}
}

func TestCallsWithoutIdsArePoison(t *testing.T) {
	handler := consumer.New(ledgertest.NewStore(), rand.Reader, time.Now)
	tenant := uuid.New()
	event := &ingestv1.CallsRecorded{Metadata: &eventv1.Metadata{Producer: "ingest"}, Parcels: []*ingestv1.CallParcel{{
		ParcelId: idOf(), TenantId: tenant[:], Records: []*ingestv1.CallRecord{{Action: "message.get"}},
	}}}
	if err := handler.Handle(t.Context(), []eventbus.Delivery{delivery(t, event)}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a call without an id: %v", err)
	}
}
