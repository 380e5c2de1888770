package eventbus_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/eventbus/eventbustest"
)

func TestServiceStreams(t *testing.T) {
	got := eventbus.ServiceStreams("compliance", map[string][]string{
		"otp":     {"dispatch=onlinesms.compliance.v1.MessagesCleared.*.otp", "audit"},
		"control": {"audit"},
	})
	want := []eventbus.Stream{
		{Name: "COMPLIANCE_OTP", Subjects: []string{"onlinesms.compliance.v1.*.*.otp"}, Share: 0.2, Durables: []eventbus.Durable{
			{Name: "dispatch", Filters: []string{"onlinesms.compliance.v1.MessagesCleared.*.otp"}}, {Name: "audit"}}},
		{Name: "COMPLIANCE_INTERACTIVE", Subjects: []string{"onlinesms.compliance.v1.*.*.interactive"}, Share: 0.3},
		{Name: "COMPLIANCE_BULK", Subjects: []string{"onlinesms.compliance.v1.*.*.bulk"}, Share: 0.4},
		{Name: "COMPLIANCE_CONTROL", Subjects: []string{"onlinesms.compliance.v1.*.*.control"}, Share: 0.1,
			Durables: []eventbus.Durable{{Name: "audit"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOwnMakesStreamsAsDesigned(t *testing.T) {
	cfg := eventbustest.Run(t)
	bus(t, cfg)
	js := admin(t, cfg)
	s, err := js.Stream(t.Context(), "INGEST_OTP")
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	if c.Storage != jetstream.FileStorage || c.Retention != jetstream.LimitsPolicy || c.Discard != jetstream.DiscardNew ||
		c.MaxAge != 72*time.Hour || c.MaxBytes != int64(float64(cfg.StreamBytes)*0.2) || c.Duplicates != 2*time.Minute || c.AllowDirect ||
		!c.DenyDelete || c.MaxMsgSize != 1<<20 || c.Replicas != 1 || c.PersistMode != jetstream.DefaultPersistMode {
		t.Errorf("stream config = %+v", c)
	}
	d := durable(t, js, "INGEST_OTP", "work").Config
	if d.AckPolicy != jetstream.AckExplicitPolicy || d.AckWait != 30*time.Second || d.MaxDeliver != -1 ||
		d.MaxAckPending != 256 || d.DeliverPolicy != jetstream.DeliverAllPolicy {
		t.Errorf("durable config = %+v", d)
	}
}

// Own may be repeated, by replicas of another version too: it adds, changes filters, and never shrinks below what is
// held.
func TestOwnAgain(t *testing.T) {
	cfg := eventbustest.Run(t)
	stream := eventbus.Stream{Name: "INGEST_OTP", Subjects: []string{"onlinesms.ingest.v1.*.*.otp"}}
	b := bus(t, cfg, stream)
	for range 18 {
		if err := publishRaw(t.Context(), b, otpSubject, uuid.NewString(), make([]byte, 1<<20-1000)); err != nil {
			t.Fatal(err)
		}
	}
	cfg.StreamBytes = 1 // the least, 16 MiB, is less than the stream holds
	stream.Durables = []eventbus.Durable{{Name: "late", Filters: []string{otpSubject}}}
	bus(t, cfg, stream)
	bus(t, cfg, stream)
	stream.Durables[0].Filters = nil
	bus(t, cfg, stream)
	js := admin(t, cfg)
	s, err := js.Stream(t.Context(), "INGEST_OTP")
	if err != nil {
		t.Fatal(err)
	}
	info := s.CachedInfo()
	if info.State.Msgs != 18 || info.Config.MaxBytes < int64(info.State.Bytes) {
		t.Errorf("%d events, %d bytes of %d", info.State.Msgs, info.State.Bytes, info.Config.MaxBytes)
	}
	late := durable(t, js, "INGEST_OTP", "late")
	if late.NumPending != 18 || len(late.Config.FilterSubjects) != 0 || late.Config.FilterSubject != "" {
		t.Errorf("late durable: %d pending, filters %v %q", late.NumPending, late.Config.FilterSubjects, late.Config.FilterSubject)
	}
}

// A durable whose filter matches nothing must not hold the purge back for ever, one that lags must.
func TestPurge(t *testing.T) {
	cfg := eventbustest.Run(t)
	b := bus(t, cfg, eventbus.Stream{Name: "INGEST_BULK", Subjects: []string{"onlinesms.ingest.v1.*.*.bulk"}, Share: 0.01,
		Durables: []eventbus.Durable{{Name: "quick"}, {Name: "slow"},
			{Name: "picky", Filters: []string{"onlinesms.ingest.v1.MessagesReturned.*.bulk"}}}})
	run(t, b.RunPurge)
	js := admin(t, cfg)
	for range 12 { // of 16 MiB
		if err := publishRaw(t.Context(), b, bulkSubject, uuid.NewString(), make([]byte, 1<<20-1000)); err != nil {
			t.Fatal(err)
		}
	}
	acked := newLedger()
	ack := func(_ context.Context, batch []eventbus.Delivery) error {
		for range batch {
			acked.add(uuid.New())
		}
		return nil
	}
	run(t, func(ctx context.Context) error {
		return b.Consume(ctx, eventbus.Subscription{Stream: "INGEST_BULK", Durable: "quick", Handler: ack})
	})
	held := func() uint64 {
		s, err := js.Stream(t.Context(), "INGEST_BULK")
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().State.Msgs
	}
	eventually(t, "the quick durable is through", func() bool { return acked.len() == 12 })
	if n := held(); n != 12 {
		t.Fatalf("%d events held while a durable needs all 12", n)
	}
	run(t, func(ctx context.Context) error {
		return b.Consume(ctx, eventbus.Subscription{Stream: "INGEST_BULK", Durable: "slow", Handler: ack})
	})
	eventually(t, "the stream is purged", func() bool { return held() == 0 })
}

// A full stream refuses: the parcels wait, the lag shows it, and all arrive once there is room.
func TestFullStreamIsBackPressure(t *testing.T) {
	cfg := eventbustest.Run(t)
	b := bus(t, cfg, eventbus.Stream{Name: "INGEST_BULK", Subjects: []string{"onlinesms.ingest.v1.*.*.bulk"}, Share: 0.01,
		Durables: []eventbus.Durable{{Name: "work"}}})
	for range 16 {
		if err := publishRaw(t.Context(), b, bulkSubject, uuid.NewString(), make([]byte, 1<<20-4096)); err != nil {
			t.Fatal(err)
		}
	}
	published := newLedger()
	p := b.NewPublisher("ingest", published.published)
	run(t, p.Run)
	var ids = map[uuid.UUID]bool{}
	for range 20 {
		big := parcel(t, bulkSubject, 500, 16_000)
		ids[big.ID] = true
		p.Publish(big)
	}
	eventually(t, "the lag shows", func() bool { n, oldest := p.Lag(); return n > 0 && oldest > 500*time.Millisecond })
	run(t, b.RunPurge)
	run(t, func(ctx context.Context) error {
		return b.Consume(ctx, eventbus.Subscription{Stream: "INGEST_BULK", Durable: "work",
			Handler: func(context.Context, []eventbus.Delivery) error { return nil }})
	})
	published.await(t, ids)
}

// A stream that only outsiders read, like FEED, drops its oldest events when it is full: a tenant that does not read must
// not stop the one who publishes, and with him every stream he consumes.
func TestOutsidersHoldNobodyUp(t *testing.T) {
	cfg := eventbustest.Run(t)
	b := bus(t, cfg, eventbus.Stream{Name: "FEED", Subjects: []string{"onlinesms.feed.v1.>"}, Share: 0.01})
	for range 20 { // 16 MiB hold 16 of them
		if err := publishRaw(t.Context(), b, "onlinesms.feed.v1.MessageDelivered.live.t", uuid.NewString(), make([]byte, 1<<20-4096)); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := admin(t, cfg).Stream(t.Context(), "FEED")
	if err != nil {
		t.Fatal(err)
	}
	if state := stream.CachedInfo().State; state.LastSeq != 20 || state.FirstSeq < 4 || state.Bytes > 16<<20 {
		t.Errorf("state %+v", state)
	}
}
