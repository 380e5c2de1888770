package postgres_test

import (
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
)

// The equation of a day holds while messages move on; a lost row is a gap, told once; what stands still is published
// again.
func TestReconciliation(t *testing.T) {
	w := newWorld(t)
	day := w.now.UTC().Truncate(24 * time.Hour)
	first, second := w.accept(t, tenantA), w.accept(t, tenantA)
	w.accept(t, tenantB)
	w.say(t, first, message.Event{Kind: message.KindDelivered, Index: 0})
	w.say(t, first, message.Event{Kind: message.KindUnknown, Index: 1})
	of := func() message.Reconciliation {
		t.Helper()
		r, err := w.Reconciliation(t.Context(), tenantA, first.Env, day)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := of()
	if r.Accepted != 4 || r.Gap() != 0 || r.States[message.StateDelivered] != 1 || r.States[message.StateUnknown] != 1 || r.Standing() != 4 || r.Stalled != 0 {
		t.Errorf("%+v", r)
	}
	if n, err := w.Republish(t.Context(), day); n != 0 || err != nil {
		t.Errorf("%d published again, %v", n, err)
	}
	if _, err := w.db.DB.Worker.Exec(t.Context(), `DELETE FROM outbox`); err != nil { // all were published
		t.Fatal(err)
	}
	w.now = w.now.Add(message.StalledAfter + time.Second)
	if r := of(); r.Stalled != 1 { // the other of its parcel is refused
		t.Errorf("stalled: %+v", r)
	}
	for _, want := range []int64{2, 0} { // second and tenant B's; again, they wait already
		if n, err := w.Republish(t.Context(), day); n != want || err != nil {
			t.Errorf("%d published again, %v; want %d", n, err, want)
		}
	}
	if _, err := w.db.DB.Worker.Exec(t.Context(), `DELETE FROM accepted_parcels WHERE parcel_id = $1`, second.ID); err != nil {
		t.Fatal(err)
	}
	list, err := w.Reconciliations(t.Context(), day)
	if err != nil || len(list) != 2 || list[0].Gap() != 2 || list[1].Gap() != 0 {
		t.Fatalf("%+v, %v", list, err)
	}
	before := len(w.published.parcels)
	for i := range 3 {
		told, err := w.TellGap(t.Context(), &list[0])
		if err != nil || told != (i == 0) {
			t.Errorf("round %d: told %v, %v", i, told, err)
		}
	}
	if news := w.published.parcels[before:]; len(news) != 1 || news[0].Subject != "onlinesms.ingest.v1.ReconciliationGapFound."+first.Env+".control" {
		t.Errorf("published %+v", news)
	}
}
