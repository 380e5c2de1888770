package delivery

import (
	"container/heap"
	"sync"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smpp"
)

// backlogLimits bound the messages one route's lane holds in memory, after which the gate closes. A parcel that was let
// in may exceed it by its 500.
var backlogLimits = [lanes]int{OTP: 5_000, Interactive: 10_000, Bulk: 10_000}

// backlog is what waits for a route's binds: a queue a lane, and messages that wait for a time.
type backlog struct {
	mu    sync.Mutex
	queue [lanes]ring
	later waiting
	wake  map[chan struct{}]struct{} // one a pump
	room  chan struct{}              // closed when a lane falls below its limit; nil when nobody waits
	made  map[profile]smpp.TLVs      // see tlvs
}

// profile is what a message's optional parameters are made from.
type profile struct{ entity, template, chain string }

// maxProfiles bounds the parameters kept ready; a route that serves more templates builds some anew.
const maxProfiles = 10_000

// tlvs answers the optional parameters of a message: the same bytes for all messages of a template.
func (b *backlog) tlvs(profileOf []route.TLV, m *Message) smpp.TLVs {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := profile{m.Entity, m.Template, m.Chain}
	if t, ok := b.made[key]; ok {
		return t
	}
	var t smpp.TLVs
	for i := range profileOf {
		if value, ok := profileOf[i].Of(m.Entity, m.Template, m.Chain); ok {
			t = smpp.AppendTLV(t, smpp.Tag(profileOf[i].Tag), value)
		}
	}
	if len(b.made) >= maxProfiles {
		clear(b.made)
	}
	b.made[key] = t
	return t
}

func newBacklog() *backlog {
	return &backlog{wake: map[chan struct{}]struct{}{}, made: map[profile]smpp.TLVs{}}
}

// push puts messages at the end of their lane, those with a time to wait aside.
func (b *backlog) push(messages ...*Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range messages {
		if m.notDue.IsZero() {
			b.queue[m.Parcel.Lane].pushBack(m)
		} else {
			heap.Push(&b.later, m)
		}
	}
	b.signal()
}

// unpop puts messages back at the head of their lane, in their order.
func (b *backlog) unpop(messages []*Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(messages) - 1; i >= 0; i-- {
		m := messages[i]
		if !m.notDue.IsZero() {
			heap.Push(&b.later, m)
			continue
		}
		b.queue[m.Parcel.Lane].pushFront(m)
	}
	b.signal()
}

// pop takes up to n messages of a lane.
func (b *backlog) pop(lane Lane, n int, dst []*Message) []*Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := &b.queue[lane]
	for range min(n, q.len()) {
		dst = append(dst, q.popFront())
	}
	if b.room != nil && q.len() < backlogLimits[lane] {
		close(b.room)
		b.room = nil
	}
	return dst
}

// due moves messages whose time has come to the head of their lanes and tells when the next one's comes.
func (b *backlog) due(now time.Time) (next time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.later) > 0 {
		if b.later[0].notDue.After(now) {
			return b.later[0].notDue
		}
		m := heap.Pop(&b.later).(*Message)
		m.notDue = time.Time{}
		b.queue[m.Parcel.Lane].pushFront(m)
	}
	return time.Time{}
}

// waits tells how many messages of a lane are ready.
func (b *backlog) waits(lane Lane) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.queue[lane].len()
}

// total is how many messages stand here.
func (b *backlog) total() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.later)
	for lane := range b.queue {
		n += b.queue[lane].len()
	}
	return n
}

// full answers a channel that closes when a lane may have room again; nil while it has room.
func (b *backlog) full(lane Lane) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.queue[lane].len() < backlogLimits[lane] {
		return nil
	}
	if b.room == nil {
		b.room = make(chan struct{})
	}
	return b.room
}

// drain takes everything.
func (b *backlog) drain() []*Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []*Message
	for lane := range b.queue {
		for b.queue[lane].len() > 0 {
			all = append(all, b.queue[lane].popFront())
		}
	}
	all = append(all, b.later...)
	b.later = nil
	if b.room != nil {
		close(b.room)
		b.room = nil
	}
	return all
}

// watch registers a pump's wake channel, of capacity 1; unwatch takes it out.
func (b *backlog) watch(wake chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wake[wake] = struct{}{}
}

func (b *backlog) unwatch(wake chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.wake, wake)
}

// signal wakes every pump. Called with mu held.
func (b *backlog) signal() {
	for wake := range b.wake {
		nudge(wake)
	}
}

// nudge leaves a token in a channel of capacity 1.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// ring is a double-ended queue.
type ring struct {
	items []*Message // length a power of two
	head  int
	n     int
}

func (r *ring) len() int { return r.n }

func (r *ring) pushBack(m *Message) {
	r.grow()
	r.items[(r.head+r.n)&(len(r.items)-1)] = m
	r.n++
}

func (r *ring) pushFront(m *Message) {
	r.grow()
	r.head = (r.head - 1) & (len(r.items) - 1)
	r.items[r.head] = m
	r.n++
}

func (r *ring) popFront() *Message {
	m := r.items[r.head]
	r.items[r.head] = nil
	r.head = (r.head + 1) & (len(r.items) - 1)
	r.n--
	return m
}

func (r *ring) grow() {
	if r.n < len(r.items) {
		return
	}
	bigger := make([]*Message, max(64, 2*len(r.items)))
	for i := range r.n {
		bigger[i] = r.items[(r.head+i)&(len(r.items)-1)]
	}
	r.items, r.head = bigger, 0
}

// waiting is a heap by time.
type waiting []*Message

// Len implements heap.Interface.
func (w waiting) Len() int { return len(w) }

// Less implements heap.Interface.
func (w waiting) Less(i, j int) bool { return w[i].notDue.Before(w[j].notDue) }

// Swap implements heap.Interface.
func (w waiting) Swap(i, j int) { w[i], w[j] = w[j], w[i] }

// Push implements heap.Interface.
func (w *waiting) Push(m any) { *w = append(*w, m.(*Message)) }

// Pop implements heap.Interface.
func (w *waiting) Pop() any {
	old := *w
	m := old[len(old)-1]
	old[len(old)-1] = nil
	*w = old[:len(old)-1]
	return m
}
