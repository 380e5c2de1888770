package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/encoding"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
)

// fixture is a store on a fresh database and what it published.
type fixture struct {
	*Store
	t  testing.TB
	db *postgrestest.Database
	me uuid.UUID

	forgetful bool // as if another replica had recorded what came before

	mu     sync.Mutex
	events []eventbus.Parcel
}

// eachMemory runs a test with receipts that come to the replica that submitted, and to another one.
func eachMemory(t *testing.T, test func(t *testing.T, f *fixture)) {
	for name, forgetful := range map[string]bool{"same replica": false, "other replica": true} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.forgetful = forgetful
			test(t, f)
		})
	}
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, db: postgrestest.New(t, "dispatch", outbox.Source, Source), me: newID()}
	f.Store = New(f.db.DB.Worker, func(p ...eventbus.Parcel) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = append(f.events, p...)
	}, newID, time.Now)
	f.must(f.Join(t.Context(), f.me, time.Minute, map[string]int{"sim": 2}))
	return f
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// outcomes reads and forgets what was published, as `Event message` lines by message index.
func (f *fixture) outcomes() map[string][]*dispatchv1.Outcome {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	found := map[string][]*dispatchv1.Outcome{}
	for _, p := range f.events {
		event, _, _, _ := eventbus.ParseSubject(p.Subject)
		wire := &dispatchv1.OutcomeParcel{}
		f.must(proto.Unmarshal(p.Payload, wire))
		if len(wire.Outcomes) != p.Entries || uuid.UUID(wire.TenantId) != p.Tenant || uuid.UUID(wire.ParcelId) != p.ID {
			f.t.Errorf("parcel head %v does not match %v", wire, p)
		}
		name := event[len("onlinesms.dispatch.v1."):]
		found[name] = append(found[name], wire.Outcomes...)
	}
	f.events = nil
	return found
}

func counts(found map[string][]*dispatchv1.Outcome) map[string]int {
	n := map[string]int{}
	for name, list := range found {
		n[name] = len(list)
	}
	return n
}

func (f *fixture) expect(want map[string]int) map[string][]*dispatchv1.Outcome {
	f.t.Helper()
	found := f.outcomes()
	if diff := cmp.Diff(want, counts(found)); diff != "" {
		f.t.Errorf("events: %s", diff)
	}
	return found
}

// rows counts a table's rows.
func (f *fixture) rows(table string) (n int) {
	f.t.Helper()
	f.must(f.db.DB.Worker.QueryRow(f.t.Context(), `SELECT count(*) FROM `+table).Scan(&n))
	return n
}

// makeParcel makes a parcel of n messages of some segments.
func makeParcel(n, segments int) *delivery.Parcel {
	p := &delivery.Parcel{ID: newID(), Tenant: uuid.New(), Correlation: newID(), Env: "test", Lane: delivery.Bulk, Route: "sim", Payload: []byte("sealed")}
	for i := range n {
		m := &delivery.Message{Parcel: p, Index: uint16(i), ID: newID(), Round: 3}
		m.Text.Segments = make([][]byte, segments)
		m.Text.Alphabet, m.Text.DataCoding = encoding.UCS2, 8
		p.Messages = append(p.Messages, m)
	}
	p.Start(n)
	return p
}

func (f *fixture) enqueue(parcels ...*delivery.Parcel) {
	f.t.Helper()
	fresh, err := f.Enqueue(f.t.Context(), f.me, parcels)
	f.must(err)
	if len(fresh) != len(parcels) {
		f.t.Fatalf("%d of %d parcels are new", len(fresh), len(parcels))
	}
}

func (f *fixture) record(results []delivery.Result, receipts ...delivery.Receipt) {
	f.t.Helper()
	if f.forgetful {
		f.recent.new, f.recent.old = nil, nil
	}
	f.must(f.Record(f.t.Context(), f.me, delivery.Report{ID: newID(), Results: results, Receipts: receipts}))
}

// submitted is the result of a message whose segments got ids.
func submitted(m *delivery.Message, ids ...string) delivery.Result {
	r := delivery.Result{Message: m, Kind: delivery.Submitted, At: time.Now(), Intent: true}
	for i, id := range ids {
		r.Accepted = append(r.Accepted, delivery.Accepted{Segment: i + 1, OperatorID: id})
	}
	return r
}

func receipt(id string, state delivery.State) delivery.Receipt {
	r := delivery.Receipt{Route: "sim", OperatorID: id, State: state, Code: "000", Done: time.Now(), Received: time.Now()}
	if state.Outcome() == delivery.Undelivered {
		r.Code, r.Reason = "633", "TEMPLATE_NOT_MATCHED"
	}
	copy(r.Hash[:], fmt.Sprintf("%s %d", id, state))
	return r
}

func TestEnqueueOnce(t *testing.T) {
	f := newFixture(t)
	a, b := makeParcel(3, 1), makeParcel(1, 1)
	f.enqueue(a, b)
	fresh, err := f.Enqueue(t.Context(), f.me, []*delivery.Parcel{b, a, makeParcel(1, 1)})
	f.must(err)
	if len(fresh) != 1 || f.rows("queue") != 3 {
		t.Errorf("%d new, %d rows", len(fresh), f.rows("queue"))
	}
	again := makeParcel(1, 1)
	if fresh, err = f.Enqueue(t.Context(), f.me, []*delivery.Parcel{again, again}); err != nil || len(fresh) != 1 {
		t.Errorf("twice in one batch: %d, %v", len(fresh), err)
	}
}

func TestResultsFinishAParcel(t *testing.T) {
	f := newFixture(t)
	p := makeParcel(3, 1)
	f.enqueue(p)
	first := submitted(p.Messages[0], "10")
	failed := delivery.Result{Message: p.Messages[1], Kind: delivery.Failed, At: time.Now(), Intent: true, Reason: "HEADER_NOT_FOUND", Code: "0x0A"}
	f.record([]delivery.Result{first, failed})
	if f.rows("queue") != 1 || f.rows("results") != 2 || f.rows("submissions") != 1 {
		t.Errorf("queue %d, results %d, submissions %d", f.rows("queue"), f.rows("results"), f.rows("submissions"))
	}
	last := delivery.Result{Message: p.Messages[2], Kind: delivery.Returned, At: time.Now(), Reason: "PROMO_WINDOW", Due: time.Now().Add(time.Hour), Done: true}
	f.record([]delivery.Result{last})
	if f.rows("queue") != 0 || f.rows("results") != 2 {
		t.Errorf("at the end: queue %d, results %d", f.rows("queue"), f.rows("results"))
	}
	found := f.expect(map[string]int{"MessagesSubmitted": 1, "MessagesFailed": 1, "MessagesReturned": 1})
	o := found["MessagesSubmitted"][0]
	if uuid.UUID(o.MessageId) != p.Messages[0].ID || o.Round != 3 || o.Route != "sim" || o.Encoding != "UCS2" || o.Segments != 1 {
		t.Errorf("submitted: %v", o)
	}
	if o = found["MessagesFailed"][0]; o.Reason.GetCode() != "HEADER_NOT_FOUND" || o.OperatorCode != "0x0A" {
		t.Errorf("failed: %v", o)
	}
	if o = found["MessagesReturned"][0]; o.DueTimeUs == 0 || uuid.UUID(o.ClearedParcelId) != p.ID {
		t.Errorf("returned: %v", o)
	}
	if f.rows("outbox") != 3 {
		t.Errorf("outbox holds %d", f.rows("outbox"))
	}
}

func TestAReportThatComesAgainChangesNothing(t *testing.T) {
	f := newFixture(t)
	p := makeParcel(2, 1)
	f.enqueue(p)
	released := delivery.Result{Message: p.Messages[1], Kind: delivery.Released, At: time.Now(), Intent: true}
	report := delivery.Report{ID: newID(), Results: []delivery.Result{submitted(p.Messages[0], "1"), released}}
	for range 2 { // the first commit's answer was lost
		f.must(f.Record(t.Context(), f.me, report))
	}
	f.expect(map[string]int{"MessagesSubmitted": 1})
	if f.rows("results") != 2 || f.rows("submissions") != 1 {
		t.Errorf("%d results, %d submissions", f.rows("results"), f.rows("submissions"))
	}
}

func TestStraysAreDisowned(t *testing.T) {
	f := newFixture(t)
	known, stray, recent := makeParcel(1, 1), makeParcel(1, 1), makeParcel(1, 1)
	f.enqueue(known, stray)
	_, err := f.db.DB.Worker.Exec(t.Context(), `UPDATE queue SET taken_at = clock_timestamp() - interval '1 min'`)
	f.must(err)
	f.enqueue(recent)
	n, err := f.Stray(t.Context(), f.me, 10*time.Second, func(id uuid.UUID) bool { return id == known.ID })
	f.must(err)
	claimed, err := f.Claim(t.Context(), f.me, []string{"sim"}, time.Hour, 5)
	if err != nil || n != 1 || len(claimed) != 1 || claimed[0].Parcel.ID != stray.ID {
		t.Errorf("%d disowned, claimed %v, %v", n, claimed, err)
	}
}

func TestClosedParcelsLeaveTheQueue(t *testing.T) {
	f := newFixture(t)
	p := makeParcel(1, 1)
	f.enqueue(p)
	f.must(f.Record(t.Context(), f.me, delivery.Report{ID: newID(), Closed: []*delivery.Parcel{p}}))
	if f.rows("queue") != 0 {
		t.Error("the row is still there")
	}
}

func TestReceiptsInAnyOrder(t *testing.T) {
	eachMemory(t, func(t *testing.T, f *fixture) {
		p := makeParcel(4, 1)
		f.enqueue(p)
		ids := []string{"100", "101", "102", "103"}
		early := []delivery.Receipt{receipt(ids[0], delivery.StateDelivered), receipt(ids[1], delivery.StateUndeliverable), receipt("stranger", delivery.StateDelivered)}
		f.record(nil, early...)
		f.expect(map[string]int{})
		if f.rows("parked_receipts") != 3 {
			t.Fatalf("%d parked", f.rows("parked_receipts"))
		}
		var results []delivery.Result
		for i, m := range p.Messages {
			results = append(results, submitted(m, ids[i]))
		}
		// The third one's receipt comes with its result, the fourth's later and three times.
		f.record(results, receipt(ids[2], delivery.StateDelivered))
		found := f.expect(map[string]int{"MessagesSubmitted": 4, "MessagesDelivered": 2, "MessagesUndelivered": 1})
		if u := found["MessagesUndelivered"][0]; u.Reason.GetCode() != "TEMPLATE_NOT_MATCHED" || u.OperatorCode != "633" || uuid.UUID(u.MessageId) != p.Messages[1].ID {
			t.Errorf("undelivered: %v", u)
		}
		for _, d := range found["MessagesDelivered"] {
			if len(d.ReceiptHash) != 32 || d.ReceiptHash[0] == 0 {
				t.Errorf("no hash of the PDU: %v", d)
			}
		}
		same := receipt(ids[3], delivery.StateDelivered)
		f.record(nil, same, same)
		f.record(nil, same)
		f.expect(map[string]int{"MessagesDelivered": 1})
		if f.rows("receipts") != 4 || f.rows("parked_receipts") != 1 {
			t.Errorf("%d receipts, %d parked", f.rows("receipts"), f.rows("parked_receipts"))
		}
	})
}

func TestDeliveredAfterExpiredKeepsBoth(t *testing.T) { // X05
	eachMemory(t, func(t *testing.T, f *fixture) {
		p := makeParcel(1, 1)
		f.enqueue(p)
		f.record([]delivery.Result{submitted(p.Messages[0], "1")})
		f.record(nil, receipt("1", 1)) // on its way: kept, no event
		f.record(nil, receipt("1", delivery.StateExpired))
		f.record(nil, receipt("1", delivery.StateDelivered))
		f.expect(map[string]int{"MessagesSubmitted": 1, "MessagesExpired": 1, "MessagesDelivered": 1})
		if f.rows("receipts") != 3 {
			t.Errorf("%d receipts", f.rows("receipts"))
		}
	})
}

func TestSeveralSegments(t *testing.T) {
	eachMemory(t, func(t *testing.T, f *fixture) {
		p := makeParcel(2, 3)
		f.enqueue(p)
		f.record([]delivery.Result{submitted(p.Messages[0], "a1", "a2", "a3"), submitted(p.Messages[1], "b1", "b2", "b3")})
		f.expect(map[string]int{"MessagesSubmitted": 2})
		f.record(nil, receipt("a1", delivery.StateDelivered), receipt("a3", delivery.StateDelivered), receipt("b1", delivery.StateDelivered))
		f.expect(map[string]int{})
		f.record(nil, receipt("a2", delivery.StateDelivered), receipt("b2", delivery.StateUndeliverable))
		found := f.expect(map[string]int{"MessagesDelivered": 1, "MessagesUndelivered": 1})
		if u := found["MessagesUndelivered"][0]; u.Reason.GetMetadata()["segment"] != "2" {
			t.Errorf("which segment: %v", u)
		}
		f.record(nil, receipt("b3", delivery.StateUndeliverable))
		f.expect(map[string]int{}) // already told
	})
}

func TestTheLatestSubmitOwnsAReusedID(t *testing.T) {
	eachMemory(t, func(t *testing.T, f *fixture) {
		p := makeParcel(2, 1)
		f.enqueue(p)
		old := submitted(p.Messages[0], "7")
		old.At = time.Now().Add(-time.Minute)
		f.record([]delivery.Result{old})
		f.record([]delivery.Result{submitted(p.Messages[1], "7")})
		f.outcomes()
		f.record(nil, receipt("7", delivery.StateDelivered))
		if d := f.expect(map[string]int{"MessagesDelivered": 1})["MessagesDelivered"]; len(d) == 1 && uuid.UUID(d[0].MessageId) != p.Messages[1].ID {
			t.Error("the receipt went to the older submit")
		}
	})
}

func TestSweepJoinsWhatRaced(t *testing.T) {
	f := newFixture(t)
	p := makeParcel(1, 1)
	f.enqueue(p)
	f.record([]delivery.Result{submitted(p.Messages[0], "5")})
	f.outcomes()
	// As if two replicas had raced: parked although the submission is there.
	late := receipt("5", delivery.StateDelivered)
	_, err := f.db.DB.Worker.Exec(t.Context(), `INSERT INTO parked_receipts (day, route, operator_id, state, pdu_sha256, code, reason, done_at, received_at)
		VALUES ($1, 'sim', '5', 2, $2, '000', '', now(), now())`, dayOf(time.Now()), late.Hash[:])
	f.must(err)
	f.record(nil, receipt("", delivery.StateDelivered), receipt("unknown", delivery.StateDelivered))
	joined, err := f.Sweep(t.Context())
	f.must(err)
	f.expect(map[string]int{"MessagesDelivered": 1})
	if joined != 1 || f.rows("parked_receipts") != 2 {
		t.Errorf("%d joined, %d parked", joined, f.rows("parked_receipts"))
	}
	if joined, err = f.Sweep(t.Context()); err != nil || joined != 0 {
		t.Errorf("again: %d, %v", joined, err)
	}
}

func (f *fixture) acquire(replica uuid.UUID, n int) []delivery.Bind {
	f.t.Helper()
	binds, err := f.Acquire(f.t.Context(), replica, "sim", n)
	f.must(err)
	return binds
}

func TestIntentsAreFenced(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	binds := f.acquire(f.me, 5)
	if len(binds) != 2 || binds[0].Epoch != 1 {
		t.Fatalf("binds %v", binds)
	}
	p, q := makeParcel(5, 1), makeParcel(1, 1)
	f.enqueue(p, q)
	good := delivery.Intent{ID: newID(), Bind: binds[0], Messages: append([]*delivery.Message{q.Messages[0]}, p.Messages[:2]...)}
	allowed, err := f.Intend(ctx, f.me, []delivery.Intent{good})
	if err != nil || !allowed[0].Allowed || f.rows("intents") != 2 {
		t.Fatalf("%v %v, %d rows", allowed, err, f.rows("intents"))
	}
	if _, err = f.Intend(ctx, f.me, []delivery.Intent{good}); err != nil || f.rows("intents") != 2 {
		t.Fatalf("the same again: %v, %d rows", err, f.rows("intents"))
	}
	f.must(f.Yield(ctx, f.me, binds[1:]))
	lost := delivery.Intent{ID: newID(), Bind: binds[1], Messages: p.Messages[2:3]}
	held := delivery.Intent{ID: newID(), Bind: binds[0], Messages: p.Messages[3:4]}
	stale := delivery.Intent{ID: newID(), Bind: delivery.Bind{Route: "sim", No: 0, Epoch: 7}, Messages: p.Messages[4:5]}
	allowed, err = f.Intend(ctx, f.me, []delivery.Intent{lost, held, stale})
	if diff := cmp.Diff([]delivery.Answer{{}, {Allowed: true}, {}}, allowed); err != nil || diff != "" || f.rows("intents") != 3 {
		t.Fatalf("%v %s, %d rows", err, diff, f.rows("intents"))
	}
}

// expire makes a replica's time be over, in a server that has been up for long.
func (f *fixture) takeOverBy(other uuid.UUID) {
	f.t.Helper()
	_, err := f.db.DB.Worker.Exec(f.t.Context(), `UPDATE replicas SET expires_at = clock_timestamp() - interval '1 s' WHERE replica = $1`, f.me)
	f.must(err)
	f.must(f.Join(f.t.Context(), other, time.Minute, map[string]int{"sim": 2}))
	for range 200 { // the server of the tests may have started a moment ago
		_, err := f.Beat(f.t.Context(), other, 10*time.Millisecond)
		f.must(err)
		if f.rows("replicas") == 1 {
			return
		}
	}
	f.t.Fatal("not taken over")
}

func TestTakeOver(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	binds := f.acquire(f.me, 2)
	p := makeParcel(4, 1)
	f.enqueue(p)
	intent := func(list ...*delivery.Message) delivery.Intent {
		return delivery.Intent{ID: newID(), Bind: binds[0], Messages: list}
	}
	_, err := f.Intend(ctx, f.me, []delivery.Intent{intent(p.Messages[:3]...)})
	f.must(err)
	released := delivery.Result{Message: p.Messages[2], Kind: delivery.Released, At: time.Now(), Intent: true}
	f.record([]delivery.Result{submitted(p.Messages[0], "1"), released})
	f.outcomes()

	successor := newID()
	f.takeOverBy(successor)
	claimed, err := f.Claim(ctx, successor, []string{"sim"}, time.Hour, 10)
	if err != nil || len(claimed) != 1 || string(claimed[0].Parcel.Payload) != "sealed" || claimed[0].Parcel.Lane != delivery.Bulk {
		t.Fatalf("claimed %v, %v", claimed, err)
	}
	requeue, doubt, _ := delivery.Repair(4, claimed[0].Intents, claimed[0].Results)
	if !cmp.Equal(requeue, []uint16{2, 3}) || !cmp.Equal(doubt, []uint16{1}) {
		t.Errorf("requeue %v, doubt %v", requeue, doubt)
	}
	if again, err := f.Claim(ctx, successor, []string{"sim"}, time.Hour, 10); err != nil || len(again) != 0 {
		t.Errorf("claimed twice: %v, %v", again, err)
	}
	if got := f.acquire(successor, 2); len(got) != 2 || got[0].Epoch != 2 {
		t.Errorf("leases %v", got)
	}

	// The zombie wakes up: nothing new is allowed, what it learned of its intents counts.
	if _, err := f.Intend(ctx, f.me, []delivery.Intent{intent(p.Messages[3])}); !errors.Is(err, delivery.ErrFenced) {
		t.Errorf("zombie's intent: %v", err)
	}
	if _, err := f.Enqueue(ctx, f.me, []*delivery.Parcel{makeParcel(1, 1)}); !errors.Is(err, delivery.ErrFenced) {
		t.Errorf("zombie's parcel: %v", err)
	}
	if _, err := f.Beat(ctx, f.me, time.Minute); !errors.Is(err, delivery.ErrFenced) {
		t.Errorf("zombie's beat: %v", err)
	}
	if _, err := f.Acquire(ctx, f.me, "sim", 1); !errors.Is(err, delivery.ErrFenced) {
		t.Errorf("zombie's lease: %v", err)
	}
	expired := delivery.Result{Message: p.Messages[3], Kind: delivery.Expired, At: time.Now(), Done: true}
	f.record([]delivery.Result{submitted(p.Messages[1], "2"), expired})
	f.expect(map[string]int{"MessagesSubmitted": 1})
	if f.rows("queue") != 1 {
		t.Error("the zombie deleted its successor's row")
	}
}

func TestTakeOverWaitsForAnIntentUnderWay(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	tx, err := f.db.DB.Worker.Begin(ctx)
	f.must(err)
	f.must(fence(ctx, tx, f.me))
	_, err = f.db.DB.Worker.Exec(ctx, `UPDATE replicas SET expires_at = clock_timestamp() - interval '1 s' WHERE replica = $1`, f.me)
	f.must(err) // a renewal does not wait for the fence
	other := newID()
	f.must(f.Join(ctx, other, time.Minute, nil))
	f.must(f.takeOver(ctx, 0))
	if f.rows("replicas") != 2 {
		t.Error("taken over while an intent was under way")
	}
	f.must(tx.Commit(ctx))
	f.must(f.takeOver(ctx, 0))
	if f.rows("replicas") != 1 {
		t.Error("not taken over")
	}
}

func TestHandedOverAndOrphans(t *testing.T) {
	f := newFixture(t)
	p := makeParcel(1, 1)
	p.HandedOver = true
	p.Route = "other"
	f.enqueue(p)
	if c, err := f.Claim(t.Context(), f.me, []string{"sim"}, time.Hour, 5); err != nil || len(c) != 0 {
		t.Errorf("of another route: %v, %v", c, err)
	}
	if c, err := f.Claim(t.Context(), f.me, []string{"sim"}, 0, 5); err != nil || len(c) != 1 {
		t.Errorf("orphan: %v, %v", c, err)
	}
}

func TestLeaveGivesEverythingBack(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.acquire(f.me, 2)
	f.enqueue(makeParcel(2, 1))
	f.must(f.Leave(ctx, f.me))
	other := newID()
	f.must(f.Join(ctx, other, time.Minute, map[string]int{"sim": 1}))
	standing, err := f.Beat(ctx, other, time.Minute)
	if want := (delivery.Standing{Replicas: 1, Free: map[string]int{"sim": 1}}); err != nil || !cmp.Equal(want, standing) {
		t.Errorf("%+v, %v", standing, err) // the second bind is configured no more
	}
	if c, err := f.Claim(ctx, other, []string{"sim"}, time.Hour, 5); err != nil || len(c) != 1 {
		t.Errorf("%v, %v", c, err)
	}
}

func TestTenantSeesOnlyItsRows(t *testing.T) {
	f := newFixture(t)
	p, q := makeParcel(1, 1), makeParcel(1, 1)
	f.enqueue(p, q)
	binds := f.acquire(f.me, 1)
	_, err := f.Intend(t.Context(), f.me, []delivery.Intent{{ID: newID(), Bind: binds[0], Messages: []*delivery.Message{p.Messages[0], q.Messages[0]}}})
	f.must(err)
	f.record([]delivery.Result{submitted(p.Messages[0], "1"), submitted(q.Messages[0], "2")}, receipt("1", delivery.StateDelivered), receipt("2", delivery.StateDelivered))
	for _, table := range []string{"queue", "intents", "results", "submissions", "receipts"} {
		var mine, all int
		f.must(f.db.DB.InTenant(t.Context(), p.Tenant, func(tx pgx.Tx) error {
			return tx.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE tenant_id = $1), count(*) FROM `+table, p.Tenant).Scan(&mine, &all)
		}))
		if mine != 1 || all != 1 {
			t.Errorf("%s: %d of %d rows are the tenant's", table, mine, all)
		}
	}
	for _, table := range []string{"replicas", "bind_leases", "parked_receipts"} {
		err := f.db.DB.InTenant(t.Context(), p.Tenant, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), `SELECT FROM `+table)
			return err
		})
		if err == nil {
			t.Errorf("a tenant reads %s", table)
		}
	}
}

// BenchmarkRecord is one transaction of 500 results and the receipts of the 500 before.
func BenchmarkRecord(b *testing.B) {
	f := newFixture(b)
	f.publish = func(...eventbus.Parcel) {}
	var before []delivery.Receipt
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		p := makeParcel(500, 1)
		results := make([]delivery.Result, 0, 500)
		var next []delivery.Receipt
		for _, m := range p.Messages {
			n++
			id := fmt.Sprintf("17324800%09d", n)
			results = append(results, submitted(m, id))
			next = append(next, receipt(id, delivery.StateDelivered))
		}
		results[499].Done = true
		f.must(f.Record(context.Background(), f.me, delivery.Report{ID: newID(), Results: results, Receipts: before}))
		before = next
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/msg")
}
