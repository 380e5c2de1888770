package ratiotest

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is the CPU time the process has used: work that a garbage collector does on other threads counts.
func cpuTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		panic(err) // every Linux has this clock
	}
	return time.Duration(t.Nano())
}
