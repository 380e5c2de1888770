package delivery

import (
	"context"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

const (
	maxCommits  = 4           // intents of one bind on their way at once: commit latency does not bound the rate
	maxUnsaid   = 500         // answers not yet written down, beyond which nothing is submitted: a crash makes them UNKNOWN
	floorShare  = 5           // one in five segments is bulk's while it waits (DLT rules 8.1)
	floorBatch  = 5           // segments bulk gets at a time by it
	bulkGather  = 10          // tokens bulk waits for, so that a small rate does not make an intent a message
	staleIntent = time.Second // a commit that took longer: time band and expiry are checked anew
	idle        = time.Minute
)

// batchLimits bound the messages of an intent: small ones bound the doubt after a crash.
var batchLimits = [lanes]int{OTP: 20, Interactive: 50, Bulk: 50}

// reserves are the parts of window and burst, in percent, that a lane leaves to those before it.
var reserves = [lanes]int{OTP: 0, Interactive: 10, Bulk: 20}

// pumping submits whatever slots and tokens allow, and sleeps until that may have changed.
func (b *bind) pumping(ctx context.Context, s *smpp.Session) {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		timer.Reset(b.pump(s))
		select {
		case <-ctx.Done():
			return
		case <-s.Done():
			return
		case <-b.wake:
		case <-timer.C:
			b.forget()
		}
	}
}

// pump makes intents until something is missing, and answers when to look again at the latest.
func (b *bind) pump(s *smpp.Session) time.Duration {
	for {
		now := b.t.e.cfg.Now()
		next := idle
		if due := b.lanes.due(now); !due.IsZero() {
			next = min(next, max(due.Sub(now), time.Millisecond))
		}
		if b.committing() >= maxCommits {
			return next
		}
		if b.t.record.unsaid() >= maxUnsaid {
			return min(next, time.Millisecond)
		}
		if owed := b.owed(); owed > 0 {
			switch b.turn(s, Bulk, owed, 0, now) {
			case went:
				continue
			case noTokens: // the next one is bulk's: so many at most stand before a code
				return min(next, max(b.pacer.Wait(now, 1, 0), time.Millisecond))
			case noSlots:
				return next
			case nothing:
				b.settle()
			}
		}
		progress, wait := b.lanesInOrder(s, now)
		if !progress {
			return min(next, wait)
		}
	}
}

// lanesInOrder gives the first lane that has something its turn; a lane that must wait for slots or tokens stops those
// behind it.
func (b *bind) lanesInOrder(s *smpp.Session, now time.Time) (progress bool, wait time.Duration) {
	for lane := OTP; lane <= Bulk; lane++ {
		leave := reserves[lane]
		switch b.turn(s, lane, batchLimits[lane], leave, now) {
		case went:
			return true, 0
		case noTokens:
			return false, max(b.pacer.Wait(now, b.gather(lane), b.burst*leave/100), time.Millisecond)
		case noSlots:
			return false, idle // answers wake the pump
		}
	}
	return false, idle
}

// gather is how many tokens are worth waiting for.
func (b *bind) gather(lane Lane) int {
	if lane != Bulk {
		return 1
	}
	return max(1, min(bulkGather, b.burst/2, b.lanes.waits(Bulk)))
}

// turnEnd says how a lane's turn ended.
type turnEnd uint8

const (
	nothing turnEnd = iota // nothing waits
	went                   // messages left their lane
	noTokens
	noSlots
)

// turn makes one intent of a lane: up to limit messages for which slots and tokens are held, leaving the given percent
// of both to other lanes.
func (b *bind) turn(s *smpp.Session, lane Lane, limit, leave int, now time.Time) turnEnd {
	waiting := b.lanes.waits(lane)
	if waiting == 0 {
		return nothing
	}
	keep := b.route.Window * leave / 100
	free, _, _ := s.Slots()
	if free <= keep {
		return noSlots
	}
	if lane == Bulk && leave > 0 && b.pacer.Wait(now, b.gather(lane), b.burst*leave/100) > 0 {
		return noTokens
	}
	tokens := b.pacer.Take(now, min(limit, waiting, free-keep), b.burst*leave/100)
	if tokens == 0 {
		return noTokens
	}
	popped := b.vet(b.lanes.pop(lane, tokens, make([]*Message, 0, tokens)), now)
	if len(popped) == 0 {
		b.pacer.Return(tokens)
		return went // they all got a result
	}
	taken, held, end := b.fit(s, popped, tokens, keep, now)
	if len(taken) < len(popped) {
		b.lanes.unpop(popped[len(taken):])
	}
	if len(taken) == 0 {
		return end
	}
	b.account(lane, held)
	b.intend(s, taken, held, now)
	return went
}

// fit finds how many of the messages, in order, get a slot and a token for each segment; those are held then. tokens
// are held already; what is not used is given back.
func (b *bind) fit(s *smpp.Session, list []*Message, tokens, keep int, now time.Time) (taken []*Message, held int, end turnEnd) {
	need := 0
	for i, m := range list {
		n := m.missing()
		if missing := need + n - tokens; missing > 0 {
			if i > 0 {
				break
			}
			// A message larger than the bucket takes all there is: it could never be paid in full.
			extra := b.pacer.Take(now, min(missing, b.burst-tokens), 0)
			tokens += extra
			if extra < missing && tokens < b.burst {
				b.pacer.Return(tokens)
				return nil, 0, noTokens
			}
			need = n
			taken = list[:1]
			break
		}
		need += n
		taken = list[:i+1]
	}
	if len(taken) == 1 {
		keep = min(keep, max(0, b.route.Window-need))
	}
	got := s.TryAcquire(need, keep)
	for got < need && len(taken) > 0 {
		need -= taken[len(taken)-1].missing()
		taken = taken[:len(taken)-1]
	}
	s.Release(got - need)
	if tokens > need {
		b.pacer.Return(tokens - need)
	}
	if len(taken) == 0 {
		return nil, 0, noSlots
	}
	return taken, need, went
}

// vet takes out the messages that may not go out now: expired, stopped by a kill switch, outside their time band, too long for
// the window, or cleared before their recipient changed their mind. The
// others come back in order.
func (b *bind) vet(list []*Message, now time.Time) []*Message {
	fit := list[:0]
	for _, m := range list {
		if r, ok := b.refuse(m, now); ok {
			b.t.note(r)
			continue
		}
		fit = append(fit, m)
	}
	return fit
}

// refuse says why a message must not be submitted now. A part the operator already has makes it fail instead: it
// cannot be taken back.
func (b *bind) refuse(m *Message, now time.Time) (Result, bool) {
	r := Result{Message: m, At: now}
	again, changed := b.t.e.cfg.Wishes.Changed(m, now)
	switch {
	case m.Segments() > b.route.Window:
		r.Kind, r.Reason = Failed, ReasonTooManyParts
	case !m.Expire.IsZero() && !now.Before(m.Expire):
		r.Kind, r.Reason = Expired, ReasonExpired
	case b.t.e.cfg.Stops.Covers(m):
		r.Kind, r.Reason, r.Due = Returned, ReasonStopped, now.Add(stopPause)
	case changed:
		r.Kind, r.Reason, r.Due = Returned, ReasonOptedOut, again
	case m.Promotional && !route.PromoOpen(now):
		r.Kind, r.Reason, r.Due = Returned, ReasonPromoWindow, route.NextPromoOpening(now)
	default:
		return r, false
	}
	if m.ids != nil {
		r.Kind, r.Due, r.Intent = Failed, time.Time{}, true
		for i, id := range m.ids {
			if id != "" {
				r.Accepted = append(r.Accepted, Accepted{i + 1, id})
			}
		}
	}
	return r, true
}

// account keeps bulk's floor: each segment of another lane that goes out while bulk waits is a credit, and each of bulk's
// own takes back what it stands for.
func (b *bind) account(lane Lane, segments int) {
	waiting := lane != Bulk && b.lanes.waits(Bulk) > 0
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case waiting:
		b.credit += segments
	case lane == Bulk:
		b.credit = max(0, b.credit-segments*(floorShare-1))
	}
	b.paying = b.credit >= floorBatch*(floorShare-1) || b.paying && b.credit >= floorShare-1
}

// owed is how many segments bulk gets before all others now.
func (b *bind) owed() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.paying {
		return 0
	}
	return min(floorBatch, b.credit/(floorShare-1))
}

// settle forgets the credit: nothing waits for it.
func (b *bind) settle() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.credit, b.paying = 0, false
}

func (b *bind) committing() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.commits
}

// forget drops flights whose late answers are not waited for any more.
func (b *bind) forget() {
	limit := b.t.e.cfg.Now().Add(-lateFor - b.route.SubmitTimeout)
	b.mu.Lock()
	defer b.mu.Unlock()
	for tag, f := range b.flights {
		if f.since.Before(limit) {
			delete(b.flights, tag)
		}
	}
}
