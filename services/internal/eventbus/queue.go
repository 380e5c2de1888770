package eventbus

import (
	"time"

	"github.com/google/uuid"
)

// Packing (design decision 2).
const (
	maxPackEntries    = 500       // messages an event
	maxPackEntriesOTP = 50        // small, so that one slow event delays few codes
	maxPackBytes      = 256 << 10 // the knee: some 240 KB a fsync
	maxInFlight       = 2         // flushes of one subject; while both fly, parcels gather
	parcelOverhead    = 160       // bytes counted for a parcel's own fields in memory
)

type waiting struct {
	parcel Parcel
	since  time.Time
}

// queue is what waits for one subject. Its fields are guarded by Publisher.mu.
type queue struct {
	subject string
	limit   int       // entries an event
	pending []waiting // from next on
	next    int
	flying  []time.Time   // since of the packs in flight
	wake    chan struct{} // something is pending
}

func newQueue(subject string) *queue {
	q := &queue{subject: subject, limit: maxPackEntries, wake: make(chan struct{}, 1)}
	if _, _, lane, _ := ParseSubject(subject); lane == LaneOTP {
		q.limit = maxPackEntriesOTP
	}
	return q
}

// cut takes the next event off the queue: at least one parcel, then as many as fit.
func (q *queue) cut() pack {
	p := pack{subject: q.subject, id: uuid.Must(uuid.NewV7()), since: q.pending[q.next].since}
	for q.next < len(q.pending) {
		w := q.pending[q.next]
		full := p.entries+w.parcel.Entries > q.limit || p.bytes+len(w.parcel.Payload) > maxPackBytes
		if len(p.parcels) > 0 && full {
			break
		}
		p.parcels = append(p.parcels, w.parcel)
		p.entries += w.parcel.Entries
		p.bytes += len(w.parcel.Payload)
		q.pending[q.next] = waiting{}
		q.next++
	}
	if 2*q.next >= len(q.pending) { // half is spent: what is left moves, at a constant cost a parcel
		rest := copy(q.pending, q.pending[q.next:])
		clear(q.pending[rest:])
		q.pending, q.next = q.pending[:rest], 0
	}
	return p
}

func (q *queue) empty() bool { return q.next == len(q.pending) }

// oldest is since when the oldest parcel of the queue, waiting or in flight, waits; zero when there is none.
func (q *queue) oldest() time.Time {
	var first time.Time
	if !q.empty() {
		first = q.pending[q.next].since
	}
	for _, t := range q.flying {
		if first.IsZero() || t.Before(first) {
			first = t
		}
	}
	return first
}
