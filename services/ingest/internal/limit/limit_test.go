package limit

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Item 17 of the acceptance list: burst and sustained rate are those configured, within 2 %, for any rate, burst and
// pattern of costs.
func TestItem17BurstAndRate(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		units := 0.5 + random.Float64()*5000
		burst := 1 + random.Int64N(2000)
		r := PerSecond(units, burst, 0)
		start, full := int64(1_000_000_000_000), int64(0)
		atOnce := int64(0)
		for {
			next, wait := r.Spend(full, start, 1)
			if wait > 0 {
				break
			}
			full, atOnce = next, atOnce+1
		}
		if atOnce != burst {
			t.Fatalf("%d at once of a burst of %d", atOnce, burst)
		}
		// From then on as much as the rate, however impatient the caller is.
		taken, now := int64(0), start
		for end := start + int64(time.Duration(2000/units*float64(time.Second))); now < end; {
			next, wait := r.Spend(full, now, 1)
			if wait == 0 {
				full, taken = next, taken+1
				continue
			}
			now += 1 + random.Int64N(2*int64(wait)) // too early or too late
			if burst == 1 && now > end {
				break
			}
		}
		allowed := units * float64(now-start) / 1e9
		low := 0.98
		if burst < 10 { // who comes late loses what does not fit the burst
			low = 0.5
		}
		if float64(taken) > allowed*1.02+1 || float64(taken) < allowed*low-1 {
			t.Errorf("rate %.1f, burst %d: %d taken, %.1f allowed", units, burst, taken, allowed)
		}
	}
}

func TestWaitIsExact(t *testing.T) {
	r := PerSecond(10, 5, 0)
	now := int64(1e15)
	full, _ := r.Spend(0, now, 5)
	if _, wait := r.Spend(full, now, 2); wait != 200*time.Millisecond {
		t.Errorf("two more after %v", wait)
	}
	if next, wait := r.Spend(full, now+200e6, 2); wait != 0 || r.Free(next, now+200e6) != 0 {
		t.Errorf("after the wait: another %v", wait)
	}
	if r.Free(r.Refund(full, 3), now) != 3 {
		t.Error("a refund cannot be spent")
	}
}

// shared is Leases in memory.
type shared struct {
	mu      sync.Mutex
	now     func() time.Time
	full    map[Key]int64
	queries int
	err     error
}

func (s *shared) Lease(_ context.Context, asks []Ask) ([]Grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries++
	now, grants, possible := s.now().UnixNano(), make([]Grant, len(asks)), s.err == nil
	for i, a := range asks {
		grants[i].Free = a.Rate.Free(s.full[a.Key], now)
		_, grants[i].Wait = a.Rate.Spend(s.full[a.Key], now, a.Need)
		possible = possible && grants[i].Wait == 0
	}
	for i, a := range asks {
		if possible {
			grants[i].Units = min(a.Up, grants[i].Free)
			grants[i].Free -= grants[i].Units
			s.full[a.Key], _ = a.Rate.Spend(s.full[a.Key], now, grants[i].Units)
		}
	}
	return grants, s.err
}

func (s *shared) Return(_ context.Context, asks []Ask) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range asks {
		s.full[a.Key] = a.Rate.Refund(s.full[a.Key], a.Need)
	}
	return s.err
}

type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func newLimiter() (*Limiter, *shared, *clock) {
	c := &clock{time.Unix(1_000_000, 0)}
	s := &shared{now: c.now, full: map[Key]int64{}}
	return NewLimiter(s, c.now), s, c
}

func requests(perSecond float64, burst, cost int64) Want {
	return Want{Key: Key{Env: "live", Name: "requests"}, Rate: PerSecond(perSecond, burst, 0), Cost: cost}
}

func TestLimiterKeepsTheRateWithFewQueries(t *testing.T) {
	l, s, c := newLimiter()
	taken := 0
	for range 10_000 { // ten seconds, a call a millisecond, ten times the limit in each
		for range 10 {
			if got, _ := l.Spend(t.Context(), requests(1000, 500, 1)); got.Wait == 0 {
				taken++
			}
		}
		c.t = c.t.Add(time.Millisecond)
	}
	if allowed := 10_500.0; float64(taken) > allowed*1.02 || float64(taken) < allowed*0.98 {
		t.Errorf("%d taken, %.0f allowed", taken, allowed)
	}
	if s.queries > 2000 {
		t.Errorf("%d queries for 100,000 calls", s.queries)
	}
}

func TestRefusalSaysHowLong(t *testing.T) {
	l, _, c := newLimiter()
	if s, ok := l.Spend(t.Context(), requests(10, 5, 5)); !ok || s.Wait != 0 || s.Remaining != 0 || s.Burst != 5 {
		t.Fatalf("%+v", s)
	}
	s, _ := l.Spend(t.Context(), requests(10, 5, 1))
	if s.Wait != 100*time.Millisecond || errs.KindOf(s.Err()) != errs.Exhausted {
		t.Fatalf("%+v", s)
	}
	c.t = c.t.Add(300 * time.Millisecond)
	if s, _ := l.Spend(t.Context(), requests(10, 5, 3)); s.Wait != 0 {
		t.Errorf("after the wait: %+v", s)
	}
}

// When one of several limits refuses, the others lose nothing.
func TestAllWantsOrNone(t *testing.T) {
	l, _, _ := newLimiter()
	small := Want{Key: Key{Name: "template", Subject: "1"}, Rate: PerSecond(1, 1, 0), Cost: 1}
	if s, _ := l.Spend(t.Context(), requests(10, 5, 1), small); s.Wait != 0 {
		t.Fatalf("%+v", s)
	}
	for range 20 {
		if s, _ := l.Spend(t.Context(), requests(10, 5, 1), small); s.Name != "template" || s.Wait == 0 {
			t.Fatalf("%+v", s)
		}
	}
	if s, _ := l.Spend(t.Context(), requests(10, 5, 4)); s.Wait != 0 {
		t.Errorf("four of five must be left: %+v", s)
	}
}

func TestNothingIsRefusedWhileTheStateIsAway(t *testing.T) {
	l, s, _ := newLimiter()
	s.err = errs.E(errs.Unavailable, "", "away", nil)
	for range 100 {
		if s, _ := l.Spend(t.Context(), requests(10, 5, 5)); s.Wait != 0 {
			t.Fatalf("%+v", s)
		}
	}
}

func TestSpendExactly(t *testing.T) {
	l, _, _ := newLimiter()
	wants := []Want{
		{Key: Key{Name: "recipient", Subject: "a"}, Rate: PerHour(2), Cost: 2},
		{Key: Key{Name: "recipient", Subject: "b"}, Rate: PerHour(2), Cost: 1},
	}
	if s, at := l.SpendExactly(t.Context(), wants); at >= 0 || s.Wait != 0 {
		t.Fatalf("%+v at %d", s, at)
	}
	if s, at := l.SpendExactly(t.Context(), wants); at != 0 || s.Wait != time.Hour {
		t.Fatalf("%+v at %d", s, at)
	}
	l.ReturnExactly(t.Context(), wants)
	if s, at := l.SpendExactly(t.Context(), wants); at >= 0 {
		t.Errorf("after the return: %+v", s)
	}
}

func TestLocal(t *testing.T) {
	l, c := NewLocal[string](PerSecond(10, 2, 0)), &clock{time.Unix(1_000_000, 0)}
	for i, want := range []time.Duration{0, 0, 100 * time.Millisecond} {
		if got := l.Spend("a", c.t); got != want {
			t.Errorf("call %d waits %v", i, got)
		}
	}
	if l.Spend("b", c.t) != 0 {
		t.Error("somebody else is refused")
	}
	for i := range 2 * localCells {
		NewLocal[int](Rate{}).Spend(i, c.t)
	}
	many := NewLocal[int](PerSecond(10, 2, 0))
	for i := range localCells + 10 {
		many.Spend(i, c.t)
	}
	if len(many.full) > localCells {
		t.Errorf("%d cells", len(many.full))
	}
}

func BenchmarkSpend(b *testing.B) {
	l, _, _ := newLimiter()
	l.now = time.Now
	w := requests(1e6, 1e6, 1)
	b.ReportAllocs()
	for b.Loop() {
		l.Spend(b.Context(), w)
	}
}
