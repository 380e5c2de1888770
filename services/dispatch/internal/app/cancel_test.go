package app

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	store "github.com/onlinesms/onlinesms/services/dispatch/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// TestCancelledMessagesAreNeverSubmitted withdraws queued messages, and those of a parcel that has not arrived, while
// others are being submitted: each is either submitted or cancelled, as its answer said.
func TestCancelledMessagesAreNeverSubmitted(t *testing.T) {
	w := newWorld(t, nil)
	slow := fmt.Sprintf(`routes: [{name: sim, env: [test], addr: %q, system_id: test, password: secret, binds: 1, window: 100, tps: 100}]`, w.addr)
	r := w.start(slow, nil)
	queued, late := w.cleared(delivery.Bulk, "", texts(200)...), w.cleared(delivery.Bulk, "", texts(20)...)
	w.take(r, queued)
	if err := r.Take(t.Context(), []*delivery.Parcel{again(queued)}); err != nil {
		t.Fatal(err)
	}
	s := store.New(w.db.DB.Worker, w.publish, newID, time.Now)
	cancelled := map[uuid.UUID]bool{}
	withdraw := func(p *delivery.Parcel, message uuid.UUID) {
		c := delivery.Cancellation{Message: message, Parcel: p.ID, Tenant: p.Tenant, Correlation: p.ID, Env: p.Env, Lane: p.Lane, Round: 1}
		for range 2 { // again, it does nothing
			switch err := s.Cancel(t.Context(), c); {
			case err == nil:
				cancelled[message] = true
			case errs.KindOf(err) != errs.Exists:
				t.Fatal(err)
			}
		}
	}
	arriving := messageIDs(t, late)
	for _, id := range arriving[:10] {
		withdraw(late, id)
	}
	w.take(r, late)
	for _, id := range slices.Backward(ids(queued)) {
		withdraw(queued, id)
	}
	all := append(ids(queued), arriving...)
	w.eventually("each is submitted or cancelled", func() bool {
		return w.count(all, "Submitted")+w.count(all, "Cancelled") == len(all)
	})
	for _, id := range all {
		if submitted := w.count([]uuid.UUID{id}, "Submitted"); submitted == 1 == cancelled[id] {
			t.Errorf("message %s: submitted %d times, cancelled %v", id, submitted, cancelled[id])
		}
	}
	if n := len(cancelled); n < 20 || n == len(all) {
		t.Errorf("%d of %d cancelled: the test saw one side only", n, len(all))
	}
	w.once(len(all) - len(cancelled))
	w.eventually("queue empty", func() bool { return w.rows("queue") == 0 })
}

// messageIDs are those of a parcel that was not taken yet.
func messageIDs(t *testing.T, p *delivery.Parcel) (list []uuid.UUID) {
	t.Helper()
	wire := &compliancev1.ClearedParcel{}
	if err := proto.Unmarshal(p.Payload, wire); err != nil {
		t.Fatal(err)
	}
	for _, m := range wire.GetMessages() {
		list = append(list, uuid.UUID(m.GetMessageId()))
	}
	return list
}
