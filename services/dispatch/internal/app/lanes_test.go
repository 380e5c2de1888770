package app

import (
	"fmt"
	"testing"
	"time"

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
