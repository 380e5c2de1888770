package webhook

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// schedule is how long to wait after each failed attempt: 76 h and some in all, so that a weekend's outage is no loss.
var schedule = []time.Duration{
	5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

const (
	jitter        = 0.2
	retryAfterCap = time.Hour      // a receiver that asks for more is asked again
	keepTrying    = 96 * time.Hour // an event that waited longer, its endpoint paused or disabled, is given up
	warnAfter     = 24 * time.Hour
	disableAfter  = 120 * time.Hour
)

// wait is how long to wait after the attempt-th attempt (1, 2, …) failed; ok is false after the last. A receiver's own
// wish counts when it is longer.
func wait(attempt int, wish time.Duration) (d time.Duration, ok bool) {
	if attempt > len(schedule) {
		return 0, false
	}
	d = jittered(schedule[attempt-1])
	return max(d, min(wish, retryAfterCap)), true
}

func jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 - jitter + 2*jitter*rand.Float64()))
}

// retryAfter reads the header (RFC 9110 10.2.3): seconds or a date; zero for none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if text == "" {
		return 0
	}
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
