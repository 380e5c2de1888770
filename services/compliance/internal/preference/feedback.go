package preference

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Feedback is a short memory of what operators answered: 650, the subscriber's preference blocks promotion, and 652, a
// service-explicit message without consent was blocked. It stops the next message before the operator has to. Its size is
// fixed; when a row is full the entry that would end first makes room. Look-ups take no lock.
type Feedback struct {
	rows   [][ways]atomic.Uint64
	life   time.Duration
	writes sync.Mutex
}

const (
	ways     = 8 // entries of a row, one cache line
	codeBits = 1
)

// Code is an operator's answer.
type Code uint16

// The codes, by the numbers of the common DLT platform; other operators' codes are mapped to these first.
const (
	PreferenceBlocked Code = 650
	ExplicitBlocked   Code = 652
)

// epoch is where the seconds of entries begin; 31 bits of them end in 2088.
var epoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// NewFeedback makes a memory of at least size numbers (8 bytes each), each kept for life.
func NewFeedback(size int, life time.Duration) *Feedback {
	return &Feedback{rows: make([][ways]atomic.Uint64, max(1, (size+ways-1)/ways)), life: life}
}

// An entry is number + 1 in the high half, then the second at which it ends, then the code.
func entryOf(n Number, code Code, end time.Time) uint64 {
	seconds := min(max(int64(math.Ceil(end.Sub(epoch).Seconds())), 0), 1<<(32-codeBits)-1)
	entry := (uint64(n)+1)<<32 | uint64(seconds)<<codeBits
	if code == ExplicitBlocked {
		entry |= 1
	}
	return entry
}

func ends(entry uint64) time.Time {
	return epoch.Add(time.Duration(uint32(entry)>>codeBits) * time.Second)
}

func (f *Feedback) row(n Number) *[ways]atomic.Uint64 {
	return &f.rows[slotOf(n, uint64(len(f.rows)))]
}

// Put notes an answer of an instant.
func (f *Feedback) Put(n Number, code Code, at time.Time) {
	f.writes.Lock()
	defer f.writes.Unlock()
	row := f.row(n)
	place := 0
	for i := range row {
		e := row[i].Load()
		if e>>32 == uint64(n)+1 {
			place = i
			break
		}
		if uint32(e) < uint32(row[place].Load()) {
			place = i
		}
	}
	row[place].Store(entryOf(n, code, at.Add(f.life)))
}

// Has answers what an operator said of a number in the time kept, 0 for nothing.
func (f *Feedback) Has(n Number, now time.Time) Code {
	row := f.row(n)
	for i := range row {
		e := row[i].Load()
		if e>>32 != uint64(n)+1 || !now.Before(ends(e)) {
			continue
		}
		if e&1 != 0 {
			return ExplicitBlocked
		}
		return PreferenceBlocked
	}
	return 0
}

// Forget drops a number: its subscriber has consented since, say.
func (f *Feedback) Forget(n Number) {
	f.writes.Lock()
	defer f.writes.Unlock()
	row := f.row(n)
	for i := range row {
		if row[i].Load()>>32 == uint64(n)+1 {
			row[i].Store(0)
		}
	}
}
