package record_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// bus remembers what was published.
type bus struct {
	mu      sync.Mutex
	parcels []eventbus.Parcel
}

func (b *bus) Publish(parcels ...eventbus.Parcel) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.parcels = append(b.parcels, parcels...)
}

func (b *bus) records(t *testing.T) (all []*ingestv1.CallRecord) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.parcels {
		parcel := &ingestv1.CallParcel{}
		if err := proto.Unmarshal(p.Payload, parcel); err != nil {
			t.Fatal(err)
		}
		if len(parcel.GetRecords()) != p.Entries || p.Entries > 500 || !strings.HasPrefix(p.Subject, "onlinesms.ingest.v1.CallsRecorded.") {
			t.Errorf("parcel %s has %d of %d records", p.Subject, len(parcel.GetRecords()), p.Entries)
		}
		all = append(all, parcel.GetRecords()...)
	}
	return all
}

var (
	tenant = principal.Principal{TenantID: uuid.MustParse("01930000-0000-7000-8000-00000000000a"), Env: principal.Test, Actor: "key/k1"}
	from   = caller.Caller{Address: netip.MustParseAddr("192.0.2.7"), Agent: "curl/8", RequestID: "req-1"}
)

func newWriter(t *testing.T) (*record.Writer, *bus, *postgrestest.Database) {
	t.Helper()
	db, b := postgrestest.New(t, "ingest", outbox.Source), &bus{}
	return record.NewWriter(db.DB.Worker, b, slog.New(slog.DiscardHandler), time.Now), b, db
}

func start(t *testing.T, w *record.Writer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// A change and its record are committed together, and the door adds nothing.
func TestChangeAndRecordAreOneTransaction(t *testing.T) {
	w, b, db := newWriter(t)
	start(t, w)
	call := w.Begin("api_key.update", from)
	call.Known(tenant)
	ctx := record.NewContext(t.Context(), call)
	record.Change(ctx, "api_key/k2", map[string]any{"name": "a", "secret": "osms_x"}, map[string]any{"name": "b", "token_hash": []byte{1}})
	err := postgres.InTx(ctx, db.DB.Worker, func(tx pgx.Tx) error { return record.Append(ctx, tx) })
	if err != nil {
		t.Fatal(err)
	}
	if call.Durable() {
		t.Error("durable before its use case says so")
	}
	record.Committed(ctx)
	record.Committed(ctx)
	if err := w.Write(ctx, call); err != nil {
		t.Fatal(err)
	}
	all := b.records(t)
	if len(all) != 1 || rows(t, db) != 1 {
		t.Fatalf("%d records published, %d rows", len(all), rows(t, db))
	}
	got := all[0]
	want := &ingestv1.CallRecord{
		EventId: call.ID[:], Action: "api_key.update", Actor: "key/k1", Resource: "api_key/k2", Outcome: "success",
		RequestId: "req-1", TimeUs: got.GetTimeUs(), Address: "192.0.2.7", UserAgent: "curl/8",
		Before: `{"name":"a","secret":"***"}`, After: `{"name":"b","token_hash":"***"}`,
	}
	if !proto.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A change that was rolled back leaves no record of a success; the door's record of the failure has another id.
func TestRolledBackChange(t *testing.T) {
	w, b, db := newWriter(t)
	start(t, w)
	call := w.Begin("tenant.update", from)
	call.Known(tenant)
	ctx := record.NewContext(t.Context(), call)
	broken := errors.New("after the append")
	err := postgres.InTx(ctx, db.DB.Worker, func(tx pgx.Tx) error { return errors.Join(record.Append(ctx, tx), broken) })
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	first := call.ID
	call.Outcome, call.Reason = record.Failure, "INTERNAL"
	if err := w.Write(ctx, call); err != nil {
		t.Fatal(err)
	}
	all := b.records(t)
	if len(all) != 1 || all[0].GetOutcome() != record.Failure || uuid.UUID(all[0].GetEventId()) == first || rows(t, db) != 1 {
		t.Errorf("%v", all)
	}
}

func TestAChangeOutsideOfACallIsRefused(t *testing.T) {
	w, _, db := newWriter(t)
	_ = w
	appending := func(ctx context.Context) error {
		return postgres.InTx(ctx, db.DB.Worker, func(tx pgx.Tx) error { return record.Append(ctx, tx) })
	}
	if err := appending(t.Context()); errs.KindOf(err) != errs.Internal || err == nil {
		t.Errorf("unrecorded: %v", err)
	}
	ctx := record.ByOperator(t.Context(), "bootstrap", "api_key.create", tenant, time.Now())
	if err := appending(ctx); err != nil || rows(t, db) != 1 {
		t.Errorf("by an operator: %v", err)
	}
}

// Many callers share commits, nobody's record is missing, and what is left at the end is stored too.
func TestEveryRecordIsStored(t *testing.T) {
	w, b, db := newWriter(t)
	stop := start(t, w)
	var callers sync.WaitGroup
	for i := range 300 {
		callers.Go(func() {
			call := w.Begin("api_key.get", from)
			if i%2 == 0 {
				call.Known(tenant)
			}
			if i%3 > 0 {
				w.Later(t.Context(), call)
				return
			}
			if err := w.Write(t.Context(), call); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	stop()
	ids := map[string]bool{}
	for _, r := range b.records(t) {
		ids[string(r.GetEventId())] = true
	}
	if len(ids) != 300 {
		t.Errorf("300 calls, %d records", len(ids))
	}
	if n := rows(t, db); n >= 200 {
		t.Errorf("%d parcels: nothing was shared", n)
	}
}

// While the database is away a waiting call is told; the others are stored when it is back.
func TestDatabaseAway(t *testing.T) {
	w, b, db := newWriter(t)
	if _, err := db.DB.Worker.Exec(t.Context(), "select 1"); err != nil {
		t.Fatal(err)
	}
	w.Later(t.Context(), w.Begin("message.get", from))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Write(ctx, w.Begin("tenant.update", from)); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("a record nobody stores: %v", err)
	}
	start(t, w)()
	if n := len(b.records(t)); n != 1 {
		t.Errorf("%d records", n)
	}
}

func TestSeveralChangesOfOneCall(t *testing.T) {
	_, b, db := newWriter(t)
	call := record.New("api_key.rotate", from, b.Publish, time.Now())
	ctx := record.NewContext(t.Context(), call)
	record.Change(ctx, "api_key/old", map[string]any{"status": "active"}, map[string]any{"status": "retiring"})
	record.Change(ctx, "api_key/new", nil, &ingestv1.ApiKey{KeyId: "new", Name: "n"})
	if err := postgres.InTx(ctx, db.DB.Worker, func(tx pgx.Tx) error { return record.Append(ctx, tx) }); err != nil {
		t.Fatal(err)
	}
	record.Committed(ctx)
	got := b.records(t)[0]
	if diff := cmp.Diff([]string{
		"api_key/old", `{"api_key/old":{"status":"active"}}`,
		`{"api_key/new":{"key_id":"new","name":"n"},"api_key/old":{"status":"retiring"}}`,
	}, []string{got.GetResource(), got.GetBefore(), got.GetAfter()}); diff != "" {
		t.Error(diff)
	}
}

func rows(t *testing.T, db *postgrestest.Database) (n int) {
	t.Helper()
	if err := db.DB.Worker.QueryRow(t.Context(), "select count(*) from outbox").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
