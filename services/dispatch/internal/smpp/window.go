package smpp

import (
	"context"
	"math/bits"
	"time"
)

// window holds the submits in flight and the slots promised to the caller.
//
// A slot is: free -> held (TryAcquire) -> in flight (Submit) -> free (answer or
// timeout), or held -> free (Release). Sequence numbers grow by one and find
// their entry by their low bits; the ring has four times as many places as
// there are slots, so a submit that is answered late rarely stands in the way,
// and when it does its number is skipped. Guarded by Session.mu.
type window struct {
	size  int // slots in all
	held  int // promised to the caller, not yet submitted
	used  int // in flight
	next  uint32
	ring  []flight
	late  map[uint32]flight // timed out, answer still welcome
	freed chan struct{}     // closed when a slot becomes free; nil when nobody waits
}

// flight is one submit without an answer.
type flight struct {
	seq  uint32 // 0: place is empty
	tag  uint64
	sent time.Duration // since the session began
	end  uint64        // stream position after its PDU
}

func newWindow(size int) window {
	places := 1 << bits.Len(uint(4*size-1))
	return window{size: size, next: 1, ring: make([]flight, places), late: map[uint32]flight{}}
}

// sequence returns the next number whose place is empty.
func (w *window) sequence() uint32 {
	for {
		seq := w.next
		if w.next++; w.next > MaxSequence {
			w.next = 1
		}
		if w.ring[w.place(seq)].seq == 0 {
			return seq
		}
	}
}

func (w *window) place(seq uint32) int { return int(seq) & (len(w.ring) - 1) }

// take removes the flight with the number, in time or late.
func (w *window) take(seq uint32) (f flight, late, ok bool) {
	place := &w.ring[w.place(seq)]
	if seq != 0 && place.seq == seq {
		f, *place = *place, flight{}
		w.used--
		w.signal()
		return f, false, true
	}
	if f, ok = w.late[seq]; ok {
		delete(w.late, seq)
	}
	return f, true, ok
}

// expire moves flights sent before the limit to late and calls each for them.
func (w *window) expire(limit time.Duration, each func(flight)) {
	for i := range w.ring {
		if f := w.ring[i]; f.seq != 0 && f.sent < limit {
			w.ring[i] = flight{}
			w.used--
			w.late[f.seq] = f
			each(f)
		}
	}
	w.signal()
}

// forget drops late flights sent before the limit.
func (w *window) forget(limit time.Duration) {
	for seq, f := range w.late {
		if f.sent < limit {
			delete(w.late, seq)
		}
	}
}

func (w *window) signal() {
	if w.freed != nil && w.size > w.held+w.used {
		close(w.freed)
		w.freed = nil
	}
}

// TryAcquire promises up to n window slots but leaves at least leave free (for
// a lane that must not wait). It answers how many it got, 0..n, at once. Each
// is given back by Submit with its answer or timeout, or by Release.
func (s *Session) TryAcquire(n, leave int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.draining {
		return 0
	}
	free := s.win.size - s.win.held - s.win.used - max(leave, 0)
	got := max(0, min(n, free))
	s.win.held += got
	return got
}

// Acquire is TryAcquire that waits for the first slot. It answers ctx's error,
// ErrClosed or ErrDraining, and then no slot.
func (s *Session) Acquire(ctx context.Context, n, leave int) (int, error) {
	for {
		freed, err := s.slotFreed()
		if err != nil {
			return 0, err
		}
		if got := s.TryAcquire(n, leave); got > 0 || n <= 0 {
			return got, nil
		}
		select {
		case <-freed:
		case <-s.stopping:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// slotFreed returns a channel that closes when a slot becomes free after this
// call.
func (s *Session) slotFreed() (<-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refusal(); err != nil {
		return nil, err
	}
	if s.win.freed == nil {
		s.win.freed = make(chan struct{})
	}
	return s.win.freed, nil
}

// Release gives back n held slots that will not be submitted.
func (s *Session) Release(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.win.held -= min(max(n, 0), s.win.held)
	s.win.signal()
	s.checkIdle()
}

// Slots says how the window stands: free, held and in flight add up to
// Config.Window.
func (s *Session) Slots() (free, held, inFlight int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.win.size - s.win.held - s.win.used, s.win.held, s.win.used
}
