package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
)

// committers is how many intent transactions may be under way at once.
const committers = 2

// maxIntents bounds the intents of one commit.
const maxIntents = 64

// wish is an intent on its way to its commit. then is told what became of it; it must not block.
type wish struct {
	intent Intent
	then   func(Answer)
}

// intender commits intents of all binds: those that come while commits are under way share the next one.
type intender struct {
	store   Intents
	log     *slog.Logger
	replica uuid.UUID
	fenced  func() // called when the replica was taken over

	mu     sync.Mutex
	wishes []wish
	wake   chan struct{}
}

func newIntender(store Intents, replica uuid.UUID, log *slog.Logger, fenced func()) *intender {
	return &intender{store: store, replica: replica, log: log, fenced: fenced, wake: make(chan struct{}, 1)}
}

func (n *intender) add(w wish) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wishes = append(n.wishes, w)
	nudge(n.wake)
}

// run commits until ctx ends; what waits then is refused, having been written nowhere.
func (n *intender) run(ctx context.Context) {
	var wg sync.WaitGroup
	for range committers {
		wg.Go(func() { n.loop(ctx) })
	}
	wg.Wait()
	for {
		left := n.take()
		if len(left) == 0 {
			return
		}
		refuse(left)
	}
}

func (n *intender) loop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		}
		for batch := n.take(); len(batch) > 0; batch = n.take() {
			n.commit(ctx, batch)
		}
	}
}

func (n *intender) take() []wish {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := min(len(n.wishes), maxIntents)
	batch := n.wishes[:k:k]
	n.wishes = n.wishes[k:]
	if len(n.wishes) > 0 {
		nudge(n.wake) // the other committer may take them
	}
	return batch
}

// commit tries until it is known whether the intents stand; the same ids make it harmless to try again. When ctx ends
// before that, nothing is submitted, and a successor finds them in doubt at worst.
func (n *intender) commit(ctx context.Context, batch []wish) {
	intents := make([]Intent, len(batch))
	for i := range batch {
		intents[i] = batch[i].intent
	}
	for try := 0; ; try++ {
		answers, err := n.store.Intend(ctx, n.replica, intents)
		if err == nil {
			for i := range batch {
				batch[i].then(answers[i])
			}
			return
		}
		if errors.Is(err, ErrFenced) {
			n.fenced()
			refuse(batch)
			return
		}
		if ctx.Err() == nil {
			n.log.Warn("intents not committed, trying again", slog.Int("intents", len(batch)), slog.Any("error", err))
		}
		if !pause(ctx, min(20*time.Millisecond<<min(try, 6), time.Second)) {
			refuse(batch)
			return
		}
	}
}

func refuse(batch []wish) {
	for _, w := range batch {
		w.then(Answer{})
	}
}
