package app

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/consumer"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/inbound"
	store "github.com/onlinesms/onlinesms/services/dispatch/internal/postgres"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smsc"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
	"github.com/onlinesms/onlinesms/services/internal/seal"
)

const (
	entity   = "1701158019811140068"
	template = "1107160000000000055"
	header   = "ABCBNK"
	deadline = 20 * time.Second
)

// world is an operator, a database and everything dispatch has published.
type world struct {
	t    testing.TB
	db   *postgrestest.Database
	sim  *smsc.Server
	addr string
	log  *slog.Logger

	mu     sync.Mutex
	states map[uuid.UUID][]string // events by message, in the order of publishing
	said   []*dispatchv1.InboundEntry
	wishes map[uuid.UUID][]*dispatchv1.ReceivedOptOut // by tenant
	last   map[uuid.UUID]*dispatchv1.Outcome
}

// newWorld starts an operator with one test and one live account.
func newWorld(t testing.TB, knobs func(*smsc.Knobs)) *world {
	t.Helper()
	k := smsc.DefaultKnobs()
	k.ReceiptDelayMS = 5
	if knobs != nil {
		knobs(&k)
	}
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("TEST_LOG") != "" {
		log = slog.Default()
	}
	sim, err := smsc.New(smsc.Config{Accounts: map[string]string{"test": "secret", "live": "secret"}, Knobs: k, Seed: 1, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- sim.Serve(l) }()
	w := &world{
		t: t, db: postgrestest.New(t, "dispatch", sources...), sim: sim, addr: l.Addr().String(), log: log,
		states: map[uuid.UUID][]string{}, wishes: map[uuid.UUID][]*dispatchv1.ReceivedOptOut{}, last: map[uuid.UUID]*dispatchv1.Outcome{},
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		sim.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Errorf("simulator: %v", err)
		}
	})
	return w
}

// publish notes what a replica has committed.
func (w *world) publish(parcels ...eventbus.Parcel) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range parcels {
		event, _, _, _ := eventbus.ParseSubject(p.Subject)
		if w.control(event, p) {
			continue
		}
		wire := &dispatchv1.OutcomeParcel{}
		if err := proto.Unmarshal(p.Payload, wire); err != nil {
			w.t.Error(err)
		}
		for _, o := range wire.Outcomes {
			id := uuid.UUID(o.MessageId)
			w.states[id] = append(w.states[id], event[len("onlinesms.dispatch.v1.Messages"):])
			w.last[id] = o
		}
	}
}

// control notes events of lane CONTROL. Called with mu held.
func (w *world) control(event string, p eventbus.Parcel) bool {
	said, wishes := &dispatchv1.InboundParcel{}, &dispatchv1.ReceivedOptOutParcel{}
	var err error
	switch event {
	case "onlinesms.dispatch.v1.InboundReceived":
		err = proto.Unmarshal(p.Payload, said)
		w.said = append(w.said, said.Inbound...)
	case "onlinesms.dispatch.v1.OptOutReceived":
		err = proto.Unmarshal(p.Payload, wishes)
		w.wishes[p.Tenant] = append(w.wishes[p.Tenant], wishes.OptOuts...)
	default:
		return false
	}
	if err != nil {
		w.t.Error(err)
	}
	return true
}

// plain opens content that is not sealed, and seals none.
type plain struct{}

func (plain) Seal(_ context.Context, dst, plaintext []byte, _ seal.Binding) ([]byte, error) {
	return append(dst, plaintext...), nil
}

func (plain) Open(_ context.Context, dst, sealed []byte, _ seal.Binding) ([]byte, error) {
	return append(dst, sealed...), nil
}

// replica is one running engine.
type replica struct {
	*delivery.Engine
	stop  func() // as SIGTERM
	ended chan struct{}
}

// routes is a routes file; the sim has no live route unless asked for.
func (w *world) routes(text string) *route.Routes {
	w.t.Helper()
	routes, err := route.Parse([]byte(text))
	if err != nil {
		w.t.Fatal(err)
	}
	return routes
}

func (w *world) oneRoute() string {
	return fmt.Sprintf(`routes: [{name: sim, env: [test], addr: %q, system_id: test, password: secret, binds: 2, window: 100, tps: 20000, submit_timeout: 400ms}]`, w.addr)
}

// recipientOf is a number's hash: the number.
func recipientOf(_, number string) (h [16]byte) {
	copy(h[:], number)
	return h
}

// receiver takes what handsets send; a number's hash is the number, in 16 octets.
func (w *world) receiver(s *store.Store, routes *route.Routes) *inbound.Receiver {
	return inbound.NewReceiver(inbound.Config{
		Store: store.Inbound{Store: s}, Sealer: plain{}, Opener: plain{}, Configured: routes.InboundOwner, NewID: newID, Now: time.Now,
		Index: func(env string, _ uuid.UUID, number string) ([16]byte, error) { return recipientOf(env, number), nil },
	})
}

// start runs a replica; change may alter its configuration.
func (w *world) start(routes string, change func(*delivery.Config)) *replica {
	w.t.Helper()
	s := store.New(w.db.DB.Worker, w.publish, recipientOf, newID, time.Now)
	cfg := delivery.Config{
		Routes: w.routes(routes), Queue: s, Intents: s, Records: s, Leases: s, Inbound: w.receiver(s, w.routes(routes)), Opener: consumer.NewOpener(plain{}),
		Recipient: recipientOf, Breaker: route.NewBreaker(), Log: w.log, Now: time.Now, NewID: newID, LeaseTTL: time.Second, DrainTimeout: 3 * time.Second,
	}
	s.Tell(cfg.Breaker)
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &replica{Engine: delivery.New(cfg), stop: cancel, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		if err := r.Run(ctx); err != nil {
			w.t.Errorf("engine: %v", err)
		}
	}()
	w.t.Cleanup(func() {
		cancel()
		<-r.ended
	})
	return r
}

// cleared makes a parcel of test messages with the texts given, to numbers with a suffix.
func (w *world) cleared(lane delivery.Lane, suffix string, texts ...string) *delivery.Parcel {
	return w.clearedAs(lane, suffix, typev1.Category_SERVICE, time.Now().Add(time.Hour), texts...)
}

func (w *world) clearedAs(lane delivery.Lane, suffix string, category typev1.Category, expire time.Time, texts ...string) *delivery.Parcel {
	w.t.Helper()
	hash := sha256.Sum256([]byte(entity))
	id, tenant := newID(), uuid.New()
	wire := &compliancev1.ClearedParcel{ParcelId: id[:], TenantId: tenant[:], CorrelationId: id[:]}
	for i, text := range texts {
		to := fmt.Sprintf("+9198%08d", i)
		content, err := proto.Marshal(&ingestv1.Content{To: to[:len(to)-len(suffix)] + suffix, Text: text})
		if err != nil {
			w.t.Fatal(err)
		}
		message := newID()
		wire.Messages = append(wire.Messages, &compliancev1.ClearedMessage{
			MessageId: message[:], EntityId: entity, Header: header, TemplateId: template, Content: content,
			ExpireTimeUs: expire.UnixMicro(), ChainHash: hash[:], Category: category, Round: 1,
		})
	}
	payload, err := proto.Marshal(wire)
	if err != nil {
		w.t.Fatal(err)
	}
	return &delivery.Parcel{ID: id, Tenant: tenant, Env: "test", Lane: lane, Payload: payload}
}

// again is the same event delivered once more.
func again(p *delivery.Parcel) *delivery.Parcel {
	return &delivery.Parcel{ID: p.ID, Tenant: p.Tenant, Env: p.Env, Lane: p.Lane, Payload: p.Payload}
}

func ids(parcels ...*delivery.Parcel) []uuid.UUID {
	var list []uuid.UUID
	for _, p := range parcels {
		for _, m := range p.Messages {
			list = append(list, m.ID)
		}
	}
	return list
}

// texts are n different texts.
func texts(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("Order %s %d - ABCBNK", uuid.NewString(), i)
	}
	return list
}

// take waits for the gate and takes.
func (w *world) take(r *replica, parcels ...*delivery.Parcel) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	for _, p := range parcels {
		if err := r.Gate(p.Lane)(ctx); err != nil {
			w.t.Fatalf("gate: %v", err)
		}
	}
	if err := r.Take(ctx, parcels); err != nil {
		w.t.Fatalf("take: %v", err)
	}
}

// eventually polls until what holds.
func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t.Fatalf("never: %s; %d messages have events; sim %+v", what, len(w.states), w.sim.Stats().Totals)
}

func (w *world) count(messages []uuid.UUID, event string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range messages {
		for _, s := range w.states[id] {
			if s == event {
				n++
			}
		}
	}
	return n
}

// all waits until every message has had the event, and checks that none had it twice.
func (w *world) all(messages []uuid.UUID, event string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%d messages %s", len(messages), event), func() bool { return w.count(messages, event) >= len(messages) })
	if n := w.count(messages, event); n != len(messages) {
		w.t.Errorf("%d events %s of %d messages", n, event, len(messages))
	}
}

func (w *world) outcome(id uuid.UUID) *dispatchv1.Outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[id]
}

func (w *world) rows(table string) (n int) {
	w.t.Helper()
	if err := w.db.DB.Worker.QueryRow(context.Background(), `SELECT count(*) FROM `+table).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// once checks that the operator saw each submit once, with all parameters.
func (w *world) once(segments int) {
	w.t.Helper()
	s := w.sim.Stats()
	if s.Totals.Submits != uint64(segments) || s.Duplicates != 0 || s.TLV.AllThree != s.Totals.Received {
		w.t.Errorf("want %d submits once with three TLVs: %+v, duplicates %d, tlv %+v", segments, s.Totals, s.Duplicates, s.TLV)
	}
}

func TestMessagesAreSubmittedOnceAndDelivered(t *testing.T) {
	w := newWorld(t, nil)
	r := w.start(w.oneRoute(), nil)
	bulk, single, code := w.cleared(delivery.Bulk, "", texts(500)...), w.cleared(delivery.Interactive, "", texts(1)...), w.cleared(delivery.OTP, "", texts(1)...)
	w.take(r, bulk, single, code)
	w.take(r, again(bulk), again(single)) // the same events once more
	messages := ids(bulk, single, code)
	w.all(messages, "Submitted")
	w.all(messages, "Delivered")
	w.once(502)
	w.eventually("queue empty", func() bool { return w.rows("queue") == 0 })
	if o := w.outcome(code.Messages[0].ID); len(o.ReceiptHash) != 32 || o.Route != "sim" || o.Segments != 1 || o.Encoding != "GSM7" || o.OperatorCode != "000" {
		t.Errorf("outcome %v", o)
	}
	// Events leave after the commit, as the answers to the operator do: neither waits for the other.
	w.eventually("receipts answered", func() bool { return w.sim.Stats().Receipts.Pending == 0 })
	if n := w.sim.Stats().Receipts; n.Resent != 0 {
		t.Errorf("receipts %+v", n)
	}
}

func TestSegments(t *testing.T) {
	w := newWorld(t, nil)
	r := w.start(w.oneRoute(), nil)
	hindi := make([]rune, 71)
	euro := make([]rune, 153)
	for i := range hindi {
		hindi[i] = 'न'
	}
	for i := range euro {
		euro[i] = '€'
	}
	p := w.cleared(delivery.Interactive, "", string(hindi), string(euro))
	w.take(r, p)
	w.all(ids(p), "Submitted")
	w.all(ids(p), "Delivered")
	w.once(5)
	s := w.sim.Stats()
	if s.SegmentsByTotal["2"] != 2 || s.SegmentsByTotal["3"] != 3 || s.ByDataCoding["8"] != 2 || s.TLV.AllThree != 5 {
		t.Errorf("segments %v, codings %v, TLVs %+v", s.SegmentsByTotal, s.ByDataCoding, s.TLV)
	}
}

func TestReceiptBeforeResponse(t *testing.T) {
	w := newWorld(t, func(k *smsc.Knobs) { k.ReceiptFirstRate = 1; k.ResponseDelayMS = 30 })
	r := w.start(w.oneRoute(), nil)
	p := w.cleared(delivery.Bulk, "", texts(100)...)
	w.take(r, p)
	w.all(ids(p), "Submitted")
	w.all(ids(p), "Delivered")
	w.once(100)
	if n := w.rows("parked_receipts"); n != 0 {
		t.Errorf("%d receipts are still parked", n)
	}
}

// The answer is lost, the receipt names an id nobody told us: it joins the only submit in doubt of its route, header and
// recipient, and says so. Receipts for that id are joined from then on.
func TestUnknownIDJoinsTheOnlySubmitInDoubt(t *testing.T) {
	w := newWorld(t, nil)
	r := w.start(w.oneRoute(), nil)
	p := w.cleared(delivery.Interactive, "99955506", "lost answer - ABCBNK") // receipt, but no response
	w.take(r, p)
	w.all(ids(p), "Unknown")
	if o := w.outcome(p.Messages[0].ID); o.Reason.GetCode() != "SUBMIT_UNANSWERED" && o.MatchedBy != "recipient" {
		t.Errorf("outcome %v", o)
	}
	w.all(ids(p), "Delivered")
	if o := w.outcome(p.Messages[0].ID); o.MatchedBy != "recipient" || len(o.ReceiptHash) != 32 {
		t.Errorf("matched: %v", o)
	}
	if parked, doubts := w.rows("parked_receipts"), w.rows("doubts"); parked+doubts != 0 {
		t.Errorf("%d parked, %d in doubt", parked, doubts)
	}
	w.once(1)
}

// Of two submits in doubt to one recipient nobody can tell whose a receipt is: it stays parked, and both stay UNKNOWN.
func TestUnknownIDIsParkedWhereTwoAreInDoubt(t *testing.T) {
	w := newWorld(t, nil)
	r := w.start(w.oneRoute(), nil)
	first, second := w.cleared(delivery.Interactive, "99955506", "one - ABCBNK"), w.cleared(delivery.Interactive, "99955507", "other - ABCBNK")
	again := w.cleared(delivery.Interactive, "99955506", "two - ABCBNK")
	w.take(r, first, second, again)
	w.all(ids(first, second, again), "Unknown")
	w.eventually("both receipts are settled", func() bool {
		var n int
		if err := w.db.DB.Worker.QueryRow(t.Context(), `SELECT count(*) FROM parked_receipts WHERE settled_at < now()`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 2
	})
	s := store.New(w.db.DB.Worker, w.publish, recipientOf, newID, time.Now)
	if n, err := s.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("%d joined, %v", n, err)
	}
	listed, err := s.Parked(t.Context(), time.Now(), 10)
	if err != nil || len(listed) != 2 || listed[0].OperatorID == "" || listed[0].Hash == [32]byte{} {
		t.Errorf("listed: %+v, %v", listed, err)
	}
	if earlier, err := s.Parked(t.Context(), time.Now().Add(-time.Hour), 10); err != nil || len(earlier) != 0 {
		t.Errorf("an hour before: %v, %v", earlier, err)
	}
	if n := w.count(ids(first, second, again), "Delivered"); n != 0 || w.rows("doubts") != 3 {
		t.Errorf("%d delivered, %d in doubt", n, w.rows("doubts"))
	}
	w.once(3)
}

func TestLateResponseSettlesUnknown(t *testing.T) { // X02
	w := newWorld(t, func(k *smsc.Knobs) { k.ResponseDelayMS = 900 })
	r := w.start(w.oneRoute(), nil)
	p := w.cleared(delivery.Interactive, "", texts(3)...)
	w.take(r, p)
	w.all(ids(p), "Unknown")
	w.all(ids(p), "Submitted")
	w.all(ids(p), "Delivered")
	w.once(3)
}

func TestThrottlingSlowsDownAndLosesNothing(t *testing.T) { // X01
	w := newWorld(t, func(k *smsc.Knobs) { k.ThrottleTPS = 150 })
	r := w.start(fmt.Sprintf(`routes: [{name: sim, env: [test], addr: %q, system_id: test, password: secret, tps: 200}]`, w.addr), nil)
	p := w.cleared(delivery.Bulk, "", texts(200)...)
	w.take(r, p)
	w.all(ids(p), "Delivered")
	if s := w.sim.Stats(); s.Throttled == 0 || s.Totals.Submits != 200 || s.Duplicates != 0 {
		t.Errorf("%+v throttled %d duplicates %d", s.Totals, s.Throttled, s.Duplicates)
	}
	if n := w.count(ids(p), "Failed") + w.count(ids(p), "Unknown"); n != 0 {
		t.Errorf("%d failed or unknown", n)
	}
}

func TestOutcomesByOperatorCode(t *testing.T) {
	w := newWorld(t, nil)
	r := w.start(w.oneRoute(), nil)
	for suffix, want := range map[string]struct{ event, reason, code string }{
		"99955501": {"Undelivered", "OPERATOR_UNDELIVERED", "001"},
		"99955502": {"Expired", "OPERATOR_EXPIRED", "002"},
		"99955510": {"Undelivered", "TEMPLATE_NOT_MATCHED", "633"},
		"99955512": {"Undelivered", "PREFERENCE_BLOCKED", "650"},
		"99955513": {"Failed", "RECIPIENT_INVALID", "0x0B"},
		"99955508": {"Delivered", "", "000"}, // throttled three times
	} {
		p := w.cleared(delivery.Interactive, suffix, texts(1)...)
		w.take(r, p)
		w.all(ids(p), want.event)
		if o := w.outcome(p.Messages[0].ID); o.Reason.GetCode() != want.reason || o.OperatorCode != want.code {
			t.Errorf("%s: %v", suffix, o)
		}
	}
	twice := w.cleared(delivery.Interactive, "99955511", texts(1)...) // X04
	fixed := w.cleared(delivery.Interactive, "99955515", texts(1)...) // X05
	w.take(r, twice, fixed)
	w.all(ids(fixed), "Expired")
	w.all(ids(fixed), "Delivered")
	w.all(ids(twice), "Delivered")
}

func TestVettedAtSubmit(t *testing.T) {
	w := newWorld(t, nil)
	y, m, d := time.Now().In(route.IST).AddDate(0, 0, -1).Date() // yesterday: rows go to partitions around today
	night := time.Date(y, m, d, 22, 0, 0, 0, route.IST)
	r := w.start(w.oneRoute(), func(c *delivery.Config) { c.Now = func() time.Time { return night } })
	promo := w.clearedAs(delivery.Bulk, "", typev1.Category_PROMOTIONAL, night.Add(24*time.Hour), texts(2)...)
	old := w.clearedAs(delivery.Bulk, "", typev1.Category_SERVICE, night.Add(-time.Second), texts(2)...)
	service := w.clearedAs(delivery.Bulk, "", typev1.Category_SERVICE, night.Add(time.Hour), texts(2)...)
	w.take(r, promo, old, service)
	w.all(ids(promo), "Returned")
	w.all(ids(old), "Expired")
	w.all(ids(service), "Submitted")
	o := w.outcome(promo.Messages[0].ID)
	if want := night.Add(12 * time.Hour).UnixMicro(); o.Reason.GetCode() != "PROMO_WINDOW" || o.DueTimeUs != want || uuid.UUID(o.ClearedParcelId) != promo.ID {
		t.Errorf("returned: %v", o)
	}
	w.once(2)
}

func TestTestTrafficNeverReachesALiveRoute(t *testing.T) {
	w := newWorld(t, nil)
	live := fmt.Sprintf(`routes: [{name: op, env: [live], addr: %q, system_id: live, password: secret}]`, w.addr)
	r := w.start(live, nil)
	p := w.cleared(delivery.OTP, "", texts(2)...)
	w.take(r, p) // the gate is open: a live route is bound
	w.all(ids(p), "Returned")
	if o := w.outcome(p.Messages[0].ID); o.Reason.GetCode() != "OPERATOR_UNAVAILABLE" || o.DueTimeUs == 0 {
		t.Errorf("returned: %v", o)
	}
	real := w.cleared(delivery.OTP, "", texts(1)...)
	real.Env = "live"
	w.take(r, real)
	w.all(ids(real), "Delivered")
	w.once(1)
}

// Requirement 60 at the wire: promotion goes by its own binds only; what no route takes fails before any submit.
func TestRequirement60PromotionGoesByItsOwnBinds(t *testing.T) {
	w := newWorld(t, nil)
	y, m, d := time.Now().In(route.IST).AddDate(0, 0, -1).Date()
	noon := time.Date(y, m, d, 12, 0, 0, 0, route.IST)
	clock := func(c *delivery.Config) { c.Now = func() time.Time { return noon } }
	both := fmt.Sprintf(`routes:
  - {name: trans, env: [test], addr: %[1]q, system_id: test, password: secret, categories: [service]}
  - {name: promo, env: [test], addr: %[1]q, system_id: live, password: secret, categories: [promotional]}`, w.addr)
	r := w.start(both, clock)
	promo := w.clearedAs(delivery.Bulk, "", typev1.Category_PROMOTIONAL, noon.Add(time.Hour), texts(3)...)
	service := w.clearedAs(delivery.Bulk, "", typev1.Category_SERVICE, noon.Add(time.Hour), texts(3)...)
	other := w.clearedAs(delivery.Bulk, "", typev1.Category_GOVERNMENT, noon.Add(time.Hour), texts(2)...)
	w.eventually("both are bound", func() bool { return w.sim.Stats().Binds.Now == 2 })
	w.take(r, promo, service, other)
	for p, want := range map[*delivery.Parcel]string{promo: "promo", service: "trans"} {
		w.all(ids(p), "Submitted")
		for _, id := range ids(p) {
			if o := w.outcome(id); o.Route != want {
				t.Errorf("a message went by %s, want %s", o.Route, want)
			}
		}
	}
	w.all(ids(other), "Failed")
	if o := w.outcome(other.Messages[0].ID); o.Reason.GetCode() != "NO_ROUTE" {
		t.Errorf("failed: %v", o)
	}
	w.once(6)
}

// X07 and requirement 59 at the wire: a template that the operator refuses by receipts (code 633) twenty times is not
// submitted any more; the rest is given back.
func TestX07RefusedTemplateIsStopped(t *testing.T) {
	w := newWorld(t, nil)
	r := w.start(w.oneRoute(), nil)
	first := w.cleared(delivery.Bulk, "99955510", texts(25)...)
	w.take(r, first)
	w.all(ids(first), "Undelivered")
	if o := w.outcome(first.Messages[0].ID); o.Reason.GetCode() != "TEMPLATE_NOT_MATCHED" {
		t.Errorf("undelivered: %v", o)
	}
	second := w.cleared(delivery.Bulk, "99955510", texts(5)...)
	w.take(r, second)
	w.all(ids(second), "Returned")
	if o := w.outcome(second.Messages[0].ID); o.Reason.GetCode() != "OPERATOR_KEEPS_REFUSING" || o.DueTimeUs <= time.Now().UnixMicro() {
		t.Errorf("returned: %v", o)
	}
	w.once(25)
}

// Routes change without a restart: what was taken under the old ones goes out under the new ones, once.
func TestRoutesChangeWithoutRestart(t *testing.T) {
	w := newWorld(t, nil)
	r := w.start(w.narrow(50), func(c *delivery.Config) { c.OrphanAge = time.Second })
	p := w.cleared(delivery.Bulk, "", texts(100)...)
	w.take(r, p)
	w.eventually("some are out", func() bool { return w.sim.Stats().Totals.Submits > 5 })
	r.Reroute(w.routes(fmt.Sprintf(`routes: [{name: other, env: [test], addr: %q, system_id: live, password: secret, tps: 5000}]`, w.addr)), nil)
	next := w.cleared(delivery.Interactive, "", texts(1)...)
	w.eventually("the new route takes", func() bool { return r.Usable(r.Routes().All()[0]) })
	w.take(r, next)
	w.all(ids(next), "Submitted")
	if o := w.outcome(next.Messages[0].ID); o.Route != "other" {
		t.Errorf("%v", o)
	}
	w.eventually("all are out or given back", func() bool {
		return w.count(ids(p), "Submitted")+w.count(ids(p), "Returned")+w.count(ids(p), "Unknown") >= 100
	})
	if s := w.sim.Stats(); s.Duplicates != 0 {
		t.Errorf("%d submitted twice", s.Duplicates)
	}
}

// Requirement 55: an operator that wants transmitter and receiver apart gets both; receipts come by the receiver.
func TestRequirement55TransmitterAndReceiver(t *testing.T) {
	w := newWorld(t, nil)
	r := w.start(strings.Replace(w.oneRoute(), "binds: 2", "binds: 1, bind: pair", 1), nil)
	p := w.cleared(delivery.Bulk, "", texts(20)...)
	w.take(r, p)
	w.all(ids(p), "Submitted")
	w.all(ids(p), "Delivered")
	if n := w.sim.Stats().Binds.Now; n != 2 {
		t.Errorf("%d sessions, want a transmitter and a receiver", n)
	}
	w.once(20)
}

// X09 at the wire: a code that no table has is terminal and raises an alarm.
func TestX09UnmappedCodeIsTerminalAndAlarms(t *testing.T) {
	w := newWorld(t, nil)
	r := w.start(w.oneRoute(), nil)
	p := w.cleared(delivery.Interactive, "99955519", texts(1)...)
	w.take(r, p)
	w.all(ids(p), "Undelivered")
	if o := w.outcome(p.Messages[0].ID); o.Reason.GetCode() != "OPERATOR_UNDELIVERED" || o.OperatorCode != "9999" {
		t.Errorf("undelivered: %v", o)
	}
	if n := r.Stats().Unmapped.Load(); n != 1 {
		t.Errorf("%d alarms", n)
	}
	w.once(1)
}
