package message_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message/messagetest"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// When another replica takes a key between the look and the commit, its request gets the stored answer and the others
// of the flush are stored.
func TestKeyTakenByAnotherReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		mine := single("x")
		mine.IdempotencyKey, mine.Digest = "k", "d"
		hash, _ := w.vault.Hash("live", tenantA, "idempotency key k")
		request, _ := w.vault.Hash("live", tenantA, "request d")
		theirs := message.Receipt{ID: tenantB, State: message.StateAccepted}
		gate := make(chan struct{})
		var flushes atomic.Int32
		w.store.Before = func(f message.Flush) error {
			switch flushes.Add(1) {
			case 1, 2:
				<-gate // two flushes in flight, so that the next gather
			case 3:
				other := messagetest.NewFlush(time.Now(), 1, tenantA, message.KeyRow{
					Key:    message.Key{Tenant: tenantA, Env: "live", Hash: hash},
					Taken:  message.Taken{Request: request, Answer: message.AppendAnswer(nil, []message.Receipt{theirs})},
					Expire: time.Now().Add(time.Hour),
				})
				w.store.Before = nil
				return w.store.Accept(t.Context(), other)
			}
			return nil
		}
		var wg sync.WaitGroup
		accept := func(r message.Request, check func(message.Answer)) {
			wg.Go(func() {
				answer, err := w.Accept(t.Context(), r)
				if err != nil {
					t.Error(err)
					return
				}
				check(answer)
			})
			synctest.Wait()
		}
		nothing := func(message.Answer) {}
		accept(single("1"), nothing)
		accept(single("2"), nothing)
		accept(mine, func(a message.Answer) {
			if !a.Replay || a.Receipts[0].ID != theirs.ID {
				t.Errorf("my request was answered %+v", a)
			}
		})
		accept(single("3"), func(a message.Answer) {
			if a.Replay {
				t.Error("the other request was answered with a replay")
			}
		})
		close(gate)
		wg.Wait()
		if got := w.store.Messages(); got != 3+2 { // three of ours, two in the other replica's flush
			t.Errorf("%d messages stored", got)
		}
	})
}

func TestGatherWhileTwoFlushesAreInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		gate := make(chan struct{})
		w.store.Before = func(message.Flush) error { <-gate; return nil }
		var wg sync.WaitGroup
		for i := range 102 {
			r := single("x")
			if i%2 == 1 {
				r.Tenant = tenantB
			}
			wg.Go(func() {
				if _, err := w.Accept(t.Context(), r); err != nil {
					t.Error(err)
				}
			})
			if i < 2 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		close(gate)
		wg.Wait()
		flushes := w.store.Flushes()
		if len(flushes) != 3 || w.store.Messages() != 102 {
			t.Fatalf("%d messages in %d flushes, want 102 in 3", w.store.Messages(), len(flushes))
		}
		for _, f := range flushes {
			for _, p := range f.Parcels {
				if len(f.Parcels) == 2 && len(p.Entries) != 50 {
					t.Errorf("a parcel of %d messages, want 50 of each tenant", len(p.Entries))
				}
			}
		}
	})
}

func TestOnePoisonedRequestDoesNotSpoilTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		gate := make(chan struct{})
		w.store.Before = func(f message.Flush) error {
			<-gate
			for _, p := range f.Parcels {
				for _, e := range p.Entries {
					if e.Message.Text == "poison" {
						return errs.E(errs.Invalid, "", "the database refuses this value", nil)
					}
				}
			}
			return nil
		}
		var wg sync.WaitGroup
		var failed atomic.Int32
		for i := range 10 {
			text := "x"
			if i == 5 {
				text = "poison"
			}
			wg.Go(func() {
				if _, err := w.Accept(t.Context(), single(text)); err != nil {
					failed.Add(1)
				}
			})
			synctest.Wait()
		}
		close(gate)
		wg.Wait()
		if failed.Load() != 1 || w.store.Messages() != 9 {
			t.Errorf("%d failed, %d stored; want 1 and 9", failed.Load(), w.store.Messages())
		}
	})
}

func TestADeadlineWithdrawsWhatNoFlushHasTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		gate := make(chan struct{})
		w.store.Before = func(message.Flush) error { <-gate; return nil }
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { _, _ = w.Accept(t.Context(), single("x")) })
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.Accept(ctx, single("late")); errs.KindOf(err) != errs.Unavailable {
			t.Errorf("after the deadline: %v", err)
		}
		close(gate)
		wg.Wait()
		if w.store.Messages() != 2 {
			t.Errorf("%d messages stored, want the two that were taken", w.store.Messages())
		}
	})
}
