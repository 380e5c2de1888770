package eventbus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/eventbus/eventbustest"
)

// A tail gets one subject's events in their order, from a time on, and goes on with those that come; it tells when none
// came for a while, and ends with its reader.
func TestTailReadsOneSubjectFromATime(t *testing.T) {
	cfg := eventbustest.Run(t)
	b := bus(t, cfg, eventbus.Stream{Name: "FEED", Subjects: []string{"onlinesms.feed.v1.>"}})
	put := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			for _, tenant := range []string{"mine", "other"} {
				if err := b.PublishRawBatch(t.Context(), []eventbus.Raw{{
					Subject: "onlinesms.feed.v1.MessagesDelivered.live." + tenant, ID: fmt.Sprint(tenant, i), Data: fmt.Append(nil, tenant, i),
				}}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	put(0, 40)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []eventbus.Delivery
	idle, enough := 0, errors.New("enough")
	options := eventbus.TailOptions{
		Stream: "FEED", Subject: "onlinesms.feed.v1.*.live.mine", From: time.Now().Add(-time.Hour), Heartbeat: 200 * time.Millisecond,
		Idle: func() error {
			if idle++; len(got) == 40 {
				put(40, 41)
			}
			return nil
		},
		Each: func(d eventbus.Delivery) error {
			if got = append(got, d); len(got) == 41 {
				return enough
			}
			return nil
		},
	}
	if err := b.Tail(ctx, options); !errors.Is(err, enough) {
		t.Fatal(err)
	}
	for i, d := range got {
		if want := fmt.Sprint("mine", i); string(d.Data) != want || d.Time.IsZero() || d.Sequence == 0 {
			t.Errorf("event %d is %s (%s, %d), want %s", i, d.Data, d.Time, d.Sequence, want)
		}
	}
	if idle == 0 {
		t.Error("nothing was told of a while without events")
	}
	var again []eventbus.Delivery
	options.From = got[30].Time
	options.Each = func(d eventbus.Delivery) error {
		if again = append(again, d); d.Sequence == got[40].Sequence {
			cancel()
		}
		return nil
	}
	if err := b.Tail(ctx, options); err != nil {
		t.Errorf("at the end of its reader: %v", err)
	}
	if len(again) != 11 || again[0].Sequence != got[30].Sequence {
		t.Errorf("%d events from the time of event 30", len(again))
	}
}
