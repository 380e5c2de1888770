package delivery

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// maxReport bounds one transaction: enough to fill any disk's commit, small enough to answer receipts soon.
const maxReport = 2_000

// recorder writes results and receipts down: one transaction at a time, holding all that came during the last one. A
// submission is therefore recorded before, or with, the receipts that came after it on this replica.
type recorder struct {
	store   Records
	log     *slog.Logger
	replica uuid.UUID
	newID   func() uuid.UUID
	done    func(*Parcel) // told of each parcel that needs no more work

	mu       sync.Mutex
	results  []Result
	receipts []heard
	closed   []*Parcel
	wake     chan struct{}
	idle     *sync.Cond // on mu: nothing waits and nothing is being written
	writing  bool
	inHand   int // results in the report that is being written
}

// heard is a receipt and whom to tell that it is durable.
type heard struct {
	receipt Receipt
	batch   *batch
}

// batch counts the receipts of one hand-over that are not durable yet.
type batch struct {
	open int
	done func() // called once, when all are
}

func newRecorder(t *term) *recorder {
	r := &recorder{store: t.e.cfg.Records, log: t.log, replica: t.id, newID: t.e.cfg.NewID, done: t.forget, wake: make(chan struct{}, 1)}
	r.idle = sync.NewCond(&r.mu)
	return r
}

// add queues results; it never blocks.
func (r *recorder) add(results ...Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, results...)
	nudge(r.wake)
}

// unsaid is how many results are not durable yet: the doubt a crash would leave.
func (r *recorder) unsaid() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.results) + r.inHand
}

// close queues a claimed parcel with nothing open.
func (r *recorder) close(p *Parcel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = append(r.closed, p)
	nudge(r.wake)
}

// hear queues receipts, one at least; done is called after the commit that holds the last of them.
func (r *recorder) hear(receipts []Receipt, done func()) {
	b := &batch{open: len(receipts), done: done}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range receipts {
		r.receipts = append(r.receipts, heard{receipts[i], b})
	}
	nudge(r.wake)
}

// run writes until ctx ends; drain before ending it.
func (r *recorder) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		for r.once(ctx) {
		}
	}
}

// once writes what waits; false when nothing did.
func (r *recorder) once(ctx context.Context) bool {
	report, batches := r.take()
	if len(report.Results)+len(report.Receipts)+len(report.Closed) == 0 {
		return false
	}
	if !r.record(ctx, report) {
		return false
	}
	r.mu.Lock()
	r.inHand = 0
	var finished []*batch
	for _, b := range batches {
		if b.open--; b.open == 0 {
			finished = append(finished, b)
		}
	}
	r.mu.Unlock()
	for _, b := range finished {
		b.done()
	}
	for _, p := range report.Closed {
		r.done(p)
	}
	for i := range report.Results {
		if report.Results[i].Done {
			r.done(report.Results[i].Message.Parcel)
		}
	}
	return true
}

// take cuts off one transaction's worth and settles the parcels' counts.
func (r *recorder) take() (Report, []*batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	report := Report{ID: r.newID(), Closed: r.closed}
	r.closed = nil
	n := min(len(r.results), maxReport)
	report.Results, r.results = r.results[:n:n], r.results[n:]
	k := min(len(r.receipts), maxReport)
	var batches []*batch
	for _, h := range r.receipts[:k] {
		report.Receipts = append(report.Receipts, h.receipt)
		batches = append(batches, h.batch)
	}
	r.receipts = r.receipts[k:]
	for i := range report.Results {
		if res := &report.Results[i]; res.lasting() {
			res.Done = res.Message.Parcel.settle()
		}
	}
	r.writing, r.inHand = n+k+len(report.Closed) > 0, n
	if !r.writing {
		r.idle.Broadcast()
	}
	return report, batches
}

// record tries until the report is durable: nothing an operator said may be lost while this process lives.
func (r *recorder) record(ctx context.Context, report Report) bool {
	for try := 0; ; try++ {
		err := r.store.Record(ctx, r.replica, report)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		level := slog.LevelWarn
		if errs.KindOf(err) != errs.Unavailable {
			level = slog.LevelError
		}
		r.log.Log(ctx, level, "outcomes not recorded, trying again", slog.Int("results", len(report.Results)),
			slog.Int("receipts", len(report.Receipts)), slog.Any("error", err))
		if !pause(ctx, min(20*time.Millisecond<<min(try, 6), time.Second)) {
			return false
		}
	}
}

// drain waits until everything is written, or ctx ends.
func (r *recorder) drain(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.idle.Broadcast()
	})
	defer stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for ctx.Err() == nil && (r.writing || len(r.results)+len(r.receipts)+len(r.closed) > 0) {
		nudge(r.wake)
		r.idle.Wait()
	}
}

// pause waits for d; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
