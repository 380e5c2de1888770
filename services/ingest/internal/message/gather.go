package message

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
)

const (
	flushesInFlight = 2     // a third would only wait for the disk that the first two keep busy
	flushMessages   = 4000  // at most so many messages in a transaction: some 20 ms
	laneMessages    = 40000 // waiting in memory; beyond, the lane is overloaded

	// Flushes of crowdMessages and more in the mean show that many callers send at once. Then the second flush in flight
	// gathers gatherMessages: each flush costs all services behind it a parcel. The first starts at once, always.
	crowdMessages  = 16
	gatherMessages = 250
)

// submission is a request on its way through a flush. Its outcome may be read once done is closed.
type submission struct {
	tenant   uuid.UUID
	env      string
	trace    string
	messages []Message
	key      *Key // nil without an idempotency key
	request  [16]byte

	claimed atomic.Bool // by a flush, or by its caller who gives up
	answer  Answer
	err     error
	done    chan struct{}
}

// withdraw takes back a submission that no flush has taken yet.
func (s *submission) withdraw() bool { return s.claimed.CompareAndSwap(false, true) }

func (s *submission) finish(answer Answer, err error) {
	s.answer, s.err = answer, err
	close(s.done)
}

// gatherer is one lane's line before the store.
type gatherer struct {
	flush func(batch []*submission)

	mu       sync.Mutex
	waiting  []*submission
	messages int // in waiting
	inFlight int
	mean     int // messages in a flush: of the last few, the latest counts a quarter
}

// mayFlush tells whether what waits may go beside the flushes that are under way.
func (g *gatherer) mayFlush(underway int) bool {
	switch {
	case len(g.waiting) == 0 || underway >= flushesInFlight:
		return false
	case underway == 0 || g.mean < crowdMessages:
		return true
	}
	return g.messages >= gatherMessages
}

// add puts s in line and starts a flush when it may. It is false when the line is full.
func (g *gatherer) add(s *submission) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.messages+len(s.messages) > laneMessages {
		return false
	}
	g.waiting = append(g.waiting, s)
	g.messages += len(s.messages)
	if g.mayFlush(g.inFlight) {
		g.inFlight++
		go g.run()
	}
	return true
}

// pressure is how full the line is.
func (g *gatherer) pressure() float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return float64(g.messages) / laneMessages
}

// run flushes while it may. What it leaves waiting is for the flush that is under way beside it.
func (g *gatherer) run() {
	for batch := g.next(); batch != nil; batch = g.next() {
		if batch = claimed(batch); len(batch) > 0 {
			g.flush(batch)
		}
	}
}

// next takes the head of the line; nil ends the flush in flight.
func (g *gatherer) next() []*submission {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.mayFlush(g.inFlight - 1) {
		g.inFlight--
		return nil
	}
	n, messages := 0, 0
	for n < len(g.waiting) && (n == 0 || messages+len(g.waiting[n].messages) <= flushMessages) {
		messages += len(g.waiting[n].messages)
		n++
	}
	batch := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	if len(g.waiting) == 0 {
		g.waiting = nil // let go of the array behind what was taken
	}
	g.messages -= messages
	g.mean = (3*g.mean + messages) / 4
	return batch
}

// claimed keeps those of batch that their callers have not withdrawn.
func claimed(batch []*submission) []*submission {
	kept := batch[:0]
	for _, s := range batch {
		if s.claimed.CompareAndSwap(false, true) {
			kept = append(kept, s)
		}
	}
	return kept
}

// flights lets one call at a time through for each idempotency key of this process; the others wait and get its answer.
type flights struct {
	mu     sync.Mutex
	flying map[Key]*flight
}

type flight struct {
	request [16]byte
	answer  Answer
	err     error
	done    chan struct{}
}

// do calls submit unless a call with the same key is under way. A waiting call takes over when the one before it failed.
func (f *flights) do(ctx context.Context, s *submission, submit func() (Answer, error)) (Answer, error) {
	for {
		f.mu.Lock()
		before, ok := f.flying[*s.key]
		if !ok {
			break
		}
		f.mu.Unlock()
		select {
		case <-before.done:
		case <-ctx.Done():
			return Answer{}, inProgress(ctx.Err())
		}
		if before.err == nil {
			return replay(before.request, s.request, before.answer.Receipts)
		}
	}
	mine := &flight{request: s.request, done: make(chan struct{})}
	if f.flying == nil {
		f.flying = map[Key]*flight{}
	}
	f.flying[*s.key] = mine
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.flying, *s.key)
		f.mu.Unlock()
		close(mine.done)
	}()
	mine.answer, mine.err = submit()
	return mine.answer, mine.err
}
