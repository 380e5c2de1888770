package content_test

import "golang.org/x/sys/unix"

// cpuTime is nanoseconds of this process' processor time: what others do on the machine does not count.
type cpuTime int64

func cpuNow() cpuTime {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return cpuTime(t.Nano())
}
