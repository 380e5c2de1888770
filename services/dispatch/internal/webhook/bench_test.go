package webhook_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// BenchmarkDeliveries brings events from the bus's bytes to a TLS receiver in this process, results recorded: an
// iteration is an event of 500 messages. The receiver's part of the processor is in it.
func BenchmarkDeliveries(b *testing.B) {
	w := newWorld(b)
	var came atomic.Int64
	r := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		came.Add(1)
		rw.WriteHeader(http.StatusNoContent)
	}))
	r.StartTLS()
	b.Cleanup(r.Close)
	check := w.receive(nil) // answers the challenge
	w.roots.AddCert(r.Certificate())
	at, _ := w.endpoint(check.URL)
	_, err := w.db.DB.Worker.Exec(b.Context(), `UPDATE webhook_endpoints SET url = $1, ed25519 = false WHERE endpoint_id = $2`, r.URL, at.Endpoint)
	w.must(err)
	s := w.start()
	events := make([]eventbus.Delivery, b.N)
	for i := range events {
		events[i] = delivered(b, w.tenant, 500)
	}
	b.ResetTimer()
	for i := range events {
		w.must(s.intake.Handle(b.Context(), events[i:i+1]))
	}
	for came.Load() < int64(500*b.N) {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(500*b.N)/b.Elapsed().Seconds(), "deliveries/s")
}
