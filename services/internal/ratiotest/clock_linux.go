package ratiotest

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is the CPU time the calling thread has used.
func cpuTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err) // every Linux has this clock
	}
	return time.Duration(t.Nano())
}
