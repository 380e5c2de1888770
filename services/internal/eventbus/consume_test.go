package eventbus_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/eventbus/eventbustest"
)

// letters is a DeadLetters in memory.
type letters struct {
	mu    sync.Mutex
	fail  error
	saved []eventbus.DeadLetter
}

func (l *letters) Save(_ context.Context, letter eventbus.DeadLetter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	l.saved = append(l.saved, letter)
	return nil
}

func (l *letters) all() []eventbus.DeadLetter {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]eventbus.DeadLetter(nil), l.saved...)
}

// consume runs a subscription of INGEST_OTP's durable "work".
func consume(t *testing.T, b *eventbus.Bus, dead eventbus.DeadLetters, handler eventbus.Handler) (stop func()) {
	t.Helper()
	return run(t, func(ctx context.Context) error {
		return b.Consume(ctx, eventbus.Subscription{Stream: "INGEST_OTP", Durable: "work", Handler: handler, DeadLetters: dead})
	})
}

// put stores events with these bodies.
func put(t *testing.T, b *eventbus.Bus, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if err := publishRaw(t.Context(), b, otpSubject, uuid.NewString(), []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
}

func settled(t *testing.T, cfg eventbus.Config) {
	t.Helper()
	js := admin(t, cfg)
	eventually(t, "all is settled", func() bool {
		info := durable(t, js, "INGEST_OTP", "work")
		return info.NumAckPending == 0 && info.NumPending == 0
	})
}

// One poison event in a batch becomes a dead letter; the others are acknowledged.
func TestPoisonIsIsolated(t *testing.T) {
	cfg := eventbustest.Run(t)
	b := bus(t, cfg)
	put(t, b, "a", "b", "poison", "c", "d")
	dead, done := &letters{}, newLedger()
	var batches atomic.Int32
	consume(t, b, dead, func(_ context.Context, batch []eventbus.Delivery) error {
		batches.Add(1)
		for _, d := range batch {
			if string(d.Data) == "poison" {
				return errs.E(errs.Invalid, "POISON", "cannot be read", nil)
			}
		}
		for range batch {
			done.add(uuid.New())
		}
		return nil
	})
	settled(t, cfg)
	saved := dead.all()
	if len(saved) != 1 || done.len() != 4 {
		t.Fatalf("%d dead letters and %d done, want 1 and 4", len(saved), done.len())
	}
	letter := saved[0]
	if string(letter.Data) != "poison" || letter.Durable != "work" || letter.Stream != "INGEST_OTP" || letter.Sequence != 3 ||
		letter.Subject != otpSubject || letter.ID == uuid.Nil || letter.Attempts != 1 || letter.Time.IsZero() ||
		letter.Reason != "invalid: POISON: cannot be read" || len(letter.Headers["Nats-Msg-Id"]) != 1 {
		t.Errorf("dead letter = %+v", letter)
	}
}

func TestForeignSubjectIsADeadLetter(t *testing.T) {
	cfg := eventbustest.Run(t)
	b := bus(t, cfg, eventbus.Stream{Name: "INGEST_OTP", Subjects: []string{"nonsense"}, Durables: []eventbus.Durable{{Name: "work"}}})
	if err := publishRaw(t.Context(), b, "nonsense", "1", []byte("x")); err != nil {
		t.Fatal(err)
	}
	dead := &letters{}
	consume(t, b, dead, func(context.Context, []eventbus.Delivery) error { return nil })
	eventually(t, "a dead letter", func() bool { return len(dead.all()) == 1 })
}

// What did not come from a bus of ours, such as an answer that somebody let the server send to our subject, reaches
// neither a handler nor the dead letters.
func TestEventWithoutTheMarkIsDropped(t *testing.T) {
	cfg := eventbustest.Run(t)
	b := bus(t, cfg)
	if _, err := admin(t, cfg).Publish(t.Context(), otpSubject, []byte("forged")); err != nil {
		t.Fatal(err)
	}
	put(t, b, "real")
	dead, got := &letters{}, make(chan string, 10)
	consume(t, b, dead, func(_ context.Context, batch []eventbus.Delivery) error {
		for _, d := range batch {
			got <- string(d.Data)
		}
		return nil
	})
	settled(t, cfg)
	if data := <-got; data != "real" || len(got) != 0 || len(dead.all()) != 0 {
		t.Errorf("handled %q, %d more, %d dead letters", data, len(got), len(dead.all()))
	}
}

// Without its dead letter stored, poison is not terminated.
func TestPoisonStaysUntilItIsSaved(t *testing.T) {
	cfg := eventbustest.Run(t)
	b := bus(t, cfg)
	put(t, b, "poison")
	dead := &letters{fail: errors.New("away")}
	attempts := make(chan int, 100)
	consume(t, b, dead, func(_ context.Context, batch []eventbus.Delivery) error {
		attempts <- batch[0].Attempt
		return errs.E(errs.Denied, "", "no", nil)
	})
	for want := 1; want <= 3; want++ {
		if got := <-attempts; got != want {
			t.Errorf("attempt %d, want %d", got, want)
		}
	}
	dead.mu.Lock()
	dead.fail = nil
	dead.mu.Unlock()
	settled(t, cfg)
	if n := len(dead.all()); n != 1 {
		t.Errorf("%d dead letters, want 1", n)
	}
}

func TestFailuresAreTriedAgain(t *testing.T) {
	for name, fail := range map[string]func() error{
		"away":      func() error { return errs.E(errs.Unavailable, "", "away", nil) },
		"not there": func() error { return errs.E(errs.NotFound, "", "later", nil) },
		"no kind":   func() error { return errors.New("x") },
		"panic":     func() error { var none []error; return none[len(none)] },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := eventbustest.Run(t)
			b := bus(t, cfg)
			put(t, b, "a")
			var calls atomic.Int32
			dead := &letters{}
			consume(t, b, dead, func(context.Context, []eventbus.Delivery) error {
				if calls.Add(1) < 4 {
					return fail()
				}
				return nil
			})
			settled(t, cfg)
			if calls.Load() != 4 || len(dead.all()) != 0 {
				t.Errorf("%d calls, %d dead letters, want 4 and 0", calls.Load(), len(dead.all()))
			}
		})
	}
}

// A handler at work for longer than AckWait keeps its events.
func TestLongWorkIsNotDeliveredTwice(t *testing.T) {
	cfg := eventbustest.Run(t)
	wait := 600 * time.Millisecond
	b := bus(t, cfg, eventbus.Stream{Name: "INGEST_OTP", Subjects: []string{"onlinesms.ingest.v1.*.*.otp"},
		Durables: []eventbus.Durable{{Name: "work", AckWait: wait}}})
	put(t, b, "a", "b", "c")
	var calls atomic.Int32
	for range 2 {
		consume(t, b, nil, func(ctx context.Context, batch []eventbus.Delivery) error {
			calls.Add(int32(len(batch)))
			<-time.After(4 * wait)
			return nil
		})
	}
	settled(t, cfg)
	if n := calls.Load(); n != 3 {
		t.Errorf("%d deliveries, want 3", n)
	}
}

// What waits is drained into full batches; a lone event is handled alone and at once.
func TestBatches(t *testing.T) {
	cfg := eventbustest.Run(t)
	b := bus(t, cfg)
	put(t, b, make([]string, 64)...)
	sizes := make(chan int, 100)
	consume(t, b, nil, func(_ context.Context, batch []eventbus.Delivery) error {
		sizes <- len(batch)
		return nil
	})
	total, batches := 0, 0
	for total < 64 {
		n := <-sizes
		if n > 16 {
			t.Fatalf("batch of %d", n)
		}
		total += n
		batches++
	}
	if batches > 8 {
		t.Errorf("64 waiting events came in %d batches, want about 4", batches)
	}
	put(t, b, "alone")
	if n := <-sizes; n != 1 {
		t.Errorf("batch of %d, want 1", n)
	}
}

func TestGate(t *testing.T) {
	cfg := eventbustest.Run(t)
	b := bus(t, cfg)
	put(t, b, "a", "b", "c")
	gate, done := make(chan struct{}), make(chan struct{}, 3)
	run(t, func(ctx context.Context) error {
		return b.Consume(ctx, eventbus.Subscription{Stream: "INGEST_OTP", Durable: "work", MaxEvents: 1,
			Gate: func(ctx context.Context) error {
				select {
				case gate <- struct{}{}:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			},
			Handler: func(context.Context, []eventbus.Delivery) error { done <- struct{}{}; return nil }})
	})
	for range 3 {
		select {
		case <-done:
			t.Fatal("handled before the gate was open")
		case <-gate:
		}
		<-done
	}
	settled(t, cfg)
}

// When a consumer stops, the batch at work finishes and what it holds is given back at once.
func TestStopFinishesAndGivesBack(t *testing.T) {
	cfg := eventbustest.Run(t)
	b := bus(t, cfg)
	put(t, b, make([]string, 40)...)
	started, finish := make(chan struct{}, 10), make(chan struct{})
	var first atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = b.Consume(ctx, eventbus.Subscription{Stream: "INGEST_OTP", Durable: "work",
			Handler: func(ctx context.Context, batch []eventbus.Delivery) error {
				started <- struct{}{}
				<-finish
				first.Add(int32(len(batch)))
				return ctx.Err()
			}})
	}()
	<-started
	cancel()
	close(finish)
	<-ended
	if first.Load() == 0 {
		t.Fatal("the batch at work did not finish")
	}
	begin := time.Now()
	var second atomic.Int32
	consume(t, b, nil, func(_ context.Context, batch []eventbus.Delivery) error {
		second.Add(int32(len(batch)))
		return nil
	})
	settled(t, cfg)
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the rest came after %v: it was not given back", took)
	}
	if n := first.Load() + second.Load(); n != 40 {
		t.Errorf("%d deliveries, want 40", n)
	}
}

func TestConsumeRefusesHalfASubscription(t *testing.T) {
	b := connect(t, eventbustest.Run(t), "audit")
	if err := b.Consume(t.Context(), eventbus.Subscription{Stream: "X", Durable: "y"}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("Consume = %v, want invalid", err)
	}
	if err := b.Hear(eventbus.Broadcast{})(t.Context()); errs.KindOf(err) != errs.Invalid {
		t.Errorf("Hear = %v, want invalid", err)
	}
}

// Every replica hears a broadcast, only what comes after it has begun, and what came while its server was away.
func TestBroadcast(t *testing.T) {
	s := eventbustest.Start(t, nil)
	b := bus(t, s.Config)
	run(t, b.RunPurge)
	subject := "onlinesms.ingest.v1.KeyRevoked.live.control"
	say := func(text string) {
		if err := publishRaw(t.Context(), b, subject, uuid.NewString(), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	say("before")
	var mu sync.Mutex
	var heard [2]bytes.Buffer
	replica := func(i int) {
		r := connect(t, s.Config, "dispatch")
		run(t, r.Hear(eventbus.Broadcast{Stream: "INGEST_CONTROL", Subjects: []string{"onlinesms.ingest.v1.KeyRevoked.*.control"},
			Handler: func(_ context.Context, d eventbus.Delivery) {
				mu.Lock()
				defer mu.Unlock()
				heard[i].Write(d.Data)
				if string(d.Data) == "panic" {
					panic("x")
				}
			}}))
	}
	replica(0)
	replica(1)
	hears := func(text string) {
		t.Helper()
		eventually(t, "both hear "+text, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return bytes.Contains(heard[0].Bytes(), []byte(text)) && bytes.Contains(heard[1].Bytes(), []byte(text))
		})
	}
	eventually(t, "both listen", func() bool {
		say("hello")
		mu.Lock()
		defer mu.Unlock()
		return heard[0].Len() > 0 && heard[1].Len() > 0
	})
	say("panic")
	say("live")
	hears("live")
	mu.Lock()
	for i := range heard {
		if bytes.Contains(heard[i].Bytes(), []byte("before")) {
			t.Errorf("replica %d heard what came before it began", i)
		}
	}
	mu.Unlock()
	s.Restart()
	eventually(t, "back", func() bool { return b.Ready() == nil })
	say("restarted")
	hears("restarted")
	s.Rebuild()
	eventually(t, "streams are back", func() bool {
		return publishRaw(t.Context(), b, subject, uuid.NewString(), []byte("rebuilt")) == nil
	})
	hears("rebuilt")
}

// A replica is not ready before it hears, and what is said once it is ready is heard. Began comes each time the
// broadcast begins to stand.
func TestReadyOnlyOnceBroadcastsStand(t *testing.T) {
	s := eventbustest.Start(t, nil)
	replica := connect(t, s.Config, "dispatch")
	heard, began := make(chan string, 10), make(chan struct{}, 10)
	run(t, replica.Hear(eventbus.Broadcast{Stream: "INGEST_CONTROL",
		Began:   func(context.Context) { began <- struct{}{}; panic("x") },
		Handler: func(_ context.Context, d eventbus.Delivery) { heard <- string(d.Data) }}))
	if err := replica.Own(t.Context(), nil); err != nil { // durability is known, the stream is not there
		t.Fatal(err)
	}
	if err := replica.Ready(); errs.KindOf(err) != errs.Unavailable {
		t.Fatalf("Ready = %v before the broadcast stands", err)
	}
	owner := bus(t, s.Config, workStreams()[:3]...) // all but INGEST_CONTROL
	if err := publishRaw(t.Context(), replica, otpSubject, "0", []byte("x")); err != nil {
		t.Errorf("a deaf replica cannot publish: %v", err)
	}
	if replica.Ready() == nil {
		t.Fatal("ready before the broadcast stands")
	}
	if err := owner.Own(t.Context(), workStreams()[3:]); err != nil {
		t.Fatal(err)
	}
	run(t, owner.RunPurge)
	eventually(t, "the replica is ready", func() bool { return replica.Ready() == nil })
	if len(began) == 0 {
		t.Error("ready, but Began was not called")
	}
	if err := publishRaw(t.Context(), owner, "onlinesms.ingest.v1.KeyRevoked.live.control", "1", []byte("revoked")); err != nil {
		t.Fatal(err)
	}
	if text := <-heard; text != "revoked" {
		t.Errorf("heard %q", text)
	}
	s.Rebuild()
	for len(began) > 0 {
		<-began
	}
	eventually(t, "the broadcast stands on the new server", func() bool { return len(began) > 0 })
}
