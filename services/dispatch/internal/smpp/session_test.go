package smpp

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, h := pipe(t, nil)
		submit(t, s, 11, 12, 13)
		first, second, third := p.expect(CommandSubmitSM, 0), p.expect(CommandSubmitSM, 0), p.expect(CommandSubmitSM, 0)
		wantSlots(t, s, 7, 0, 3)
		p.answer(third.Sequence, StatusOK, "c")
		p.answer(first.Sequence, StatusThrottled, "")
		p.answer(first.Sequence, StatusOK, "again") // belongs to none now
		p.write(AppendEmpty(nil, CommandGenericNack, StatusInvCmdID, second.Sequence))
		got := h.only(t, 0, 3)
		want := []Result{
			{Tag: 13, Seq: third.Sequence, Outcome: Answered, MessageID: "c"},
			{Tag: 11, Seq: first.Sequence, Outcome: Answered, Status: StatusThrottled},
			{Tag: 12, Seq: second.Sequence, Outcome: Answered, Status: StatusInvCmdID},
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("result %+v, want %+v", got[i], want[i])
			}
		}
		wantSlots(t, s, 10, 0, 0)
		if c := s.Counts(); c.Submitted != 3 || c.Answered != 3 || c.Unmatched != 1 {
			t.Errorf("counts %+v", c)
		}
	})
}

func TestAnswerWithMalformedTailStillCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, h := pipe(t, nil)
		submit(t, s, 1)
		seq := p.expect(CommandSubmitSM, 0).Sequence
		raw := PDU{Header{Command: CommandSubmitSMResp, Sequence: seq}, Raw("id\x00\xff")}
		b, err := raw.AppendTo(nil)
		p.write(mustAppend(t, b, err))
		if r := h.only(t, 0, 1)[0]; r.Outcome != Answered || r.MessageID != "id" || r.Err == nil {
			t.Errorf("result %+v", r)
		}
	})
}

func TestSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, _ := pipe(t, nil)
		if n := s.TryAcquire(100, 3); n != 7 {
			t.Errorf("TryAcquire leaving 3 = %d, want 7", n)
		}
		if n := s.TryAcquire(1, 3); n != 0 {
			t.Errorf("TryAcquire of the reserve = %d", n)
		}
		if n := s.TryAcquire(1, 0); n != 1 {
			t.Errorf("TryAcquire for the lane the reserve is for = %d", n)
		}
		if err := s.Submit(make([]Submission, 9)); !errors.Is(err, ErrNoSlots) {
			t.Errorf("Submit beyond the held slots: %v", err)
		}
		s.Release(8)
		wantSlots(t, s, 10, 0, 0)
		submit(t, s, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
		got := make(chan int)
		go func() {
			n, err := s.Acquire(t.Context(), 5, 1)
			if err != nil {
				t.Error(err)
			}
			got <- n
		}()
		p.answer(p.expect(CommandSubmitSM, 0).Sequence, StatusOK, "1")
		select {
		case n := <-got:
			t.Errorf("Acquire took the reserved slot: %d", n)
		default:
		}
		p.answer(p.expect(CommandSubmitSM, 0).Sequence, StatusOK, "2")
		if n := <-got; n != 1 {
			t.Errorf("Acquire = %d, want 1", n)
		}
		s.Release(1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Acquire(ctx, 1, 9); !errors.Is(err, context.Canceled) {
			t.Errorf("Acquire with a dead context: %v", err)
		}
		for range 8 {
			p.expect(CommandSubmitSM, 0)
		}
	})
}

func TestSubmitTimeoutAndLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, h := pipe(t, func(c *Config) { c.EnquireInterval = time.Hour })
		submit(t, s, 1, 2)
		first, second := p.expect(CommandSubmitSM, 0), p.expect(CommandSubmitSM, 0)
		after(29 * time.Second)
		h.only(t, 0, 0)
		after(3 * time.Second)
		for _, r := range h.only(t, 0, 2) {
			if r.Outcome != TimedOut || r.Late || r.Elapsed < 30*time.Second || r.Elapsed > 32*time.Second {
				t.Errorf("result %+v", r)
			}
		}
		wantSlots(t, s, 10, 0, 0)
		p.answer(first.Sequence, StatusOK, "late")
		if r := h.only(t, 2, 1)[0]; r.Tag != 1 || r.Outcome != Answered || !r.Late || r.MessageID != "late" {
			t.Errorf("late result %+v", r)
		}
		after(11 * time.Minute)
		p.answer(second.Sequence, StatusOK, "too late")
		h.only(t, 3, 0)
		if c := s.Counts(); c.TimedOut != 2 || c.Late != 1 || c.Unmatched != 1 {
			t.Errorf("counts %+v", c)
		}
	})
}

// The peer takes two PDUs and half of the third, then is gone: two are unknown,
// two are known not to have been sent.
func TestLostConnectionTellsLostFromNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, h := pipe(t, nil)
		frame, err := testSM().AppendTo(nil, 1)
		size := len(mustAppend(t, frame, err))
		submit(t, s, 1, 2, 3, 4)
		taken := make([]byte, 2*size+size/2)
		for n := 0; n < len(taken); {
			m, err := p.nc.Read(taken[n:])
			if err != nil {
				t.Fatal(err)
			}
			n += m
		}
		_ = p.nc.Close() // a pipe's Close has no error
		<-s.Done()
		got := map[uint64]Outcome{}
		for _, r := range h.only(t, 0, 4) {
			got[r.Tag] = r.Outcome
			if r.Err == nil {
				t.Errorf("no cause in %+v", r)
			}
		}
		for tag, want := range map[uint64]Outcome{1: Lost, 2: Lost, 3: NotSent, 4: NotSent} {
			if got[tag] != want {
				t.Errorf("submission %d: %v, want %v", tag, got[tag], want)
			}
		}
		if err := s.Submit(nil); !errors.Is(err, ErrClosed) {
			t.Errorf("Submit after the end: %v", err)
		}
		if _, err := s.Acquire(t.Context(), 1, 0); !errors.Is(err, ErrClosed) {
			t.Errorf("Acquire after the end: %v", err)
		}
	})
}

func TestUnencodableIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, h := pipe(t, nil)
		bad := testSM()
		bad.ShortMessage = make([]byte, 255)
		s.TryAcquire(2, 0)
		if err := s.Submit([]Submission{{Tag: 1, SM: bad}, {Tag: 2, SM: testSM()}}); err != nil {
			t.Fatal(err)
		}
		r := h.only(t, 0, 1)[0]
		if _, ok := errors.AsType[*FieldError](r.Err); !ok || r.Tag != 1 || r.Outcome != NotSent {
			t.Errorf("result %+v", r)
		}
		p.answer(p.expect(CommandSubmitSM, 0).Sequence, StatusOK, "ok")
		if r := h.only(t, 1, 1)[0]; r.Tag != 2 || r.MessageID != "ok" {
			t.Errorf("result %+v", r)
		}
		wantSlots(t, s, 10, 0, 0)
	})
}

func TestEnquireLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, h := pipe(t, nil)
		start := time.Now()
		asked := p.expect(CommandEnquireLink, 0)
		if quiet := time.Since(start); quiet < 30*time.Second || quiet > 32*time.Second {
			t.Errorf("asked after %v", quiet)
		}
		p.write(AppendEmpty(nil, CommandEnquireLinkResp, StatusOK, asked.Sequence))
		p.write(AppendEmpty(nil, CommandEnquireLink, StatusOK, 77))
		if h := p.expect(CommandEnquireLinkResp, 0); h.Sequence != 77 {
			t.Errorf("answered %d", h.Sequence)
		}
		start = time.Now()
		submit(t, s, 1)
		go func() { // reads on, and never writes: half open
			for {
				if _, err := p.r.Next(); err != nil {
					return
				}
			}
		}()
		<-s.Done()
		if silence := time.Since(start); silence != 100*time.Second || !errors.Is(s.Err(), ErrSilent) {
			t.Errorf("ended after %v with %v", silence, s.Err())
		}
		if r := h.only(t, 0, 1)[0]; r.Outcome != TimedOut { // at 30 s; nothing was left to lose
			t.Errorf("result %+v", r)
		}
	})
}

func TestPeerThatStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, h := pipe(t, func(c *Config) { c.SubmitTimeout = time.Hour })
		submit(t, s, 1) // nobody reads it
		start := time.Now()
		<-s.Done()
		if d := time.Since(start); d != 30*time.Second {
			t.Errorf("ended after %v, want the write timeout", d)
		}
		if r := h.only(t, 0, 1)[0]; r.Outcome != NotSent {
			t.Errorf("result %+v", r)
		}
		_ = p.nc.Close()
	})
}

func TestOtherCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, _ := pipe(t, nil)
		p.write(AppendEmpty(nil, CommandDataSM, StatusOK, 5))
		if h := p.expect(CommandGenericNack, StatusInvCmdID); h.Sequence != 5 {
			t.Errorf("refused %d", h.Sequence)
		}
		p.write(AppendEmpty(nil, CommandAlertNotification, StatusOK, 6)) // wants no answer
		p.write(AppendEmpty(nil, CommandQuerySMResp, StatusOK, 6))       // nor does a response
		p.write(AppendEmpty(nil, CommandUnbind, StatusOK, 7))
		p.expect(CommandUnbindResp, StatusOK)
		<-s.Done()
		if !errors.Is(s.Err(), ErrUnbound) {
			t.Errorf("ended with %v", s.Err())
		}
	})
}

func TestLostFraming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, _ := pipe(t, nil)
		p.write([]byte("HTTP/1.1 400 Bad Request"))
		<-s.Done()
		if _, ok := errors.AsType[*LengthError](s.Err()); !ok {
			t.Errorf("ended with %v", s.Err())
		}
	})
}

func TestDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, h := pipe(t, func(c *Config) { c.MaxDeliveries = 2 })
		sm := &DeliverSM{ESMClass: ESMClassReceipt, Source: Address{Digits: "919876543210"}, ShortMessage: []byte("id:1")}
		p.deliver(41, sm)
		p.deliver(42, sm)
		p.deliver(43, sm) // one too many: to be sent again
		if h := p.expect(CommandDeliverSMResp, StatusRxTemporary); h.Sequence != 43 {
			t.Errorf("refused %d", h.Sequence)
		}
		frame, err := sm.AppendTo(nil, 41)
		if d := h.deliveries; len(d) != 2 || d[0].SM.Source.Digits != "919876543210" ||
			string(d[0].PDU) != string(mustAppend(t, frame, err)) {
			t.Fatalf("deliveries %+v", d)
		}
		for _, i := range []int{1, 0} { // later, in any order
			if err := s.Respond(StatusOK, h.deliveries[i:i+1]); err != nil {
				t.Error(err)
			}
			if got := p.expect(CommandDeliverSMResp, StatusOK); got.Sequence != h.deliveries[i].Seq {
				t.Errorf("responded %d", got.Sequence)
			}
		}
		bad := PDU{Header{Command: CommandDeliverSM, Sequence: 44}, Raw("no NUL")}
		b, err := bad.AppendTo(nil)
		p.write(mustAppend(t, b, err))
		p.expect(CommandDeliverSMResp, StatusInvParLen)
		if c := s.Counts(); c.Delivered != 2 || c.Deferred != 2 {
			t.Errorf("counts %+v", c)
		}
	})
}
