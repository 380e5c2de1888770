package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

const (
	maxCommits  = 8           // intents of one bind on their way at once: commit latency does not bound the rate
	floorShare  = 5           // one in five segments is bulk's while it waits (dlt.md 8.1)
	floorBatch  = 10          // segments a turn of the floor
	bulkGather  = 10          // tokens bulk waits for, so that a small rate does not make an intent a message
	staleIntent = time.Second // a commit that took longer: time band and expiry are checked anew
	idle        = time.Minute
)

// batchLimits bound the messages of an intent: small ones bound the doubt after a crash (events.md 2.i).
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
		if b.floor() && b.turn(s, Bulk, floorBatch, 0, now) == went {
			b.spend()
			continue
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
	if lane != Bulk && b.lanes.waits(Bulk) > 0 {
		b.earn(held)
	}
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

// vet takes out the messages that may not go out now: expired, outside their time band, or too long for the window. The
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
	switch {
	case m.Segments() > b.route.Window:
		r.Kind, r.Reason = Failed, ReasonTooManyParts
	case !m.Expire.IsZero() && !now.Before(m.Expire):
		r.Kind, r.Reason = Expired, ReasonExpired
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

// intend asks for the intent's commit; the submits follow it.
func (b *bind) intend(s *smpp.Session, messages []*Message, slots int, now time.Time) {
	flights := make([]*flight, len(messages))
	for i, m := range messages {
		flights[i] = newFlight(m)
	}
	b.mu.Lock()
	b.commits++
	b.mu.Unlock()
	b.t.intend.add(wish{
		intent: Intent{ID: b.t.e.cfg.NewID(), Bind: b.lease, Messages: messages},
		then: func(allowed bool) {
			b.launch(s, flights, slots, allowed, now)
			b.mu.Lock()
			b.commits--
			b.settled.Broadcast()
			b.mu.Unlock()
			nudge(b.wake)
		},
	})
}

// launch submits what is intended, all segments of a message in a row on this bind.
func (b *bind) launch(s *smpp.Session, flights []*flight, slots int, allowed bool, since time.Time) {
	now := b.t.e.cfg.Now()
	switch {
	case !allowed: // the lease is gone, or we are stopping: the messages stay in their lane, or go with the replica
		b.leave()
		b.retreat(s, flights, slots, false, now)
	case now.Sub(since) > staleIntent:
		b.retreat(s, flights, slots, true, now)
	default:
		b.t.e.stats.Intended.Add(int64(len(flights)))
		batch := b.board(flights, slots, now)
		if s.Submit(batch) != nil { // the session has ended: nothing was queued
			b.unboard(batch)
			b.retreat(s, flights, slots, true, now)
		}
	}
}

// board enters the flights and makes their submits.
func (b *bind) board(flights []*flight, slots int, now time.Time) []smpp.Submission {
	batch := make([]smpp.Submission, 0, slots)
	pdus := make([]smpp.SubmitSM, 0, slots)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range flights {
		b.tag++
		f.since = now
		b.flights[b.tag] = f
		for i := range f.segments {
			pdus = append(pdus, b.submit(f.message, f.segments[i].number, now))
			batch = append(batch, smpp.Submission{Tag: b.tag<<8 | uint64(i), SM: &pdus[len(pdus)-1]})
		}
	}
	return batch
}

func (b *bind) unboard(batch []smpp.Submission) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range batch {
		delete(b.flights, batch[i].Tag>>8)
	}
}

// retreat puts messages back that were not submitted; intended ones get a result that says so.
func (b *bind) retreat(s *smpp.Session, flights []*flight, slots int, intended bool, now time.Time) {
	s.Release(slots)
	b.pacer.Return(slots)
	messages := make([]*Message, len(flights))
	for i, f := range flights {
		messages[i] = f.message
		if intended && f.message.ids == nil {
			b.t.note(Result{Message: f.message, Kind: Released, At: now, Intent: true})
		}
	}
	b.lanes.unpop(messages)
}

// submit makes one segment's PDU with the route's parameters on it (dlt.md 3.3: on every segment).
func (b *bind) submit(m *Message, segment int, now time.Time) smpp.SubmitSM {
	pdu := smpp.SubmitSM{
		Source:             smpp.Address{TON: b.route.Source.TON, NPI: b.route.Source.NPI, Digits: m.Header},
		Destination:        smpp.Address{TON: b.route.Destination.TON, NPI: b.route.Destination.NPI, Digits: m.To},
		ValidityPeriod:     validity(m, now),
		RegisteredDelivery: smpp.RegisteredFinal,
		DataCoding:         m.Text.DataCoding,
		ShortMessage:       m.Text.Segments[segment],
		TLVs:               m.tlvs,
	}
	if m.Text.UDHI {
		pdu.ESMClass = smpp.ESMClassUDHI
	}
	return pdu
}

// maxValidity is the longest validity a relative time of days can say here; operators cap it at two or three days.
const maxValidity = 30 * 24 * time.Hour

// validity writes the time left as a relative time (SMPP 3.4 7.1.1.2), promotional messages until 21:00 IST at most.
// Empty, the operator's default, when there is no end.
func validity(m *Message, now time.Time) string {
	end := m.Expire
	if closing := route.PromoClosing(now); m.Promotional && (end.IsZero() || closing.Before(end)) {
		end = closing
	}
	if end.IsZero() || end.Sub(now) > maxValidity {
		return ""
	}
	left := max(int(end.Sub(now)/time.Second), 1)
	return fmt.Sprintf("0000%02d%02d%02d%02d000R", left/86400, left/3600%24, left/60%60, left%60)
}

// earn, floor and spend give bulk its share: every segment another lane submits while bulk waits counts towards it.
func (b *bind) earn(segments int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.credit += segments
}

func (b *bind) floor() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.credit >= floorBatch*(floorShare-1)
}

func (b *bind) spend() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.credit = 0
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
