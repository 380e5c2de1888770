// Package ratiotest measures how many times faster one piece of code is than another, in one run. Absolute times say
// little on a shared machine; a ratio of interleaved rounds, in processor time of one thread, does.
package ratiotest

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

// Full tells whether benchmarks run at full size and must meet their goals, as make bench-compliance has them.
func Full() bool { return os.Getenv("ONLINESMS_BENCH_FULL") != "" }

// Ratio is a comparison. Each of the two functions does the work of one round and answers how many operations that was;
// they share no state that the other warms.
type Ratio struct {
	ID       string        // of the goal, as B1
	Goal     float64       // the ratio that must be reached at full size; 0 for none
	Least    time.Duration // processor time a round takes at least, by repetition; 0 is 5 ms
	Rounds   int           // 0 is 11
	Baseline func() int
	Ours     func() int
}

// Run measures the rounds, reports the median times and their ratio, and fails the benchmark below the goal at full size.
func (r Ratio) Run(b *testing.B) float64 {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if r.Rounds == 0 {
		r.Rounds = 11
	}
	if r.Least == 0 {
		r.Least = 5 * time.Millisecond
	}
	var base, ours []float64
	for b.Loop() {
		base, ours = base[:0], ours[:0]
		for range r.Rounds {
			base = append(base, r.round(r.Baseline))
			ours = append(ours, r.round(r.Ours))
		}
	}
	ratio := Median(base) / Median(ours)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(Median(base), "base-ns")
	b.ReportMetric(Median(ours), "ours-ns")
	b.ReportMetric(ratio, "ratio")
	if Full() && ratio < r.Goal {
		b.Errorf("%s: ratio %.2f, the goal is %.2f", r.ID, ratio, r.Goal)
	}
	return ratio
}

// round answers nanoseconds for one operation.
func (r Ratio) round(work func() int) float64 {
	start, ops := cpu(), 0
	for {
		ops += work()
		if spent := cpu() - start; spent >= r.Least {
			return float64(spent) / float64(ops)
		}
	}
}

// cpu is the processor time of this thread so far.
func cpu() time.Duration {
	const thread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		panic(fmt.Sprintf("ratiotest: getrusage: %v", err))
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Median is the middle of a list.
func Median(list []float64) float64 {
	sorted := slices.Clone(list)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}
