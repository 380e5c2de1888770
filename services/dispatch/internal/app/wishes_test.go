package app

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/consumer"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// promotional makes a parcel of promotional messages, each to a recipient of its own, cleared at a time.
func (w *world) promotional(n int, cleared time.Time) *delivery.Parcel {
	w.t.Helper()
	p := w.clearedAs(delivery.Bulk, "", typev1.Category_PROMOTIONAL, time.Now().Add(48*time.Hour), texts(n)...)
	var wire compliancev1.ClearedParcel
	if err := proto.Unmarshal(p.Payload, &wire); err != nil {
		w.t.Fatal(err)
	}
	wire.DecideTimeUs = cleared.UnixMicro()
	for i, m := range wire.GetMessages() {
		m.RecipientIndex = recipientIndex(i)
	}
	payload, err := proto.Marshal(&wire)
	if err != nil {
		w.t.Fatal(err)
	}
	p.Payload = payload
	return p
}

func recipientIndex(i int) []byte { return []byte(fmt.Sprintf("recipient %06d", i)) }

// TestRequirement34OptOutBeforeSubmit (D32): of messages that wait here, none goes to the operator whose recipient opted out
// after it was cleared; each is given back, to be decided anew; all others go out.
func TestRequirement34OptOutBeforeSubmit(t *testing.T) {
	w := newWorld(t, nil)
	now := time.Now().In(time.FixedZone("IST", 19800))
	offset := time.Date(now.Year(), now.Month(), now.Day(), 12, 0, 0, 0, now.Location()).Sub(now) // promotion may go at noon
	clock := func() time.Time { return time.Now().Add(offset) }
	wishes := delivery.NewWishes()
	wishes.Began(clock().Add(-time.Hour))
	slow := fmt.Sprintf(`routes: [{name: sim, env: [test], addr: %q, system_id: test, password: secret, binds: 1, window: 100, tps: 100}]`, w.addr)
	r := w.start(slow, func(cfg *delivery.Config) { cfg.Now, cfg.Wishes = clock, wishes })
	p := w.promotional(200, clock().Add(-time.Minute))
	w.take(r, p)
	event := &compliancev1.WishesRecorded{Parcels: []*compliancev1.WishParcel{{}}}
	for i := 1; i < 200; i += 2 {
		event.Parcels[0].Wishes = append(event.Parcels[0].Wishes, &compliancev1.Wish{RecipientIndex: recipientIndex(i), Kind: "OPTED_OUT", Restricts: true},
			&compliancev1.Wish{RecipientIndex: recipientIndex(i - 1), Kind: "GIVEN"})
	}
	data, err := proto.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	if err := consumer.Wishes(eventbus.Delivery{Data: data}, wishes, clock()); err != nil {
		t.Fatal(err)
	}
	all := ids(p)
	w.eventually("each is submitted or given back", func() bool { return w.count(all, "Submitted")+w.count(all, "Returned") == len(all) })
	returned := 0
	for i, id := range all {
		given := w.count([]uuid.UUID{id}, "Returned")
		returned += given
		if i%2 == 0 && given > 0 {
			t.Errorf("message %d was given back and nobody objected", i)
		}
		if o := w.outcome(id); given == 1 && (o.GetReason().GetCode() != delivery.ReasonOptedOut || o.GetDueTimeUs() == 0) {
			t.Errorf("%v", o)
		}
	}
	if returned < 50 {
		t.Errorf("only %d of 100 were given back", returned)
	}
	w.once(len(all) - returned)
}

// TestWishesAreHeard: a replica follows what compliance announces on the bus; until it listens no promotion goes out.
func TestWishesAreHeard(t *testing.T) {
	h := newHouse(t)
	d, err := open(t.Context(), h.cfg, slog.New(slog.DiscardHandler))
	h.must(err)
	defer d.close()
	promotion := &delivery.Message{Promotional: true, Decided: time.Now().Add(time.Hour)}
	if _, changed := d.wishes.Changed(promotion, time.Now()); !changed {
		t.Error("promotion goes out before wishes are heard")
	}
	h.background(d.hearWishes())
	until(t, "it listens", func() bool {
		_, changed := d.wishes.Changed(promotion, time.Now())
		return !changed
	})
	objects := &delivery.Message{Recipient: [16]byte(recipientIndex(1)), Decided: time.Now()} // no promotion: all is meant
	id := newID()
	payload, err := proto.Marshal(&compliancev1.WishParcel{ParcelId: id[:], TenantId: h.tenant[:], CorrelationId: id[:],
		Wishes: []*compliancev1.Wish{{RecipientIndex: recipientIndex(1), Kind: "SUPPRESSED", Restricts: true, AllCategories: true}}})
	h.must(err)
	published := time.Now()
	h.out.Publish(eventbus.Parcel{ID: id, Tenant: h.tenant, Entries: 1, Payload: payload,
		Subject: eventbus.Subject(consumer.WishesRecorded, "test", eventbus.LaneControl)})
	until(t, "it has heard", func() bool {
		_, changed := d.wishes.Changed(objects, time.Now())
		return changed
	})
	t.Logf("heard %v after it was published", time.Since(published))
}
