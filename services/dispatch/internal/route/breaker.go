package route

import (
	"strings"
	"sync"
	"time"
)

// Bounds of a breaker: so many refusals for a lasting reason within the window, and half of what was submitted, open it.
const (
	breakerRefusals = 20
	breakerWindow   = time.Minute
	breakerOpen     = 10 * time.Minute
	breakerKeys     = 10_000
)

// Profile is what an operator's DLT check judges beside the text.
type Profile struct{ Route, Entity, Header, Template string }

// Breaker stops messages of a profile that an operator keeps refusing for reasons of the profile itself: every further one
// would be refused, charged and counted against the account. It is safe for concurrent use.
type Breaker struct {
	mu   sync.Mutex
	seen map[Profile]*tally
}

// tally counts a profile's window.
type tally struct {
	since              time.Time
	submitted, refused int
	until              time.Time // open; zero: closed
}

// NewBreaker makes a breaker with all profiles closed.
func NewBreaker() *Breaker { return &Breaker{seen: map[Profile]*tally{}} }

// OfProfile tells whether a canonical reason is the profile's own: its entity, chain, header or template. Others (a number,
// its owner's preference, a variable, a link) are the message's and say nothing of the next one.
func OfProfile(reason string) bool {
	switch reason {
	case "TEMPLATE_VARIABLE_TOO_LONG", "TEMPLATE_IDENTIFY_ERROR":
		return false
	}
	for _, prefix := range []string{"ENTITY_", "PE_", "TM_", "HASH_", "CHAIN_", "HEADER_", "TEMPLATE_", "CLI_"} {
		if strings.HasPrefix(reason, prefix) {
			return true
		}
	}
	return false
}

// Submitted counts a message that goes out.
func (b *Breaker) Submitted(p Profile, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.of(p, now).submitted++
}

// Refused counts an operator's refusal, at submit or by a receipt, and tells whether it opened the breaker. Reasons that
// are not the profile's count nothing.
func (b *Breaker) Refused(p Profile, reason string, now time.Time) (opened bool) {
	if !OfProfile(reason) {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.of(p, now)
	t.refused++
	if !t.until.IsZero() || t.refused < breakerRefusals || 2*t.refused < t.submitted {
		return false
	}
	t.until = now.Add(breakerOpen)
	return true
}

// Open answers until when nothing of a profile is submitted; zero when it may be. After that time it counts anew.
func (b *Breaker) Open(p Profile, now time.Time) (until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.seen[p]
	if t == nil || t.until.IsZero() {
		return time.Time{}
	}
	if !now.Before(t.until) {
		delete(b.seen, p)
		return time.Time{}
	}
	return t.until
}

// of answers a profile's count, begun anew after each window. Called with mu held.
func (b *Breaker) of(p Profile, now time.Time) *tally {
	t := b.seen[p]
	if t == nil && len(b.seen) >= breakerKeys {
		b.forget(now)
	}
	if t == nil || t.until.IsZero() && now.Sub(t.since) > breakerWindow {
		t = &tally{since: now}
		b.seen[p] = t
	}
	return t
}

// forget drops what is closed and past its window; when nothing is, everything that is closed.
func (b *Breaker) forget(now time.Time) {
	for _, all := range []bool{false, true} {
		for p, t := range b.seen {
			if t.until.IsZero() && (all || now.Sub(t.since) > breakerWindow) {
				delete(b.seen, p)
			}
		}
		if len(b.seen) < breakerKeys {
			return
		}
	}
}
