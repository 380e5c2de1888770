package delivery

import (
	"testing"
	"time"
)

// TestWishesChanged: what was cleared before a wish is decided anew, later than any decision that may not have known it.
func TestWishesChanged(t *testing.T) {
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	heard := start.Add(time.Hour)
	w := NewWishes()
	if again, changed := w.Changed(&Message{Promotional: true, Decided: start}, start); !changed || !again.After(start) {
		t.Error("promotion goes out while nobody tells of wishes")
	}
	w.Began(start)
	promotion, all := [16]byte{1}, [16]byte{2}
	w.Heard(promotion, false, heard)
	w.Heard(all, true, heard)
	for name, c := range map[string]struct {
		m     Message
		now   time.Time
		again time.Time // zero: it may go
	}{
		"nobody objected":               {Message{Promotional: true, Decided: start.Add(time.Minute)}, heard, time.Time{}},
		"cleared before it":             {Message{Promotional: true, Recipient: promotion, Decided: heard.Add(-time.Minute)}, heard, heard.Add(wishMargin)},
		"perhaps before it":             {Message{Promotional: true, Recipient: promotion, Decided: heard.Add(wishMargin - 1)}, heard, heard.Add(wishMargin)},
		"cleared after it":              {Message{Promotional: true, Recipient: promotion, Decided: heard.Add(wishMargin)}, heard.Add(time.Hour), time.Time{}},
		"no promotion":                  {Message{Recipient: promotion, Decided: heard.Add(-time.Minute)}, heard, time.Time{}},
		"everything":                    {Message{Recipient: all, Decided: heard.Add(-time.Minute)}, heard, heard.Add(wishMargin)},
		"everything, cleared after":     {Message{Recipient: all, Decided: heard.Add(wishMargin)}, heard.Add(time.Hour), time.Time{}},
		"cleared before we listened":    {Message{Promotional: true, Decided: start.Add(-time.Minute)}, heard, start.Add(wishMargin)},
		"a code from before we did":     {Message{Decided: start.Add(-time.Minute)}, heard, time.Time{}},
		"cleared more than a day ago":   {Message{Promotional: true, Decided: start.Add(time.Minute)}, start.Add(26 * time.Hour), start.Add(26 * time.Hour)},
		"a code from more than one day": {Message{Decided: start.Add(time.Minute)}, start.Add(26 * time.Hour), time.Time{}},
	} {
		again, changed := w.Changed(&c.m, c.now)
		if changed != !c.again.IsZero() || changed && !again.Equal(c.again) {
			t.Errorf("%s: %v %v", name, again, changed)
		}
	}
	if _, changed := (*Wishes)(nil).Changed(&Message{Promotional: true}, heard); changed {
		t.Error("without wishes nothing changes")
	}
}

// TestWishesForget: what is remembered is bounded by a day of wishes.
func TestWishesForget(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	w := NewWishes()
	for i := range forgetAt - 1 {
		w.Heard([16]byte{byte(i), byte(i >> 8), byte(i >> 16)}, false, now)
	}
	w.Heard([16]byte{15: 1}, false, now.Add(wishesFor+time.Second))
	if len(w.heard) != 1 {
		t.Errorf("%d are remembered", len(w.heard))
	}
}

func BenchmarkWishesChanged(b *testing.B) {
	now := time.Now()
	w := NewWishes()
	w.Began(now.Add(-time.Hour))
	for i := range 10_000 {
		w.Heard([16]byte{byte(i), byte(i >> 8), 3: 1}, false, now)
	}
	m := &Message{Promotional: true, Decided: now.Add(-time.Minute)}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Recipient = [16]byte{byte(i), byte(i >> 8)}
		if _, changed := w.Changed(m, now); changed {
			b.Fatal("changed")
		}
	}
}
