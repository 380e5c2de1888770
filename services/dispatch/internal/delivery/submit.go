package delivery

import (
	"fmt"
	"slices"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

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
		then: func(answer Answer) {
			left, held := b.without(s, flights, slots, answer.Cancelled)
			b.launch(s, left, held, answer.Allowed, now)
			b.mu.Lock()
			b.commits--
			b.settled.Broadcast()
			b.mu.Unlock()
			nudge(b.wake)
		},
	})
}

// without takes withdrawn messages out of an intent: their slots and tokens are given back and they are done with.
func (b *bind) without(s *smpp.Session, flights []*flight, slots int, cancelled []*Message) ([]*flight, int) {
	if len(cancelled) == 0 {
		return flights, slots
	}
	now, free := b.t.e.cfg.Now(), 0
	left := slices.DeleteFunc(flights, func(f *flight) bool {
		gone := slices.Contains(cancelled, f.message)
		if gone {
			free += len(f.segments)
			b.t.note(Result{Message: f.message, Kind: Cancelled, At: now})
		}
		return gone
	})
	s.Release(free)
	b.pacer.Return(free)
	return left, slots - free
}

// launch submits what is intended, all segments of a message in a row on this bind.
func (b *bind) launch(s *smpp.Session, flights []*flight, slots int, allowed bool, since time.Time) {
	now := b.t.e.cfg.Now()
	switch {
	case len(flights) == 0: // all were withdrawn
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

// submit makes one segment's PDU with the route's parameters on it (DLT rules 3.3: on every segment).
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
