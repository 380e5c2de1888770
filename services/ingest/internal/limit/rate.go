package limit

import (
	"math"
	"time"
)

// Rate is a limit: one unit every Every, and Burst units at once. The zero Rate is no limit.
type Rate struct {
	Every time.Duration
	Burst int64
}

// PerSecond is a rate of units a second with a burst; a burst of 0 is a second's worth, at least floor. A rate of 0 is
// no limit.
func PerSecond(units float64, burst, floor int64) Rate {
	if units <= 0 {
		return Rate{}
	}
	if burst <= 0 {
		burst = max(int64(math.Ceil(units)), floor, 1)
	}
	return Rate{Every: max(1, time.Duration(math.Round(float64(time.Second)/units))), Burst: burst}
}

// PerHour is n units an hour, all of them at once if need be.
func PerHour(n int64) Rate {
	if n <= 0 {
		return Rate{}
	}
	return Rate{Every: time.Hour / time.Duration(n), Burst: n}
}

// Limited tells whether r limits anything.
func (r Rate) Limited() bool { return r.Every > 0 }

// window is the time in which a whole burst is regained.
func (r Rate) window() time.Duration { return r.Every * time.Duration(r.Burst) }

// Spend takes n units at now (Unix nanoseconds) from a limit whose burst is regained at full. It answers the new full
// and no wait, or the old one and how long to wait until n units can be had. More than Burst can never be had.
func (r Rate) Spend(full, now, n int64) (newFull int64, wait time.Duration) {
	next := max(full, now) + n*int64(r.Every)
	if over := next - now - int64(r.window()); over > 0 {
		return full, time.Duration(over)
	}
	return next, 0
}

// Refund gives n units back.
func (r Rate) Refund(full, n int64) (newFull int64) { return full - n*int64(r.Every) }

// Free is how many units can be had at now.
func (r Rate) Free(full, now int64) int64 {
	return max(0, (int64(r.window())-(max(full, now)-now))/int64(r.Every))
}
