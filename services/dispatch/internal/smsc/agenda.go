package smsc

import (
	"container/heap"
	"time"
)

// slotWidth is how finely delays are kept. Everything due within one slot costs
// one wake-up.
const slotWidth = 5 * time.Millisecond

// agenda is a queue of what is to be done later, ordered by time in slots of
// slotWidth: adding is O(1) beside a heap of slots, of which there are few. The
// owner guards it.
type agenda[T any] struct {
	slots map[int64][]T // by slot number
	order slotHeap      // the keys of slots
	size  int
}

type slotHeap []int64

func (h slotHeap) Len() int           { return len(h) }
func (h slotHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h slotHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *slotHeap) Push(x any) { *h = append(*h, x.(int64)) }

// Pop implements heap.Interface.
func (h *slotHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// add puts what in the slot that ends at or after due, and reports whether it is
// now the first.
func (a *agenda[T]) add(due time.Time, what T) (first bool) {
	if a.slots == nil {
		a.slots = map[int64][]T{}
	}
	slot := (due.UnixNano() + int64(slotWidth) - 1) / int64(slotWidth)
	if _, ok := a.slots[slot]; !ok {
		heap.Push(&a.order, slot)
	}
	a.slots[slot] = append(a.slots[slot], what)
	a.size++
	return a.order[0] == slot && len(a.slots[slot]) == 1
}

// next returns when the first slot is due.
func (a *agenda[T]) next() (due time.Time, ok bool) {
	if len(a.order) == 0 {
		return time.Time{}, false
	}
	return time.Unix(0, a.order[0]*int64(slotWidth)), true
}

// take removes and returns the first slot if it is due.
func (a *agenda[T]) take(now time.Time) []T {
	due, ok := a.next()
	if !ok || due.After(now) {
		return nil
	}
	slot := heap.Pop(&a.order).(int64)
	list := a.slots[slot]
	delete(a.slots, slot)
	a.size -= len(list)
	return list
}

// fifo is a queue that reuses its memory. The owner guards it.
type fifo[T any] struct {
	list []T
	head int
}

func (q *fifo[T]) len() int { return len(q.list) - q.head }

func (q *fifo[T]) push(x T) { q.list = append(q.list, x) }

// pop removes the oldest; the queue must not be empty.
func (q *fifo[T]) pop() T {
	var zero T
	x := q.list[q.head]
	q.list[q.head] = zero
	q.head++
	switch {
	case q.head == len(q.list):
		q.list, q.head = q.list[:0], 0
	case q.head > 4096 && q.head > len(q.list)/2:
		q.list = append(q.list[:0], q.list[q.head:]...)
		q.head = 0
	}
	return x
}
