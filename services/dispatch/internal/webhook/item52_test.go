package webhook_test

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"hash/fnv"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	store "github.com/onlinesms/onlinesms/services/dispatch/internal/postgres"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/webhook"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/seal"
	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// childSettings make the test binary a sender: a process that can be killed.
const childSettings = "WEBHOOK_TEST_SENDER"

type sending struct {
	Worker    string // PostgreSQL's addresses, which a Config does not show
	Tenant    string
	KEK, Ring string
	Keys      map[uint64]string // wrapped, hex
	Roots     []byte            // DER
	Ahead     time.Duration     // how far its clock is ahead when it starts
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childSettings); text != "" {
		if err := beSender(text); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

// beSender sends what is due until it is killed. Its clock runs fast: a second is a minute, so that leases of senders
// that were killed, and waits of the schedule, end soon.
func beSender(text string) error {
	var s sending
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	ctx := context.Background()
	ring, err := seal.OpenKeyring(ctx, secret.File(s.KEK), secret.File(s.Ring), time.Now)
	if err != nil {
		return err
	}
	keys := &keyStore{keys: map[uint64][]byte{}}
	for id, wrapped := range s.Keys {
		if keys.keys[id], err = hex.DecodeString(wrapped); err != nil {
			return err
		}
	}
	leaf, err := x509.ParseCertificate(s.Roots)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	db, err := postgres.Open(ctx, postgres.Config{URL: secret.Ref(s.Worker), TenantURL: secret.Ref(s.Tenant), MaxConns: 8})
	if err != nil {
		return err
	}
	begin := time.Now()
	fast := func() time.Time { return begin.Add(s.Ahead + 60*time.Since(begin)) }
	w := store.NewWebhooks(db, func(...eventbus.Parcel) {}, newID, fast)
	return webhook.NewEngine(webhook.EngineConfig{
		Directory: webhook.NewDirectory(w, vault{seal.NewSealer(ring, keys, time.Now)}, fast), Queue: w, Health: w,
		Client: webhook.NewClient(webhook.NewGuard(nil, true), roots, 32, fast), Log: slog.Default(), Now: fast, PerEndpoint: 32, Total: 128,
	}).Run(ctx)
}

// Item 52: events for two endpoints, 30 % of the answers failures, the sender killed three times, two senders at work: none is
// lost, and what comes twice comes under its id.
func TestItem52NothingIsLost(t *testing.T) {
	events := 100_000
	if testing.Short() {
		events = 6_000
	}
	if text := os.Getenv("SOAK_EVENTS"); text != "" { // make soak
		n, err := strconv.Atoi(text)
		if err != nil || n < 500 {
			t.Fatalf("SOAK_EVENTS=%s", text)
		}
		events = n
	}
	w := newWorld(t)
	var mu sync.Mutex
	taken := map[string]int{} // answered 2xx, by event
	var verified atomic.Bool
	r := w.receive(nil)
	inner := r.Config.Handler
	r.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		id, try := req.Header.Get("X-SMS-Event-Id"), req.Header.Get("X-SMS-Delivery-Attempt")
		h := fnv.New32a()
		h.Write([]byte(id + try))
		// The fourth attempt is taken: the waits behind it are hours, and minutes of this test.
		if verified.Load() && try < "4" && h.Sum32()%10 < 3 {
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		inner.ServeHTTP(rw, req)
		if verified.Load() { // else it was the challenge
			mu.Lock()
			taken[id]++
			mu.Unlock()
		}
	})
	at, _ := w.endpoint(r.URL)
	verified.Store(true)
	intake := webhook.NewIntake(webhook.NewDirectory(w.store, w.sealer, time.Now), w.store, nil, time.Now)
	begin := time.Now()
	senders := []*exec.Cmd{w.sender(t, r, begin), w.sender(t, r, begin)}
	for n := 0; n < events; n += 500 {
		d := delivered(t, w.tenant, min(500, events-n))
		w.must(intake.Handle(t.Context(), []eventbus.Delivery{d}))
		if n%5_000 == 0 { // the bus delivers again what a killed process has not acknowledged
			w.must(intake.Handle(t.Context(), []eventbus.Delivery{d}))
		}
	}
	came := func() int { mu.Lock(); defer mu.Unlock(); return len(taken) }
	for crash := range 3 {
		w.until("some came", func() bool { return came() > events*(crash+1)/5 })
		w.must(senders[crash%2].Process.Kill())
		_ = senders[crash%2].Wait()
		senders[crash%2] = w.sender(t, r, begin)
	}
	last, stuck := 0, time.Now()
	for came() < events {
		if n := came(); n > last {
			last, stuck = n, time.Now()
		}
		if time.Since(stuck) > patience {
			t.Fatalf("%d of %d came, states %v", last, events, w.states(at))
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.until("all recorded", func() bool { return w.states(at)[webhook.Delivered] == events })
	mu.Lock()
	defer mu.Unlock()
	twice := 0
	for _, n := range taken {
		twice += n - 1
	}
	if len(taken) != events { // an id of our making, or a duplicate under another id
		t.Errorf("%d ids for %d events", len(taken), events)
	}
	t.Logf("%d events, 0 lost, %d duplicates under their ids, %.0f/s", events, twice, float64(events)/time.Since(begin).Seconds())
}

// sender starts a process that sends.
func (w *world) sender(t *testing.T, r *receiver, begin time.Time) *exec.Cmd {
	t.Helper()
	s := sending{Worker: string(w.db.Config.URL), Tenant: string(w.db.Config.TenantURL), KEK: w.kek, Ring: w.ring, Keys: map[uint64]string{}, Roots: r.Certificate().Raw, Ahead: 60 * time.Since(begin)}
	w.keys.mu.Lock()
	for id, wrapped := range w.keys.keys {
		s.Keys[id] = hex.EncodeToString(wrapped)
	}
	w.keys.mu.Unlock()
	text, err := json.Marshal(s)
	w.must(err)
	cmd := exec.CommandContext(context.Background(), os.Args[0])
	cmd.Env = append(os.Environ(), childSettings+"="+string(text))
	cmd.Stderr = os.Stderr
	w.must(cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}
