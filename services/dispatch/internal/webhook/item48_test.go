package webhook_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/webhook"
)

// delivery answers the one delivery of an endpoint.
func (w *world) delivery(at webhook.Place) (d webhook.Delivery) {
	w.t.Helper()
	found, err := w.store.Deliveries(w.t.Context(), webhook.Search{Tenant: w.tenant, Env: "live", Endpoint: at.Endpoint, Limit: 1})
	w.must(err)
	if len(found) == 1 {
		d = found[0]
	}
	return d
}

// Item 48: each way a receiver can misbehave has its consequence, and none costs memory.
func TestItem48ReceiversThatMisbehave(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	status := func(code int, header ...string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(header); i += 2 {
				rw.Header().Set(header[i], header[i+1])
			}
			rw.WriteHeader(code)
		}
	}
	elsewhere := w.receive(nil)
	var sent atomic.Int64
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	for name, c := range map[string]struct {
		answer  http.HandlerFunc
		state   webhook.State
		status  int
		error   string
		minimum time.Duration // to the next attempt
	}{
		"500":      {status(500), webhook.Waiting, 500, "HTTP_STATUS", 4 * time.Second},
		"redirect": {status(301, "Location", elsewhere.URL), webhook.Waiting, 301, "REDIRECT", 4 * time.Second},
		"429":      {status(429, "Retry-After", "120"), webhook.Waiting, 429, "HTTP_STATUS", 120 * time.Second},
		"503":      {status(503, "Retry-After", "86400"), webhook.Waiting, 503, "HTTP_STATUS", time.Hour},
		"gone":     {status(410), webhook.Waiting, 410, "HTTP_STATUS", 4 * time.Second},
		"reset": {func(rw http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(rw).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		}, webhook.Waiting, 0, "CONNECTION", 4 * time.Second},
		"timeout": {func(rw http.ResponseWriter, r *http.Request) {
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		}, webhook.Waiting, 0, "TIMEOUT", 4 * time.Second},
		"slow loris": {func(rw http.ResponseWriter, r *http.Request) { // a header that never ends
			conn, _, err := http.NewResponseController(rw).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			_, err = conn.Write([]byte("HTTP/1.1 200 OK\r\n"))
			for err == nil {
				select {
				case <-hang:
					return
				case <-time.After(50 * time.Millisecond):
					_, err = fmt.Fprint(conn, "X: y\r\n")
				}
			}
		}, webhook.Waiting, 0, "", 4 * time.Second},
		"1 GB": {func(rw http.ResponseWriter, _ *http.Request) {
			chunk := make([]byte, 1<<16)
			for range 1 << 14 {
				n, err := rw.Write(chunk)
				sent.Add(int64(n))
				if err != nil {
					return
				}
			}
		}, webhook.Delivered, 200, "", 0},
		"fine": {nil, webhook.Delivered, 204, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := w.another(t) // one tenant each
			r := w.receive(c.answer)
			at, _ := own.endpoint(r.URL)
			own.send(s, own.tenant, 1)
			own.until("an attempt recorded", func() bool { return own.delivery(at).Attempts > 0 })
			d := own.delivery(at)
			if d.State != c.state || d.Status != c.status || c.error != "" && d.Error != c.error {
				t.Errorf("state %d, status %d, error %s", d.State, d.Status, d.Error)
			}
			if wait := d.Due.Sub(d.Tried); c.state == webhook.Waiting && (wait < c.minimum || wait > max(7*time.Second, c.minimum+time.Second)) {
				t.Errorf("next attempt after %s, want %s", wait, c.minimum)
			}
			if name != "gone" {
				return
			}
			own.until("disabled", func() bool {
				e, err := own.store.Endpoint(t.Context(), at)
				return err == nil && e.Status == webhook.Disabled && e.DisableReason == webhook.Gone
			})
		})
	}
	t.Cleanup(func() {
		if n := sent.Load(); n == 0 || n > 64<<20 {
			t.Errorf("%d bytes of the endless body were taken", n)
		}
		if elsewhere.attempts() != 0 {
			t.Error("a redirect was followed")
		}
	})
}

// Item 48: the schedule, attempt after attempt, up to the last.
func TestItem48TheScheduleIsKept(t *testing.T) {
	w := newWorld(t)
	r := w.receive(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(500) })
	at, secret := w.endpoint(r.URL)
	s := w.start()
	w.send(s, w.tenant, 1)
	for n, want := range []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, 2 * time.Hour,
		5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour} {
		w.until("attempt", func() bool { return w.delivery(at).Attempts == n+1 })
		d := w.delivery(at)
		if wait := d.Due.Sub(d.Tried); wait < want*79/100 || wait > want*121/100 {
			t.Errorf("wait %s after attempt %d, want %s", wait, n+1, want)
		}
		w.clock.move(d.Due.Sub(w.clock.now()) + 11*time.Minute) // past a pause of the circuit too
	}
	w.until("given up", func() bool { return w.delivery(at).State == webhook.GivenUp })
	if d := w.delivery(at); d.Attempts != 12 || r.attempts() != 12 {
		t.Errorf("%d attempts, %d came", d.Attempts, r.attempts())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, tries := range r.seen {
		for i, a := range tries {
			if a.header.Get("X-SMS-Delivery-Attempt") != fmt.Sprint(i+1) || string(a.body) != string(tries[0].body) {
				t.Errorf("attempt %d: %v", i+1, a.header)
			}
		}
		if err := verify(tries[0], secret); err != nil {
			t.Error(err)
		}
	}
}

// An endpoint that fails for days is warned of after one and disabled after five; replay works once it is enabled.
func TestFailingEndpointsAreWarnedOfThenDisabledThenReplayed(t *testing.T) {
	w := newWorld(t)
	var well atomic.Bool
	r := w.receive(func(rw http.ResponseWriter, _ *http.Request) {
		if !well.Load() {
			rw.WriteHeader(500)
		}
	})
	at, _ := w.endpoint(r.URL)
	s := w.start()
	w.send(s, w.tenant, 30)
	standing := func() webhook.Endpoint {
		e, err := w.store.Endpoint(t.Context(), at)
		w.must(err)
		return e
	}
	w.until("failing", func() bool { return !standing().FailingSince.IsZero() })
	w.clock.move(25 * time.Hour)
	w.send(s, w.tenant, 1)
	w.until("warned", func() bool { return standing().Warned })
	w.clock.move(96 * time.Hour)
	w.send(s, w.tenant, 1)
	w.until("disabled", func() bool {
		return standing().Status == webhook.Disabled && standing().DisableReason == webhook.Failing
	})
	w.mu.Lock()
	var told []string
	for _, p := range w.told {
		told = append(told, strings.TrimSuffix(strings.TrimPrefix(p.Subject, "onlinesms.dispatch.v1."), ".live.control"))
	}
	w.mu.Unlock()
	if got := strings.Join(told, " "); got != "WebhookEndpointsFailing WebhookEndpointsDisabled" {
		t.Errorf("told: %s", got)
	}
	well.Store(true)
	_, err := w.service().Enable(t.Context(), at)
	w.must(err)
	w.clock.move(11 * time.Minute) // a pause of the circuit
	w.until("the rest is settled", func() bool { return w.states(at)[webhook.Waiting] == 0 })
	given := w.states(at)[webhook.GivenUp]
	n, err := w.store.Again(t.Context(), at, webhook.Replay{Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Hour), State: webhook.GivenUp, Limit: 100})
	w.must(err)
	if n != given {
		t.Errorf("%d replayed of %d given up", n, given)
	}
	w.until("replayed", func() bool { return w.states(at)[webhook.Delivered] == 32 })
	if n := r.events(); n != 32 {
		t.Errorf("%d events", n)
	}
}

// Dead endpoints, however many, never take the slots of those that work.
func TestDeadEndpointsSlowNobody(t *testing.T) {
	w := newWorld(t)
	var hanging, most atomic.Int64
	hang := make(chan struct{})
	dead := w.receive(func(_ http.ResponseWriter, r *http.Request) {
		n := hanging.Add(1)
		defer hanging.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(hang) })
	for range 45 {
		w.endpoint(dead.URL, "message.delivered")
	}
	s := w.start()
	w.send(s, w.tenant, 100) // 4,500 that hang
	w.until("the dead have what they can get", func() bool { return hanging.Load() >= 40 })
	own := w.another(t)
	fine := w.receive(nil)
	own.endpoint(fine.URL)
	own.send(s, own.tenant, 500)
	own.until("the others are served", func() bool { return fine.events() == 500 })
	if n := most.Load(); n > 64+45 { // half of the slots, and one each while nothing is known of them
		t.Errorf("%d of 128 slots were taken by dead endpoints", n)
	}
}
