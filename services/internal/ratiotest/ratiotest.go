// Package ratiotest compares two ways of doing the same in one benchmark run: both take turns, so that both meet the same
// machine, and what is told is the ratio, which holds on a busy machine where nanoseconds do not.
package ratiotest

import (
	"slices"
	"testing"
	"time"
)

// Side is one way of doing it.
type Side struct {
	Name string // of the baseline in the metric's name; one word
	Ops  int    // operations a Run does
	Run  func()
	// Elsewhere is the CPU time another process has used for this side so far, such as a database's; nil for none.
	Elsewhere func() time.Duration
}

// used is the CPU time the side has used so far, here and elsewhere.
func (s *Side) used() time.Duration {
	if s.Elsewhere == nil {
		return cpuTime()
	}
	return cpuTime() + s.Elsewhere()
}

// Compare lets both sides take turns for as long as b runs. It reports the nanoseconds of an operation of both (medians of
// the CPU time of the process, so that garbage is paid for), how many times faster ours is (x-<baseline>), and the goal for
// that (x-goal).
func Compare(b *testing.B, goal float64, ours, baseline Side) {
	b.Helper()
	var mine, theirs []time.Duration
	for b.Loop() {
		mine, theirs = append(mine, ours.turn()), append(theirs, baseline.turn())
	}
	fast, slow := perOp(mine, ours.Ops), perOp(theirs, baseline.Ops)
	b.ReportMetric(0, "ns/op") // of a turn of both: says nothing
	b.ReportMetric(fast, "ns/ours")
	b.ReportMetric(slow, "ns/"+baseline.Name)
	b.ReportMetric(slow/fast, "x-"+baseline.Name)
	b.ReportMetric(goal, "x-goal")
}

func (s *Side) turn() time.Duration {
	start := s.used()
	s.Run()
	return s.used() - start
}

func perOp(turns []time.Duration, ops int) float64 {
	slices.Sort(turns)
	return float64(turns[len(turns)/2].Nanoseconds()) / float64(ops)
}
