package delivery

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/inbound"
)

const (
	maxInbound    = 200              // messages from handsets a transaction
	inboundTries  = 20 * time.Second // then the operator is asked to send again
	inboundRetry  = 100 * time.Millisecond
	overdueEvery  = time.Minute // looks for parts whose others did not come
	inboundBuffer = 5_000       // messages from handsets in memory; more are turned away
)

// Inbound keeps what handsets send; see inbound.Receiver.
type Inbound interface {
	Receive(ctx context.Context, parts []inbound.Part) error
	Overdue(ctx context.Context) (int, error)
}

// listener hands messages from handsets to Inbound, apart from the recorder: sealing may wait for a key, receipts must
// not wait for that.
type listener struct {
	keep Inbound
	log  *slog.Logger

	mu    sync.Mutex
	queue []said
	wake  chan struct{}
}

// said are the messages of one hand-over, and whom to tell whether they are durable.
type said struct {
	parts []inbound.Part
	done  func(kept bool)
}

func newListener(keep Inbound, log *slog.Logger) *listener {
	return &listener{keep: keep, log: log, wake: make(chan struct{}, 1)}
}

// hear queues messages; done is called once, after their commit or when that has failed for too long.
func (l *listener) hear(parts []inbound.Part, done func(kept bool)) {
	if len(parts) == 0 {
		return
	}
	l.mu.Lock()
	waiting := 0
	for _, s := range l.queue {
		waiting += len(s.parts)
	}
	full := waiting+len(parts) > inboundBuffer
	if !full {
		l.queue = append(l.queue, said{parts, done})
	}
	l.mu.Unlock()
	if full {
		done(false)
		return
	}
	nudge(l.wake)
}

// run keeps what is heard until ctx ends; what waits then is turned away.
func (l *listener) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			for _, s := range l.take(0) {
				s.done(false)
			}
			return
		case <-l.wake:
		}
		for batch := l.take(maxInbound); len(batch) > 0; batch = l.take(maxInbound) {
			kept := l.receive(ctx, batch)
			for _, s := range batch {
				s.done(kept)
			}
		}
	}
}

// take cuts off hand-overs of about limit messages, one at least; all for limit 0.
func (l *listener) take(limit int) []said {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, parts := 0, 0
	for n < len(l.queue) && (limit == 0 || n == 0 || parts+len(l.queue[n].parts) <= limit) {
		parts += len(l.queue[n].parts)
		n++
	}
	batch := l.queue[:n:n]
	l.queue = l.queue[n:]
	return batch
}

// receive tries for a while; false when the messages are not durable.
func (l *listener) receive(ctx context.Context, batch []said) bool {
	var parts []inbound.Part
	for _, s := range batch {
		parts = append(parts, s.parts...)
	}
	ctx, cancel := context.WithTimeout(ctx, inboundTries)
	defer cancel()
	for {
		err := l.keep.Receive(ctx, parts)
		if err == nil {
			return true
		}
		l.log.Warn("messages from handsets not kept", slog.Int("count", len(parts)), slog.Any("error", err))
		if !pause(ctx, inboundRetry) {
			return false
		}
	}
}

// overdue looks now and then for messages of which parts are missing for too long.
func (l *listener) overdue(ctx context.Context) {
	for pause(ctx, overdueEvery) {
		if n, err := l.keep.Overdue(ctx); err != nil && ctx.Err() == nil {
			l.log.Warn("incomplete messages from handsets not joined", slog.Any("error", err))
		} else if n > 0 {
			l.log.Info("messages from handsets joined with gaps", slog.Int("count", n))
		}
	}
}
