package app

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
)

// narrow is a route on which everything waits for tokens.
func (w *world) narrow(tps int) string {
	return fmt.Sprintf(`routes: [{name: sim, env: [test], addr: %q, system_id: test, password: secret, tps: %d, window: 20}]`, w.addr, tps)
}

func TestOTPOvertakesABacklog(t *testing.T) {
	w := newWorld(t, nil)
	r := w.start(w.narrow(200), nil)
	bulk := w.cleared(delivery.Bulk, "", texts(400)...)
	w.take(r, bulk)
	w.eventually("bulk flows", func() bool { return w.sim.Stats().Totals.Submits > 20 })
	began := time.Now()
	code := w.cleared(delivery.OTP, "", texts(1)...)
	w.take(r, code)
	w.all(ids(code), "Submitted")
	took, before := time.Since(began), w.sim.Stats().Totals.Submits
	if before > 380 || took > time.Second {
		t.Errorf("the code went out after %v and %d others", took, before)
	}
	t.Logf("submitted and recorded after %v", took)
	w.all(ids(bulk), "Submitted")
	w.once(401)
}

func TestBulkGetsItsFloor(t *testing.T) {
	w := newWorld(t, nil)
	r := w.start(w.narrow(200), nil)
	bulk, codes := w.cleared(delivery.Bulk, "", texts(300)...), w.cleared(delivery.OTP, "", texts(400)...)
	w.take(r, codes)
	w.take(r, bulk)
	w.eventually("most codes are out", func() bool { return w.count(ids(codes), "Submitted") > 300 })
	if got := w.count(ids(bulk), "Submitted"); got < 30 || got > 150 {
		t.Errorf("%d bulk messages beside 300 codes, want about one in five", got)
	}
}

// stuck is a store whose Record waits while it is held.
type stuck struct {
	delivery.Records
	held chan struct{} // closed when it may go on
}

func (s *stuck) Record(ctx context.Context, replica uuid.UUID, report delivery.Report) error {
	for i := range report.Results {
		if report.Results[i].Message.Parcel.Lane == delivery.Bulk {
			select {
			case <-s.held:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return s.Records.Record(ctx, replica, report)
}

// A code is submitted while a campaign's answers wait to be written down: what holds the campaign back, so that a crash
// leaves little in doubt, does not hold the code.
func TestOTPDoesNotWaitForACampaignsAnswers(t *testing.T) {
	w := newWorld(t, nil)
	held := make(chan struct{})
	r := w.start(w.oneRoute(), func(c *delivery.Config) { c.Records = &stuck{c.Records, held} })
	bulk := []*delivery.Parcel{w.cleared(delivery.Bulk, "", texts(500)...), w.cleared(delivery.Bulk, "", texts(500)...), w.cleared(delivery.Bulk, "", texts(500)...)}
	w.take(r, bulk...)
	still := func() bool { // so many answers wait that the campaign stands still
		n := w.sim.Stats().Totals.Submits
		return n >= 500 && n < 1500
	}
	w.eventually("the campaign stands still", still)
	before := w.sim.Stats().Totals.Submits
	code := w.cleared(delivery.OTP, "99955500", texts(1)...)
	w.take(r, code)
	w.eventually("the code is out", func() bool { return len(w.sim.Messages("99955500", 1)) == 1 })
	if n := w.count(ids(bulk...), "Submitted"); n != 0 {
		t.Errorf("%d of the campaign were written down", n)
	}
	if after := w.sim.Stats().Totals.Submits; after == 1501 || before > after {
		t.Errorf("%d submits: the campaign did not stand still", after)
	}
	close(held)
	w.all(ids(append(bulk, code)...), "Submitted")
	w.once(1501)
}
