package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smsc"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// mortal is a store whose process can be frozen, or killed: then it does nothing any more.
type mortal struct {
	delivery.Queue
	delivery.Intents
	delivery.Records
	delivery.Leases

	mu     sync.Mutex
	thawed chan struct{} // closed while not frozen
	dead   bool
}

func newMortal(cfg *delivery.Config) *mortal {
	m := &mortal{Queue: cfg.Queue, Intents: cfg.Intents, Records: cfg.Records, Leases: cfg.Leases, thawed: make(chan struct{})}
	close(m.thawed)
	cfg.Queue, cfg.Intents, cfg.Records, cfg.Leases = m, m, m, m
	return m
}

func (m *mortal) freeze() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.thawed = make(chan struct{})
}

func (m *mortal) thaw() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.thawed)
}

func (m *mortal) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
}

var errDead = errs.E(errs.Unavailable, "DEAD", "killed", errors.New("killed"))

// live waits while frozen.
func (m *mortal) live() error {
	m.mu.Lock()
	thawed, dead := m.thawed, m.dead
	m.mu.Unlock()
	if dead {
		return errDead
	}
	<-thawed
	return nil
}

func (m *mortal) Enqueue(ctx context.Context, r uuid.UUID, p []*delivery.Parcel) ([]*delivery.Parcel, error) {
	if err := m.live(); err != nil {
		return nil, err
	}
	return m.Queue.Enqueue(ctx, r, p)
}

func (m *mortal) Claim(ctx context.Context, r uuid.UUID, routes []string, orphaned time.Duration, limit int) ([]delivery.Claimed, error) {
	if err := m.live(); err != nil {
		return nil, err
	}
	return m.Queue.Claim(ctx, r, routes, orphaned, limit)
}

func (m *mortal) Stray(ctx context.Context, r uuid.UUID, age time.Duration, known func(uuid.UUID) bool) (int, error) {
	if err := m.live(); err != nil {
		return 0, err
	}
	return m.Queue.Stray(ctx, r, age, known)
}

func (m *mortal) Intend(ctx context.Context, r uuid.UUID, intents []delivery.Intent) ([]delivery.Answer, error) {
	if err := m.live(); err != nil {
		return nil, err
	}
	return m.Intents.Intend(ctx, r, intents)
}

func (m *mortal) Record(ctx context.Context, r uuid.UUID, report delivery.Report) error {
	if err := m.live(); err != nil {
		return err
	}
	return m.Records.Record(ctx, r, report)
}

func (m *mortal) Beat(ctx context.Context, r uuid.UUID, ttl time.Duration) (delivery.Standing, error) {
	if err := m.live(); err != nil {
		return delivery.Standing{}, err
	}
	return m.Leases.Beat(context.WithoutCancel(ctx), r, ttl)
}

func (m *mortal) Yield(ctx context.Context, r uuid.UUID, binds []delivery.Bind) error {
	if err := m.live(); err != nil {
		return err
	}
	return m.Leases.Yield(ctx, r, binds)
}

func (m *mortal) Leave(ctx context.Context, r uuid.UUID) error {
	if err := m.live(); err != nil {
		return err
	}
	return m.Leases.Leave(ctx, r)
}

// accounted waits until each message has a Submitted, Failed or Unknown, and answers how many are unknown.
func (w *world) accounted(messages []uuid.UUID) (unknown int) {
	w.t.Helper()
	settled := func(id uuid.UUID) (known, doubt bool) {
		for _, s := range w.states[id] {
			known = known || s == "Submitted" || s == "Failed" || s == "Expired"
			doubt = doubt || s == "Unknown"
		}
		return known, doubt
	}
	w.eventually("every message accounted for", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		unknown = 0
		for _, id := range messages {
			known, doubt := settled(id)
			if !known && !doubt {
				return false
			}
			if !known {
				unknown++
			}
		}
		return true
	})
	return unknown
}

func TestKilledInTheMiddle(t *testing.T) {
	for round := range 3 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			w := newWorld(t, func(k *smsc.Knobs) { k.ResponseDelayMS = 15 })
			var m *mortal
			a := w.start(w.oneRoute(), func(c *delivery.Config) { m = newMortal(c) })
			var messages []uuid.UUID
			for range 8 {
				p := w.cleared(delivery.Bulk, "", texts(250)...)
				w.take(a, p)
				messages = append(messages, ids(p)...)
			}
			w.eventually("some are submitted", func() bool { return w.sim.Stats().Totals.Submits > uint64(200+300*round) })
			m.kill()
			w.sim.Disconnect("")
			b := w.start(w.oneRoute(), nil)
			late := w.cleared(delivery.OTP, "", texts(10)...)
			a.stop()
			w.take(b, late)
			messages = append(messages, ids(late)...)
			unknown := w.accounted(messages)
			s := w.sim.Stats()
			if s.Duplicates != 0 {
				t.Errorf("%d submits came twice", s.Duplicates)
			}
			if unknown == len(messages) || s.Totals.Submits < uint64(len(messages)-unknown) {
				t.Errorf("%d of %d unknown, the operator has %d", unknown, len(messages), s.Totals.Submits)
			}
			t.Logf("%d messages, %d at the operator, %d unknown", len(messages), s.Totals.Submits, unknown)
			w.eventually("queue empty", func() bool { return w.rows("queue") == 0 })
			w.eventually("receipts acknowledged", func() bool { return w.sim.Stats().Receipts.Pending == 0 })
		})
	}
}

func TestZombieStopsAndNothingGoesOutTwice(t *testing.T) {
	w := newWorld(t, func(k *smsc.Knobs) { k.ResponseDelayMS = 10 })
	var m *mortal
	slow := fmt.Sprintf(`routes: [{name: sim, env: [test], addr: %q, system_id: test, password: secret, binds: 2, window: 20, tps: 2000, submit_timeout: 1s}]`, w.addr)
	a := w.start(slow, func(c *delivery.Config) { m = newMortal(c) })
	p := w.cleared(delivery.Bulk, "", texts(500)...)
	q := w.cleared(delivery.Bulk, "", texts(500)...)
	w.take(a, p, q)
	w.eventually("some are submitted", func() bool { return w.sim.Stats().Totals.Submits > 100 })
	m.freeze()
	b := w.start(slow, nil)
	w.eventually("taken over", func() bool { return b.Stats().Taken.Load() > 0 })
	m.thaw()
	w.eventually("the zombie began a new life", func() bool { return a.Stats().Terms.Load() == 2 })
	messages := append(ids(p), ids(q)...)
	unknown := w.accounted(messages)
	if s := w.sim.Stats(); s.Duplicates != 0 || s.Totals.Submits < uint64(len(messages)-unknown) {
		t.Errorf("duplicates %d, %d at the operator, %d unknown", s.Duplicates, s.Totals.Submits, unknown)
	}
	w.eventually("binds shared again", func() bool { return w.sim.Stats().Binds.Now == 2 })
	more := w.cleared(delivery.Interactive, "", texts(20)...)
	w.take(a, more)
	w.all(ids(more), "Delivered")
}

func TestTwoReplicasShareAndDrain(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.start(w.oneRoute(), nil), w.start(w.oneRoute(), nil)
	var messages []uuid.UUID
	feed := func(r *replica, n int) {
		p := w.cleared(delivery.Bulk, "", texts(n)...)
		w.take(r, p)
		messages = append(messages, ids(p)...)
	}
	feed(a, 300)
	feed(b, 300) // waits until a has yielded one of its binds
	feed(a, 300)
	a.stop()
	<-a.ended
	feed(b, 100)
	w.all(messages, "Submitted")
	w.all(messages, "Delivered")
	w.once(1000)
	if n := w.count(messages, "Unknown"); n != 0 {
		t.Errorf("%d unknown after an orderly stop", n)
	}
	w.eventually("b has both binds", func() bool { return w.sim.Stats().Binds.Now == 2 })
}

func TestDrainedParcelsGoToTheOther(t *testing.T) {
	w := newWorld(t, nil)
	slow := fmt.Sprintf(`routes: [{name: sim, env: [test], addr: %q, system_id: test, password: secret, tps: 100}]`, w.addr)
	a := w.start(slow, nil)
	p := w.cleared(delivery.Bulk, "", texts(200)...)
	w.take(a, p)
	w.eventually("begun", func() bool { return w.sim.Stats().Totals.Submits > 5 })
	a.stop()
	<-a.ended
	if w.sim.Stats().Binds.Now != 0 {
		t.Error("still bound after the end")
	}
	w.start(w.oneRoute(), nil)
	w.all(ids(p), "Delivered")
	w.once(200)
}

func TestDatabaseAwayForAWhile(t *testing.T) {
	w := newWorld(t, nil)
	var m *mortal
	r := w.start(w.oneRoute(), func(c *delivery.Config) { m = newMortal(c) })
	p := w.cleared(delivery.Bulk, "", texts(500)...)
	w.take(r, p)
	m.freeze()
	timer := time.NewTimer(2500 * time.Millisecond) // more than two leases
	<-timer.C
	m.thaw()
	w.all(ids(p), "Submitted")
	w.all(ids(p), "Delivered")
	w.once(500)
	if n := r.Stats().Terms.Load(); n != 1 {
		t.Errorf("%d lives: nobody had taken over", n)
	}
}

func TestStopsWhileTheDatabaseIsAway(t *testing.T) {
	w := newWorld(t, func(k *smsc.Knobs) { k.ResponseDelayMS = 50 })
	var m *mortal
	r := w.start(w.oneRoute(), func(c *delivery.Config) { m = newMortal(c) })
	p := w.cleared(delivery.Bulk, "", texts(500)...)
	m.Intents = refuseAll{} // intents are on their way when the end comes
	w.take(r, p)
	w.eventually("intents are tried", func() bool { return w.rows("queue") == 1 })
	m.kill()
	r.stop()
	w.eventually("stopped", func() bool {
		select {
		case <-r.ended:
			return true
		default:
			return false
		}
	})
	if n := w.sim.Stats().Totals.Submits; n != 0 {
		t.Errorf("%d submits without an intent", n)
	}
}

// refuseAll is a database that is away for intents.
type refuseAll struct{}

func (refuseAll) Intend(context.Context, uuid.UUID, []delivery.Intent) ([]delivery.Answer, error) {
	return nil, errDead
}
