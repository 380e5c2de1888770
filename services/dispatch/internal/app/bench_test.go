package app

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	store "github.com/onlinesms/onlinesms/services/dispatch/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// cpu is this process's CPU time, the simulator's part included.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkEngine brings single-segment messages from Take to Delivered: queue, intents, submits over loopback to the
// simulator in this process, results, receipts, events. One iteration is a parcel of 500 bulk messages.
func BenchmarkEngine(b *testing.B) {
	w := newWorld(b, nil)
	var delivered atomic.Int64
	r := w.start(fmt.Sprintf(`routes: [{name: sim, env: [test], addr: %q, system_id: test, password: secret, binds: 2, window: 1000, tps: 100000}]`, w.addr),
		func(c *delivery.Config) {
			s := store.New(w.db.DB.Worker, func(parcels ...eventbus.Parcel) {
				for _, p := range parcels {
					if p.Subject == "onlinesms.dispatch.v1.MessagesDelivered.test.bulk" {
						delivered.Add(int64(p.Entries))
					}
				}
			}, recipientOf, newID, time.Now)
			c.Queue, c.Intents, c.Records, c.Leases = s, s, s, s
		})
	w.take(r, w.cleared(delivery.Bulk, "", texts(10)...))
	w.eventually("warm", func() bool { return delivered.Load() == 10 })
	parcels := make([]*delivery.Parcel, b.N)
	for i := range parcels {
		parcels[i] = w.cleared(delivery.Bulk, "", texts(500)...)
	}
	before := cpu()
	b.ResetTimer()
	for i := range parcels {
		w.take(r, parcels[i])
	}
	w.eventually("all delivered", func() bool { return delivered.Load() == int64(10+500*b.N) })
	b.StopTimer()
	n := float64(500 * b.N)
	b.ReportMetric(n/b.Elapsed().Seconds(), "msgs/s")
	b.ReportMetric(float64((cpu()-before).Microseconds())/n, "cpu-us/msg")
	w.once(10 + 500*b.N)
}
