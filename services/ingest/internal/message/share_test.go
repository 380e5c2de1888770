package message

import (
	"testing"
	"time"

	"github.com/google/uuid"
)

// Under pressure the tenant that sends most is refused first, and who sends little is taken until the bound itself.
func TestFairShareUnderOverload(t *testing.T) {
	big, small, now := uuid.UUID{1}, uuid.UUID{2}, time.Unix(1_000_000, 0)
	parcels := 0
	a := NewAccepter(Config{Backlog: func() (int, time.Duration) { return parcels, 0 }, Now: func() time.Time { return now }})
	send := func(tenant uuid.UUID, n int) bool {
		return a.shed(LaneBulk, &submission{tenant: tenant, messages: make([]Message, n)}) == nil
	}
	for range 90 {
		if !send(big, 100) {
			t.Fatal("refused without any pressure")
		}
	}
	if !send(small, 10) {
		t.Fatal("refused without any pressure")
	}
	parcels = shedParcels * 3 / 4
	if send(big, 100) || !send(small, 10) {
		t.Error("under pressure the big sender must be refused and the small one taken")
	}
	parcels = shedParcels + 1
	if send(small, 10) {
		t.Error("taken past the bound")
	}
	parcels = shedParcels * 3 / 4
	now = now.Add(3 * shareWindow) // the big sender has been quiet
	if !send(big, 100) {
		t.Error("who is alone is above no share")
	}
}

// Two tenants push as hard as they can into a lane that drains slowly: what is accepted divides between them fairly.
func TestFairShareDivides(t *testing.T) {
	now, parcels := time.Unix(1_000_000, 0), shedParcels*9/10
	a := NewAccepter(Config{Backlog: func() (int, time.Duration) { return parcels, 0 }, Now: func() time.Time { return now }})
	taken := map[uuid.UUID]int{}
	greedy, modest := uuid.UUID{1}, uuid.UUID{2}
	for i := range 20_000 {
		tenant := greedy
		if i%20 == 0 { // one call in twenty
			tenant = modest
		}
		if a.shed(LaneBulk, &submission{tenant: tenant, messages: make([]Message, 1)}) == nil {
			taken[tenant]++
		}
		now = now.Add(time.Millisecond)
	}
	if taken[modest] < 950 || taken[greedy] > 2*taken[modest] {
		t.Errorf("of 1,000 of the modest %d were taken, of the greedy %d", taken[modest], taken[greedy])
	}
}

func BenchmarkShares(b *testing.B) {
	s, now, tenant := &shares{}, time.Now(), uuid.UUID{1}
	b.ReportAllocs()
	for b.Loop() {
		if !s.above(tenant, now) {
			s.note(tenant, 100, now)
		}
	}
}
