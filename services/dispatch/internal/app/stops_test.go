package app

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/consumer"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	store "github.com/onlinesms/onlinesms/services/dispatch/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// TestStoppedMessagesGoBack (requirement 69): of what is queued and what comes, no message that a switch covers is
// submitted once it is on, whatever its scope; others are. What went back is due at once, for compliance to decide.
func TestStoppedMessagesGoBack(t *testing.T) {
	w := newWorld(t, nil)
	stops := &delivery.Stops{}
	r := w.start(w.oneRoute(), func(c *delivery.Config) { c.Stops = stops })
	free := w.cleared(delivery.Bulk, "", texts(2)...)
	w.take(r, free)
	w.all(ids(free), "Submitted")
	m := free.Messages[0]
	submitted := 2
	for _, stop := range []delivery.Stop{{Scope: "tenant"}, {Scope: "entity", Object: m.Entity}, {Scope: "header", Object: m.Header},
		{Scope: "template", Object: m.Template}} {
		stopped := w.cleared(delivery.Bulk, "", texts(2)...)
		stop.Tenant = stopped.Tenant
		stops.Replace([]delivery.Stop{stop})
		w.take(r, stopped)
		w.all(ids(stopped), "Returned")
		o := w.outcome(stopped.Messages[0].ID)
		if due := time.UnixMicro(o.DueTimeUs); o.Reason.GetCode() != delivery.ReasonStopped || time.Until(due) > 5*time.Second {
			t.Errorf("%s: returned for %s, due %s", stop.Scope, o.Reason.GetCode(), due)
		}
		stop.Tenant = uuid.New()
		stops.Replace([]delivery.Stop{stop})
		others := w.cleared(delivery.Bulk, "", texts(2)...)
		w.take(r, others)
		w.all(ids(others), "Submitted")
		submitted += 2
	}
	w.once(submitted)
}

// TestStopsAreKeptInAnyOrder: repeats and events in another order end with the last version of each switch.
func TestStopsAreKeptInAnyOrder(t *testing.T) {
	w := newWorld(t, nil)
	s := store.New(w.db.DB.Worker, w.publish, newID, time.Now)
	a, b := delivery.Stop{Tenant: uuid.New(), Scope: "tenant"}, delivery.Stop{Tenant: uuid.New(), Scope: "header", Object: "ABCBNK"}
	changes := []delivery.StopChange{{Stop: a, Version: 1, On: true}, {Stop: a, Version: 2}, {Stop: a, Version: 3, On: true},
		{Stop: b, Version: 1, On: true}, {Stop: b, Version: 2}}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		r.Shuffle(len(changes), func(i, j int) { changes[i], changes[j] = changes[j], changes[i] })
		cut := r.IntN(len(changes))
		for _, part := range [][]delivery.StopChange{changes[:cut], changes[cut:], changes[:cut]} {
			if err := s.KeepStops(t.Context(), part); err != nil {
				t.Fatal(err)
			}
		}
	}
	if on, err := s.Stops(t.Context()); err != nil || len(on) != 1 || on[0] != a {
		t.Errorf("on: %+v, %v", on, err)
	}
}

// stop publishes a change of the tenant's switch as compliance does.
func (h *house) stop(version int64, on bool) {
	id := newID()
	payload, err := proto.Marshal(&compliancev1.SendingStopParcel{ParcelId: id[:], TenantId: h.tenant[:], Version: version, Scope: "tenant", Stopped: on})
	h.must(err)
	h.out.Publish(eventbus.Parcel{ID: id, Tenant: h.tenant, Entries: 1, Payload: payload, Subject: eventbus.Subject(consumer.StopsChanged, "live", eventbus.LaneControl)})
}

// TestStopIsHeardByEveryReplica: also by one that takes nothing from the durable, and by one that was down.
func TestStopIsHeardByEveryReplica(t *testing.T) {
	h := newHouse(t)
	h.stop(1, true) // before any replica is there
	replica := func() *dispatch {
		d, err := open(t.Context(), h.cfg, slog.New(slog.DiscardHandler))
		h.must(err)
		t.Cleanup(d.close)
		h.background(func(ctx context.Context) error {
			return service.Run(ctx, slog.New(slog.DiscardHandler), d.tasks()...)
		})
		return d
	}
	both := []*dispatch{replica(), replica()}
	covered := func(d *dispatch) bool {
		return d.stops.stops.Covers(&delivery.Message{Parcel: &delivery.Parcel{Tenant: h.tenant}})
	}
	for version, on := range []bool{true, false, true} {
		if version > 0 {
			h.stop(int64(version+1), on)
		}
		began := time.Now()
		for _, d := range both {
			until(t, "the replica knows", func() bool { return covered(d) == on })
		}
		t.Logf("stopped %v: known by both after %v", on, time.Since(began))
	}
}
