package postgres_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/ingest/internal/limit"
)

// Item 17 of the acceptance list: two replicas that both want all of a limit stay within 5 % of it together.
func TestItem17TwoReplicas(t *testing.T) {
	w := newWorld(t)
	const perSecond, burst = 2000, 200
	want := limit.Want{Key: limit.Key{Tenant: tenantA, Env: "live", Name: "requests"}, Rate: limit.PerSecond(perSecond, burst, 0), Cost: 1}
	counted := &counter{Leases: w.Store}
	var taken atomic.Int64
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for range 2 { // replicas
		l := limit.NewLimiter(counted, time.Now)
		for range 4 { // callers of each
			wg.Go(func() {
				for ctx.Err() == nil {
					s, _ := l.Spend(t.Context(), want)
					if s.Wait == 0 {
						taken.Add(1)
						continue
					}
					select {
					case <-time.After(min(s.Wait, time.Millisecond)):
					case <-ctx.Done():
					}
				}
			})
		}
	}
	wg.Wait()
	allowed := burst + perSecond*time.Since(start).Seconds()
	// That they get all of it is shown by a clock that stands still (package limit): a busy machine asks for less.
	if got := float64(taken.Load()); got > allowed*1.05 || got < allowed*0.5 {
		t.Errorf("two replicas took %.0f, the limit allows %.0f", got, allowed)
	}
	if n := counted.n.Load(); n > taken.Load()/8 {
		t.Errorf("%d queries for %d calls", n, taken.Load())
	}
}

type counter struct {
	limit.Leases
	n atomic.Int64
}

func (c *counter) Lease(ctx context.Context, asks []limit.Ask) ([]limit.Grant, error) {
	c.n.Add(1)
	return c.Leases.Lease(ctx, asks)
}

// All or nothing, and what is returned can be had again.
func TestLeaseAllOrNothing(t *testing.T) {
	w := newWorld(t)
	ask := func(subject string, need int64) limit.Ask {
		return limit.Ask{Key: limit.Key{Tenant: tenantA, Env: "live", Name: "recipient", Subject: subject}, Rate: limit.PerHour(3), Need: need, Up: need}
	}
	lease := func(asks ...limit.Ask) []limit.Grant {
		t.Helper()
		grants, err := w.Lease(t.Context(), asks)
		if err != nil {
			t.Fatal(err)
		}
		return grants
	}
	if g := lease(ask("a", 3), ask("b", 1)); g[0].Units != 3 || g[1].Units != 1 || g[1].Free != 2 {
		t.Fatalf("%+v", g)
	}
	g := lease(ask("a", 1), ask("b", 1))
	if g[0].Units != 0 || g[1].Units != 0 || g[0].Wait <= 19*time.Minute || g[0].Wait > 20*time.Minute || g[1].Wait != 0 {
		t.Fatalf("%+v", g)
	}
	if err := w.Return(t.Context(), []limit.Ask{ask("a", 1)}); err != nil {
		t.Fatal(err)
	}
	if g := lease(ask("a", 1), ask("b", 2)); g[0].Units != 1 || g[1].Units != 2 {
		t.Errorf("%+v", g)
	}
	if n, err := w.PurgeLimits(t.Context(), 10); n != 0 || err != nil {
		t.Errorf("purged %d that are in use, %v", n, err)
	}
	if _, err := w.db.DB.Worker.Exec(t.Context(), "UPDATE limit_cells SET full_ns = 1"); err != nil {
		t.Fatal(err)
	}
	if n, err := w.PurgeLimits(t.Context(), 10); n != 2 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
}
