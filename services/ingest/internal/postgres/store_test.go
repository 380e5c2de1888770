package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message/messagetest"
	ingestpostgres "github.com/onlinesms/onlinesms/services/ingest/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
)

var (
	tenantA = uuid.MustParse("01930000-0000-7000-8000-00000000000a")
	tenantB = uuid.MustParse("01930000-0000-7000-8000-00000000000b")
)

// published keeps what the store gave to the publisher.
type published struct {
	mu      sync.Mutex
	parcels []eventbus.Parcel
}

func (p *published) Publish(parcels ...eventbus.Parcel) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parcels = append(p.parcels, parcels...)
}

// world is a store over a fresh database, with a clock that stands still.
type world struct {
	*ingestpostgres.Store
	db        *postgrestest.Database
	published *published
	now       time.Time
	flushes   uint16
}

func newWorld(t testing.TB) *world {
	w := &world{db: postgrestest.New(t, "ingest", outbox.Source, ingestpostgres.Source), published: &published{}, now: time.Now()}
	w.Store = ingestpostgres.NewStore(w.db.DB, w.published, func() time.Time { return w.now })
	return w
}

// accept stores a flush of two messages, the second one refused, and gives its parcel.
func (w *world) accept(t testing.TB, tenant uuid.UUID) message.Parcel {
	t.Helper()
	w.flushes++
	f := messagetest.NewFlush(w.now, w.flushes, tenant)
	if err := w.Accept(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	return f.Parcels[0]
}

// say records one event of a message.
func (w *world) say(t testing.TB, p message.Parcel, e message.Event) {
	t.Helper()
	if err := w.Record(t.Context(), []message.Chunk{chunk(p, e)}); err != nil {
		t.Fatal(err)
	}
}

func chunk(p message.Parcel, e message.Event) message.Chunk {
	e.Time = p.Entries[0].Message.Expire.Add(-time.Hour)
	c := message.Chunk{Parcel: p.ID, Tenant: p.Tenant, Env: p.Env, Event: uuid.Must(uuid.NewV7()), Pack: message.AppendEvent(nil, &e)}
	if e.Kind.State().Final() {
		c.Final = []message.Finish{{ID: message.IDAt(p.ID, e.Index), Standing: message.Standing{Round: e.Round, State: e.Kind.State()}}}
	}
	return c
}

func (w *world) count(t *testing.T, table string) (n int) {
	t.Helper()
	if err := w.db.DB.Worker.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestStore(t *testing.T) {
	w := newWorld(t)
	messagetest.RunStoreTests(t, w.Store, func() time.Time { return w.now }, func(t *testing.T) int { return w.count(t, "messages") })
	if p, o := w.count(t, "parcels"), w.count(t, "outbox"); p != 2 || o != 2 || len(w.published.parcels) != 2 {
		t.Errorf("%d parcels, %d outbox rows, %d published; want 2 of each", p, o, len(w.published.parcels))
	}
}

func TestAcceptedParcel(t *testing.T) {
	w := newWorld(t)
	p := w.accept(t, tenantA)
	got := w.published.parcels[0]
	if got.Subject != "onlinesms.ingest.v1.MessagesAccepted.live.bulk" || got.Entries != 2 || got.ID != p.ID {
		t.Errorf("parcel %+v", got)
	}
	var parcel ingestv1.AcceptedParcel
	if err := proto.Unmarshal(got.Payload, &parcel); err != nil {
		t.Fatal(err)
	}
	for i, m := range parcel.GetMessages() {
		if id := uuid.UUID(m.GetMessageId()); id != p.Entries[i].ID || string(m.GetContent()) != fmt.Sprintf("sealed %d", i) ||
			m.GetExpireTimeUs() != p.Entries[i].Message.Expire.UnixMicro() || m.GetScheduleTimeUs() != 0 {
			t.Errorf("message %d: %v", i, m)
		}
	}
}

// Two replicas that take the same key at once: one stores, the other is told who was faster.
func TestOneKeyTakenByTwo(t *testing.T) {
	w := newWorld(t)
	key := message.Key{Tenant: tenantA, Env: "live", Hash: [16]byte{7}}
	var wg sync.WaitGroup
	var mu sync.Mutex
	stored, taken := 0, 0
	for i := range 20 {
		wg.Go(func() {
			row := message.KeyRow{Key: key, Expire: w.now.Add(time.Hour), Taken: message.Taken{Answer: []byte{byte(i)}}}
			err := w.Accept(t.Context(), messagetest.NewFlush(w.now, uint16(100+i), tenantA, row))
			mu.Lock()
			defer mu.Unlock()
			var by *message.KeyTakenError
			switch {
			case err == nil:
				stored++
			case errors.As(err, &by) && by.Keys[0] == key:
				taken++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if stored != 1 || taken != 19 || w.count(t, "messages") != 2 {
		t.Errorf("%d stored, %d taken, %d messages", stored, taken, w.count(t, "messages"))
	}
}

func TestPurgeKeys(t *testing.T) {
	w := newWorld(t)
	for i, ttl := range []time.Duration{-time.Hour, -time.Minute, time.Hour} {
		row := message.KeyRow{Key: message.Key{Tenant: tenantA, Env: "live", Hash: [16]byte{byte(i)}}, Expire: w.now.Add(ttl), Taken: message.Taken{Answer: []byte{0, 0}}}
		if err := w.Accept(t.Context(), messagetest.NewFlush(w.now, uint16(i), tenantA, row)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int64{1, 1, 0} {
		if n, err := w.PurgeKeys(t.Context(), 1); err != nil || n != want {
			t.Errorf("purged %d, %v; want %d", n, err, want)
		}
	}
	if n := w.count(t, "idempotency"); n != 1 {
		t.Errorf("%d keys left", n)
	}
}

func TestList(t *testing.T) {
	w := newWorld(t)
	var parcels []message.Parcel
	for range 6 {
		parcels = append(parcels, w.accept(t, tenantA))
		w.now = w.now.Add(time.Second)
	}
	w.accept(t, tenantB)
	w.say(t, parcels[0], message.Event{Kind: message.KindSubmitted})
	w.say(t, parcels[1], message.Event{Kind: message.KindDelivered})
	w.say(t, parcels[2], message.Event{Kind: message.KindHeld})
	w.say(t, parcels[3], message.Event{Kind: message.KindUndelivered})

	query := message.Query{Tenant: tenantA, Env: "live", Start: w.now.Add(-time.Hour), End: w.now, Limit: 100}
	all := w.list(t, query)
	if len(all) != 12 || !slices.IsSortedFunc(all, func(a, b message.Summary) int { return b.Accept.Compare(a.Accept) }) {
		t.Fatalf("%d messages", len(all))
	}
	for _, limit := range []int{1, 5, 12} {
		q := query
		q.Limit = limit
		if got := w.list(t, q); !cmp.Equal(got, all) {
			t.Errorf("pages of %d give %d messages", limit, len(got))
		}
	}
	for state, want := range map[message.State]int{
		message.StateRefused: 6, message.StateDelivered: 1, message.StateSubmitted: 1, message.StateHeld: 1,
		message.StateUndelivered: 1, message.StateAccepted: 2, message.StateUnknown: 0,
	} {
		q := query
		q.State, q.Limit = state, 2
		got := w.list(t, q)
		if len(got) != want || slices.ContainsFunc(got, func(m message.Summary) bool { return m.Standing.State != state }) {
			t.Errorf("state %d: %d messages, want %d", state, len(got), want)
		}
	}
	narrow := query
	narrow.Start, narrow.End = parcels[1].Entries[0].Message.Expire.Add(-time.Hour), w.now.Add(-3*time.Second)
	if got := w.list(t, narrow); len(got) != 4 {
		t.Errorf("%d messages between second 1 and 3, want 4", len(got))
	}
	reference := query
	reference.Reference = "order-3"
	if got := w.list(t, reference); len(got) != 2 || got[0].ClientReference != "order-3" {
		t.Errorf("by reference: %v", got)
	}
	reference.State = message.StateHeld
	if got := w.list(t, reference); len(got) != 1 || got[0].ID != parcels[2].Entries[0].ID {
		t.Errorf("by reference and state: %v", got)
	}
	other := query
	other.Env = "test"
	if got := w.list(t, other); len(got) != 0 {
		t.Errorf("the test environment shows %d live messages", len(got))
	}
}

// list reads all pages.
func (w *world) list(t *testing.T, q message.Query) (all []message.Summary) {
	t.Helper()
	for range 50 {
		page, err := w.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Messages...)
		if q.Before = page.Next; page.Next == uuid.Nil {
			return all
		}
	}
	t.Fatal("the list does not end")
	return nil
}
