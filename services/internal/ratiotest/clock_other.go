//go:build !linux

package ratiotest

import "time"

var begin = time.Now()

// cpuTime is the time that passes, where no clock of the thread is at hand.
func cpuTime() time.Duration { return time.Since(begin) }
