package ledgertest

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/audit/internal/ledger"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Reader is what the API needs of a store.
type Reader interface {
	List(ctx context.Context, q ledger.Query) ([]ledger.Stored, error)
	Get(ctx context.Context, tenant uuid.UUID, env string, index int64) (ledger.Stored, error)
}

// Subject is a store under test.
type Subject interface {
	ledger.Store
	Reader
}

// Records makes n records of a tenant and environment, each speaking of two messages.
func Records(tenant uuid.UUID, env string, n int) []ledger.Record {
	records := make([]ledger.Record, n)
	for i := range records {
		id := uuid.Must(uuid.NewV7())
		accepted, _ := ledger.SplitMessageID(id)
		now := time.Now().UTC()
		records[i] = ledger.NewRecord(ledger.Entry{
			EventID: id, Tenant: tenant, Env: env, Action: "onlinesms.ingest.v1.MessagesAccepted",
			Actor: "service/ingest", Resource: "parcel/" + id.String(), Outcome: ledger.Success,
			Correlation: id, OccurredAt: now, ReceivedAt: now,
			Messages: []ledger.MessageGroup{{Parcel: accepted, Indexes: []uint16{0, 499}}},
			Fields:   []ledger.Field{{Name: ledger.FieldMessages, Value: []byte{1}}, {Name: ledger.FieldParcel, Digest: []byte{2}}},
		})
	}
	return records
}

// CheckLog reads a whole log and fails unless its indices are contiguous from 0 and every hash follows from its leaf.
func CheckLog(t *testing.T, store Reader, tenant uuid.UUID, env string) []ledger.Stored {
	t.Helper()
	var log []ledger.Stored
	for {
		page, err := store.List(t.Context(), ledger.Query{Tenant: tenant, Env: env, After: int64(len(log)) - 1, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return log
		}
		for _, e := range page {
			if e.Index != int64(len(log)) {
				t.Fatalf("index %d follows %d", e.Index, len(log)-1)
			}
			if ledger.LeafHash(e.Leaf) != e.Hash {
				t.Fatalf("entry %d: the hash is not that of its leaf", e.Index)
			}
			log = append(log, e)
		}
	}
}

// RunStoreTests is what a store must do.
func RunStoreTests(t *testing.T, open func(t *testing.T) Subject) {
	t.Run("entries are contiguous and complete", func(t *testing.T) { testContiguous(t, open(t)) })
	t.Run("the same parcel enters once", func(t *testing.T) { testOnce(t, open(t)) })
	t.Run("writers of many tenants at once", func(t *testing.T) { testConcurrent(t, open(t)) })
	t.Run("another tenant and environment see nothing", func(t *testing.T) { testIsolation(t, open(t)) })
	t.Run("calls", func(t *testing.T) { testCalls(t, open(t)) })
	t.Run("queries filter", func(t *testing.T) { testQueries(t, open(t)) })
}

func testContiguous(t *testing.T, store Subject) {
	tenant := uuid.New()
	for range 3 {
		if err := store.Append(t.Context(), Records(tenant, "live", 70)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(CheckLog(t, store, tenant, "live")); n != 210 {
		t.Errorf("210 entries became %d", n)
	}
}

func testOnce(t *testing.T, store Subject) {
	tenant := uuid.New()
	records := Records(tenant, "live", 5)
	for _, again := range [][]ledger.Record{records, records[2:], append(records[:1:1], records[0])} {
		if err := store.Append(t.Context(), again); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(CheckLog(t, store, tenant, "live")); n != 5 {
		t.Errorf("5 parcels became %d entries", n)
	}
}

func testConcurrent(t *testing.T, store Subject) {
	tenants := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for range 5 {
				var mixed []ledger.Record
				for _, tenant := range tenants {
					mixed = append(mixed, Records(tenant, "live", 2)...)
				}
				rand.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
				if err := store.Append(t.Context(), mixed); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	for _, tenant := range tenants {
		if n := len(CheckLog(t, store, tenant, "live")); n != 80 {
			t.Errorf("80 entries became %d", n)
		}
	}
}

func testIsolation(t *testing.T, store Subject) {
	mine, other := uuid.New(), uuid.New()
	if err := store.Append(t.Context(), append(Records(mine, "live", 3), Records(other, "live", 4)...)); err != nil {
		t.Fatal(err)
	}
	if n := len(CheckLog(t, store, mine, "live")); n != 3 {
		t.Errorf("the tenant sees %d entries, want its 3", n)
	}
	if n := len(CheckLog(t, store, mine, "test")); n != 0 {
		t.Errorf("a test key sees %d live entries", n)
	}
	if _, err := store.Get(t.Context(), mine, "live", 3); errs.KindOf(err) != errs.NotFound {
		t.Errorf("an index beyond the log answers %v, want NotFound", err)
	}
}

// testCalls stores a refused call of the platform's own tenant and reads all of it back.
func testCalls(t *testing.T, store Subject) {
	id, now := uuid.Must(uuid.NewV7()), time.Now().UTC()
	want := ledger.NewRecord(ledger.Entry{
		EventID: id, Tenant: uuid.Nil, Env: "live", Action: "message.send", Actor: "anonymous", Outcome: ledger.Refused,
		Reason: "KEY_INVALID", RequestID: "req-1", Correlation: id, OccurredAt: now, ReceivedAt: now,
		Fields: []ledger.Field{{Name: ledger.FieldAddress, Salt: [ledger.SaltSize]byte{7}, Value: []byte("192.0.2.7")}},
	})
	if err := store.Append(t.Context(), []ledger.Record{want}); err != nil {
		t.Fatal(err)
	}
	got, err := store.Get(t.Context(), uuid.Nil, "live", 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Record, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-stored +read):\n%s", diff)
	}
	if again := ledger.NewRecord(got.Entry); again.Hash != want.Hash {
		t.Error("the leaf does not follow from what was read")
	}
}

func testQueries(t *testing.T, store Subject) {
	tenant := uuid.New()
	records := Records(tenant, "test", 4)
	if err := store.Append(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	count := func(q ledger.Query) int {
		t.Helper()
		q.Tenant, q.Env, q.After, q.Limit = tenant, "test", -1, 10
		found, err := store.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	accepted := records[1].Messages[0].Parcel
	there, absent := uint16(499), uint16(7)
	for _, c := range []struct {
		name string
		q    ledger.Query
		want int
	}{
		{"all", ledger.Query{}, 4},
		{"action", ledger.Query{Action: records[0].Action}, 4},
		{"another action", ledger.Query{Action: "onlinesms.ingest.v1.Other"}, 0},
		{"actor", ledger.Query{Actor: "service/ingest", Outcome: ledger.Success}, 4},
		{"another actor", ledger.Query{Actor: "key/k1"}, 0},
		{"another outcome", ledger.Query{Outcome: ledger.Failure}, 0},
		{"message", ledger.Query{Parcel: accepted, Index: &there}, 1},
		{"message that is not in the parcel", ledger.Query{Parcel: accepted, Index: &absent}, 0},
		{"received until now", ledger.Query{Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Hour)}, 4},
		{"received tomorrow", ledger.Query{Start: time.Now().Add(24 * time.Hour)}, 0},
	} {
		if got := count(c.q); got != c.want {
			t.Errorf("%s: %d entries, want %d", c.name, got, c.want)
		}
	}
	got, err := store.Get(t.Context(), tenant, "test", 2)
	if err != nil || got.EventID != records[2].EventID || got.MessageCount != 2 {
		t.Errorf("entry 2 is %v (%v), want %v", got.EventID, err, records[2].EventID)
	}
}
