package smpp

import (
	"testing"
	"time"
)

func TestPacerRate(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	p := NewPacer(PacerConfig{Rate: 100, Burst: 20}, now)
	if got := p.Take(now, 50, 5); got != 15 {
		t.Errorf("first Take = %d, want the burst less the 5 left", got)
	}
	if got := p.Take(now, 50, 0); got != 5 {
		t.Errorf("Take without leave = %d, want 5", got)
	}
	if wait := p.Wait(now, 10, 0); wait < 100*time.Millisecond || wait > 101*time.Millisecond {
		t.Errorf("Wait = %v", wait)
	}
	taken := 0
	for range 1000 { // ten seconds in steps of 10 ms
		now = now.Add(10 * time.Millisecond)
		taken += p.Take(now, 50, 0)
	}
	if taken < 999 || taken > 1000 {
		t.Errorf("%d tokens in ten seconds, want 1000", taken)
	}
	now = now.Add(time.Hour)
	p.Return(1000)
	if got := p.Take(now, 1000, 0); got != 20 {
		t.Errorf("after an hour %d, want no more than the burst", got)
	}
}

// X01 of DLT rules 10.9: throttled means back off and half the rate.
func TestPacerThrottled(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	p := NewPacer(PacerConfig{Rate: 100, Burst: 20, Step: 2}, now)
	p.Throttled(now)
	p.Throttled(now.Add(time.Millisecond)) // the rest of the same window
	if rate := p.Rate(now); rate != 50 {
		t.Errorf("rate %v, want 50", rate)
	}
	if got, wait := p.Take(now, 1, 0), p.Wait(now, 1, 0); got != 0 || wait != time.Second {
		t.Errorf("Take = %d, Wait = %v during the pause", got, wait)
	}
	now = now.Add(1100 * time.Millisecond)
	if got := p.Take(now, 100, 0); got != 5 { // 0.1 s at 50/s
		t.Errorf("after the pause %d, want 5", got)
	}
	p.Throttled(now)
	if rate, wait := p.Rate(now), p.Wait(now, 1, 0); rate != 25 || wait != 2*time.Second {
		t.Errorf("second throttle: rate %v, pause %v", rate, wait)
	}
	now = now.Add(15 * time.Second) // 5 s quiet, 10 s of recovery at 2/s
	if rate := p.Rate(now); rate != 45 {
		t.Errorf("rate %v, want 45", rate)
	}
	if rate := p.Rate(now.Add(time.Minute)); rate != 100 {
		t.Errorf("rate %v, want the contract's", rate)
	}
	for range 20 {
		now = now.Add(9 * time.Second)
		p.Throttled(now)
	}
	if rate := p.Rate(now); rate < 2 || rate > 20 {
		t.Errorf("rate %v under lasting throttling", rate)
	}
}

func BenchmarkPacerTake(b *testing.B) {
	now := time.Unix(1_800_000_000, 0)
	p := NewPacer(PacerConfig{Rate: 1e9}, now)
	for b.Loop() {
		now = now.Add(time.Microsecond)
		p.Take(now, 1, 0)
	}
}
