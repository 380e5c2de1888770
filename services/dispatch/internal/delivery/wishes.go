package delivery

import (
	"sync"
	"time"
)

const (
	// wishMargin is by how much the clock of whoever decided may be before ours: a decision younger than the wish by less may
	// not have known it.
	wishMargin = 2 * time.Second
	// wishesFor is how long a wish is remembered. What was cleared longer ago is decided anew, whoever it goes to: what makes
	// promotion lawful is looked up for a day at most.
	wishesFor = 24 * time.Hour
	// deafRetry is how long promotion waits while nobody tells us of wishes yet: the start of a process.
	deafRetry = 10 * time.Second
	forgetAt  = 1 << 16 // wishes from which on old ones are looked for, when another comes
)

// Wishes remembers whose mind has changed since their messages may have been cleared. It decides nothing: a message that was
// cleared before is given back, and compliance decides it anew, with every rule and every wish. So a message to somebody
// who opted out is REFUSED for that by a recorded decision, in the next round, as if it had not been cleared yet; and one
// whose recipient took back another purpose's consent goes out after all.
//
// Nothing is kept in rows: a replica that starts has not heard of wishes before, so it gives back every promotional message
// that was cleared before it began to listen.
type Wishes struct {
	mu    sync.Mutex
	since time.Time // wishes from before are not known; zero: nobody tells us of any yet
	heard map[[16]byte]lastWish
	limit int
}

// lastWish is when we heard of a recipient's latest; zero for none.
type lastWish struct{ promotion, all time.Time }

// NewWishes makes it; until it has Began no promotion goes out.
func NewWishes() *Wishes {
	return &Wishes{heard: map[[16]byte]lastWish{}, limit: forgetAt}
}

// Began notes that wishes are heard of from now on, and those from before may have been missed.
func (w *Wishes) Began(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since = now
}

// Heard notes that fewer messages may go to a recipient from now on; all says that not only promotion is meant.
func (w *Wishes) Heard(recipient [16]byte, all bool, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.heard[recipient]
	h.promotion = now
	if all {
		h.all = now
	}
	w.heard[recipient] = h
	if len(w.heard) >= w.limit {
		for r, h := range w.heard {
			if now.Sub(h.promotion) > wishesFor {
				delete(w.heard, r)
			}
		}
		w.limit = max(forgetAt, 2*len(w.heard))
	}
}

// Changed tells whether a message must be decided anew, and when at the earliest: later than any decision that may not
// have known the wish.
func (w *Wishes) Changed(m *Message, now time.Time) (again time.Time, changed bool) {
	if w == nil {
		return time.Time{}, false
	}
	w.mu.Lock()
	h, known := w.heard[m.Recipient]
	at := w.since
	w.mu.Unlock()
	switch {
	case !m.Promotional && (!known || h.all.IsZero()):
		return time.Time{}, false
	case !m.Promotional:
		at = h.all
	case at.IsZero():
		return now.Add(deafRetry), true
	case h.promotion.After(at):
		at = h.promotion
	}
	if again = at.Add(wishMargin); m.Decided.Before(again) {
		return again, true
	}
	return now, m.Promotional && now.Sub(m.Decided) > wishesFor
}
