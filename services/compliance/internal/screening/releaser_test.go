package screening_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
)

// TestReleaserRuns: a due hold goes out at the next tick.
func TestReleaserRuns(t *testing.T) {
	h := newHouse(t, noon)
	p := h.parcel(otp, "ABCBNK", screening.Content{Text: "482913 is your OTP for ABC login. Do not share it. - ABCBNK"})
	p.Messages[0].Schedule = noon.Add(time.Hour).UnixMicro()
	if out := h.screen(p); out.Messages[0].Codes[0] != policy.Scheduled {
		t.Fatalf("%+v", out)
	}
	h.now = noon.Add(time.Hour)
	ticks := make(chan time.Time)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- screening.NewReleaser(h.screener, []string{"otp", "bulk"}, ticks, 16000).Run(ctx) }()
	ticks <- h.now
	ticks <- h.now // the first tick's work is done when the second is taken
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if out := h.store.Outgoing(); len(out) != 2 || out[1].Outcome != policy.Cleared {
		t.Errorf("%+v", out)
	}
}

// TestSmoothRelease (requirement 75): what is held for 10:00 goes out by so many a tick, every tenant its share each time;
// what has not gone by 21:00 waits for the next day, or ends with its validity (requirement 26).
func TestSmoothRelease(t *testing.T) {
	night := time.Date(2026, 11, 23, 22, 0, 0, 0, policy.IST)
	h := newHouse(t, night)
	big, small := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	text := screening.Content{Text: "Fresh stock at ABC stores till Sunday. Opt out: https://abc.in/stop?x=1 - ABC"}
	hold := func(tenant uuid.UUID, n int, expire time.Time) {
		for range n {
			p := h.parcel(stock, "512345", text)
			p.Tenant, p.Messages[0].Expire = tenant, expire.UnixMicro()
			h.screen(p)
		}
	}
	hold(big, 8, night.Add(48*time.Hour))
	hold(small, 2, night.Add(48*time.Hour))
	hold(big, 1, night.Add(23*time.Hour)) // until 21:00
	h.now = time.Date(2026, 11, 24, 10, 0, 0, 0, policy.IST)
	released := func() (byTenant map[uuid.UUID]int, last policy.Outcome, codes []string) {
		before := len(h.store.Outgoing())
		if _, err := h.store.Release(t.Context(), "bulk", h.now, 4, h.screener.Decide); err != nil {
			t.Fatal(err)
		}
		byTenant = map[uuid.UUID]int{}
		for _, o := range h.store.Outgoing()[before:] {
			byTenant[o.Tenant]++
			last, codes = o.Outcome, o.Messages[0].Codes
		}
		return byTenant, last, codes
	}
	for i, want := range []map[uuid.UUID]int{{big: 2, small: 2}, {big: 4}} {
		if got, outcome, _ := released(); !cmp.Equal(got, want) || outcome != policy.Cleared {
			t.Errorf("tick %d: %v %s", i, got, outcome)
		}
	}
	h.now = time.Date(2026, 11, 24, 21, 0, 0, 0, policy.IST)
	if got, outcome, codes := released(); got[big] != 3 || outcome != policy.Refused || codes[0] != policy.MessageExpired {
		t.Errorf("at 21:00: %v %s %v", got, outcome, codes)
	}
	if got, _, _ := released(); len(got) != 0 {
		t.Errorf("what waits for the next day was released: %v", got)
	}
}

// TestOneDamagedHoldStopsNoOther: it is put off, what is due beside it goes out.
func TestOneDamagedHoldStopsNoOther(t *testing.T) {
	h := newHouse(t, noon)
	var held []screening.Parcel
	for range 3 {
		p := h.parcel(otp, "ABCBNK", screening.Content{Text: "482913 is your OTP for ABC login. Do not share it. - ABCBNK"})
		p.Messages[0].Schedule = noon.Add(time.Hour).UnixMicro()
		h.screen(p)
		held = append(held, p)
	}
	h.contents.broken = map[uuid.UUID]bool{held[0].Messages[0].ID: true}
	h.now = noon.Add(time.Hour)
	ticks := make(chan time.Time)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- screening.NewReleaser(h.screener, []string{"bulk"}, ticks, 16000).Run(ctx) }()
	ticks <- h.now
	ticks <- h.now
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	cleared := map[uuid.UUID]bool{}
	for _, o := range h.store.Outgoing()[3:] {
		cleared[o.Messages[0].ID] = o.Outcome == policy.Cleared
	}
	want := map[uuid.UUID]bool{held[1].Messages[0].ID: true, held[2].Messages[0].ID: true}
	if diff := cmp.Diff(want, cleared); diff != "" {
		t.Error(diff)
	}
}
