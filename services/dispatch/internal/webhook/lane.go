package webhook

import (
	"time"

	"github.com/google/uuid"
)

// Classes of lanes.
const (
	healthy = iota
	suspect // the last attempt failed; or none was answered yet, and one is being made
)

// What a lane may do.
const (
	firstLimit  = 4  // attempts at once to an endpoint that is not known yet
	openAfter   = 10 // failures in a row that open the circuit
	firstPause  = 30 * time.Second
	longestStop = 10 * time.Minute
)

// lane is an endpoint's place in the engine: its jobs, and what is known of its receiver. The engine's lock guards it.
type lane struct {
	id       uuid.UUID
	queue    []*Job
	reserved int
	running  int
	limit    int // attempts at once, between 1 and most: +1 with each success, halved by a failure
	most     int
	lined    bool      // stands in Engine.ready
	more     bool      // the store has jobs of it that are due
	next     time.Time // when it will have some: our own retries; zero: not known

	proven   bool      // an attempt has succeeded
	failures int       // in a row
	first    time.Time // of these
	until    time.Time // paused: circuit open, or the receiver asked for it
}

func (l *lane) class() int {
	if l.failures == 0 && (l.proven || l.running == 0) {
		return healthy
	}
	return suspect
}

func (l *lane) paused(now time.Time) bool { return now.Before(l.until) }

// room is how many jobs a lane keeps in memory: enough for some rounds.
func (l *lane) room() int { return min(max(16*l.limit, 16), laneBuffered) }

// learn draws the conclusions of an attempt. A receiver that asks for less is not failing.
func (l *lane) learn(r *Result, now time.Time) {
	if r.At.IsZero() { // none was made
		return
	}
	if r.State == Waiting && (l.next.IsZero() || r.Due.Before(l.next)) {
		l.next = r.Due
	}
	switch {
	case r.State == Delivered:
		l.proven, l.failures, l.first = true, 0, time.Time{}
		l.limit = min(l.limit+1, l.most)
		return
	case r.throttled > 0:
		l.until = latest(l.until, now.Add(min(r.throttled, retryAfterCap)))
	default:
		if l.failures == 0 {
			l.first = now
		}
		l.failures++
		if n := l.failures - openAfter; n >= 0 {
			l.until = latest(l.until, now.Add(jittered(min(firstPause<<min(n, 8), longestStop))))
		}
	}
	l.limit = max(1, l.limit/2)
}

// forget makes a lane one that nothing is known of, as when its endpoint is disabled: who enables it has mended it.
func (l *lane) forget() {
	l.proven, l.failures, l.first, l.until = false, 0, time.Time{}, time.Time{}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
