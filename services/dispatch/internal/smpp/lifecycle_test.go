package smpp

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestCloseDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, h := pipe(t, nil)
		submit(t, s, 1)
		seq := p.expect(CommandSubmitSM, 0).Sequence
		p.deliver(9, &DeliverSM{ESMClass: ESMClassReceipt})
		if n := s.TryAcquire(1, 0); n != 1 {
			t.Fatal("no slot")
		}
		closed := make(chan error)
		go func() { closed <- s.Close(t.Context()) }()
		synctest.Wait()
		if _, err := s.Acquire(t.Context(), 1, 0); !errors.Is(err, ErrDraining) {
			t.Errorf("Acquire while draining: %v", err)
		}
		if err := s.Submit([]Submission{{Tag: 2, SM: testSM()}}); err != nil { // its slot was held before
			t.Errorf("Submit while draining: %v", err)
		}
		p.answer(p.expect(CommandSubmitSM, 0).Sequence, StatusOK, "2")
		p.answer(seq, StatusOK, "1")
		if err := s.Respond(StatusOK, h.deliveries); err != nil {
			t.Error(err)
		}
		p.expect(CommandDeliverSMResp, StatusOK)
		unbind := p.expect(CommandUnbind, StatusOK)
		p.write(AppendEmpty(nil, CommandUnbindResp, StatusOK, unbind.Sequence))
		if err := <-closed; err != nil || !errors.Is(s.Err(), ErrClosed) {
			t.Errorf("Close = %v, session %v", err, s.Err())
		}
		h.only(t, 0, 2)
	})
}

func TestCloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, h := pipe(t, nil)
		submit(t, s, 1)
		go func() {
			p.expect(CommandSubmitSM, 0)
			p.expect(CommandUnbind, 0) // and does not answer
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close = %v", err)
		}
		if r := h.only(t, 0, 1)[0]; r.Outcome != Lost {
			t.Errorf("result %+v", r)
		}
	})
}

func TestOpenRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, dial := newPeer(t)
		cfg := (&heard{}).config(dial)
		go p.acceptBind(Transceiver, StatusInvPaswd)
		_, err := Open(t.Context(), cfg)
		if refused, ok := errors.AsType[*BindError](err); !ok || !refused.Fatal() {
			t.Errorf("Open = %v", err)
		}
		p, cfg.Dial = newPeer(t)
		go p.next() // and never an answer
		start := time.Now()
		if _, err := Open(t.Context(), cfg); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("Open = %v after %v", err, time.Since(start))
		}
		if _, err := Open(t.Context(), Config{Dial: dial}); err == nil {
			t.Error("Open without handlers")
		}
	})
}

func TestSequenceSkipsAndWraps(t *testing.T) {
	w := newWindow(2)
	if len(w.ring) != 8 {
		t.Fatalf("%d places", len(w.ring))
	}
	w.ring[w.place(2)].seq = 2 // still unanswered
	w.next = 10                // same place
	if got := w.sequence(); got != 11 {
		t.Errorf("sequence = %d, want the next free place's", got)
	}
	w.next = MaxSequence
	if a, b := w.sequence(), w.sequence(); a != MaxSequence || b != 1 {
		t.Errorf("wrapped to %d, %d", a, b)
	}
}

func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		// Four failures to dial, a refusal, then a session that lasts, then one
		// more failure, which waits as little as the first.
		statuses := []Status{StatusInvSysID, StatusOK}
		attempts := 0
		dial := func(context.Context) (net.Conn, error) {
			if attempts++; attempts <= 4 || attempts > 6 {
				return nil, errors.New("no route")
			}
			p, dial := newPeer(t)
			status := statuses[attempts-5]
			go func() {
				p.acceptBind(Transceiver, status)
				timer := time.NewTimer(time.Minute)
				<-timer.C
				_ = p.nc.Close()
			}()
			return dial(ctx)
		}
		var waits []time.Duration
		sessions := 0
		err := Keep(ctx, KeepConfig{
			Session: func() Config {
				c := (&heard{}).config(dial)
				c.EnquireInterval = time.Hour
				return c
			}(),
			Rand: func() float64 { return 1 },
			OnWait: func(cause error, wait time.Duration) {
				if waits = append(waits, wait); len(waits) == 7 {
					cancel()
				}
			},
		}, func(_ context.Context, s *Session) {
			sessions++
			<-s.Done()
		})
		const ms = time.Millisecond
		want := []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 5 * time.Minute, 100 * ms, 200 * ms}
		if !errors.Is(err, context.Canceled) || sessions != 1 {
			t.Errorf("Keep = %v after %d sessions", err, sessions)
		}
		for i := range want {
			if waits[i] != want[i] {
				t.Fatalf("waits %v, want %v", waits, want)
			}
		}
	})
}

func TestKeepDrainsWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p, dial := newPeer(t)
		go func() {
			p.acceptBind(Transceiver, StatusOK)
			unbind := p.expect(CommandUnbind, 0)
			p.write(AppendEmpty(nil, CommandUnbindResp, StatusOK, unbind.Sequence))
		}()
		err := Keep(ctx, KeepConfig{Session: (&heard{}).config(dial)}, func(context.Context, *Session) { cancel() })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Keep = %v", err)
		}
	})
}
