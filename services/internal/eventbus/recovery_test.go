package eventbus_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/eventbus/eventbustest"
)

// serve is this test binary as a nats-server of its own process, to be killed.
func serve(dir string) {
	var port, monitor int
	if _, err := fmt.Sscan(os.Getenv("EVENTBUS_TEST_PORTS"), &port, &monitor); err != nil {
		panic(err)
	}
	options := &natsserver.Options{Host: "127.0.0.1", Port: port, HTTPHost: "127.0.0.1",
		JetStream: true, StoreDir: dir, SyncAlways: true, NoSigs: true, NoLog: true,
		JetStreamMaxStore: 4 << 30, JetStreamMaxMemory: 64 << 20}
	if certificates := os.Getenv("EVENTBUS_TEST_TLS"); certificates == "" {
		options.HTTPPort = monitor
	} else if err := eventbustest.Secure(certificates, options); err != nil {
		panic(err)
	} else {
		options.HTTPSPort = monitor
	}
	server, err := natsserver.NewServer(options)
	if err != nil {
		panic(err)
	}
	server.Start()
	if !server.ReadyForConnections(patience) {
		panic("not ready")
	}
	fmt.Println(server.Addr().(*net.TCPAddr).Port, server.MonitorAddr().Port)
	server.WaitForShutdown()
}

// process is a nats-server in a process of its own.
type process struct {
	t             testing.TB
	dir           string
	certificates  string // directory; empty: a server without TLS
	port, monitor int
	cmd           *exec.Cmd
}

func startProcess(t testing.TB) *process {
	return startProcessWith(t, t.TempDir())
}

func startProcessWith(t testing.TB, certificates string) *process {
	p := &process{t: t, dir: t.TempDir(), certificates: certificates, port: -1, monitor: -1}
	p.start()
	t.Cleanup(p.kill)
	return p
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), "EVENTBUS_TEST_SERVER="+p.dir, fmt.Sprintf("EVENTBUS_TEST_PORTS=%d %d", p.port, p.monitor),
		"EVENTBUS_TEST_TLS="+p.certificates)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.t.Fatalf("server did not start: %v", err)
	}
	if _, err := fmt.Sscan(line, &p.port, &p.monitor); err != nil {
		p.t.Fatal(err)
	}
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func (p *process) config() eventbus.Config {
	if p.certificates == "" {
		return eventbus.Config{URL: fmt.Sprintf("nats://127.0.0.1:%d", p.port),
			MonitorURL: fmt.Sprintf("http://127.0.0.1:%d", p.monitor), StreamBytes: 256 << 20}
	}
	return eventbus.Config{URL: fmt.Sprintf("tls://127.0.0.1:%d", p.port), CAFile: filepath.Join(p.certificates, "ca.pem"),
		MonitorURL: fmt.Sprintf("https://127.0.0.1:%d", p.monitor), StreamBytes: 256 << 20}
}

// flow publishes n parcels in small lots, republishes what was not confirmed as the outbox relay would, and calls
// disturb in between.
func flow(t *testing.T, b *eventbus.Bus, n int, disturb func(i int)) {
	t.Helper()
	published, consumed := newLedger(), newLedger()
	p := b.NewPublisher("ingest", published.published)
	run(t, p.Run)
	run(t, b.RunPurge)
	for range 2 { // two replicas share the durable
		run(t, func(ctx context.Context) error {
			return b.Consume(ctx, eventbus.Subscription{Stream: "INGEST_OTP", Durable: "work", Handler: consumed.handle})
		})
	}
	all, ids := parcels(t, otpSubject, n)
	lot := max(1, n/20)
	for i := 0; i < n; i += lot {
		p.Publish(all[i:min(i+lot, n)]...)
		published.awaitAny(t, i/2)
		disturb(i / lot)
	}
	relay := time.NewTicker(12 * time.Second)
	defer relay.Stop()
	deadline := time.After(2 * patience)
	for published.missing(ids) > 0 {
		select {
		case <-published.more:
		case <-relay.C:
			for _, parcel := range all {
				if !published.has(parcel.ID) {
					p.Publish(parcel)
				}
			}
		case <-deadline:
			t.Fatalf("%d of %d parcels were never stored", published.missing(ids), n)
		}
	}
	consumed.await(t, ids)
}

// awaitAny waits until at least n parcels were seen.
func (l *ledger) awaitAny(t testing.TB, n int) {
	t.Helper()
	eventually(t, fmt.Sprint(n, " parcels"), func() bool { return l.len() >= n })
}

func (l *ledger) has(id uuid.UUID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[id] > 0
}

func (l *ledger) missing(ids map[uuid.UUID]bool) (n int) {
	for id := range ids {
		if !l.has(id) {
			n++
		}
	}
	return n
}

func TestServerRestarts(t *testing.T) {
	s := eventbustest.Start(t, nil)
	flow(t, bus(t, s.Config), 600, func(i int) {
		if i == 5 || i == 12 {
			s.Restart()
		}
	})
}

func TestServerIsKilled(t *testing.T) {
	s := startProcess(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	flow(t, bus(t, s.config()), 1000, func(int) {
		if random.IntN(5) == 0 {
			s.kill()
			s.start()
		}
	})
}

// A rebuilt server has lost every stream: they are made again, and what the outbox still has is stored again.
func TestServerIsRebuilt(t *testing.T) {
	s := eventbustest.Start(t, nil)
	b := bus(t, s.Config)
	published, consumed := newLedger(), newLedger()
	p := b.NewPublisher("ingest", published.published)
	run(t, p.Run)
	run(t, b.RunPurge)
	run(t, func(ctx context.Context) error {
		return b.Consume(ctx, eventbus.Subscription{Stream: "INGEST_OTP", Durable: "work", Handler: consumed.handle})
	})
	for range 2 {
		all, ids := parcels(t, otpSubject, 100)
		p.Publish(all...)
		consumed.await(t, ids)
		s.Rebuild()
	}
	all, ids := parcels(t, otpSubject, 100)
	p.Publish(all...)
	published.await(t, ids)
	consumed.await(t, ids)
}

func TestStreamAndDurableAreDeleted(t *testing.T) {
	cfg := eventbustest.Run(t)
	b := bus(t, cfg)
	js := admin(t, cfg)
	published, consumed := newLedger(), newLedger()
	p := b.NewPublisher("ingest", published.published)
	run(t, p.Run)
	run(t, b.RunPurge)
	run(t, func(ctx context.Context) error {
		return b.Consume(ctx, eventbus.Subscription{Stream: "INGEST_OTP", Durable: "work", Handler: consumed.handle})
	})
	for _, destroy := range []func() error{
		func() error { return nil },
		func() error { return js.DeleteConsumer(t.Context(), "INGEST_OTP", "work") },
		func() error { return js.DeleteStream(t.Context(), "INGEST_OTP") },
	} {
		if err := destroy(); err != nil {
			t.Fatal(err)
		}
		all, ids := parcels(t, otpSubject, 50)
		p.Publish(all...)
		published.await(t, ids)
		consumed.await(t, ids)
	}
}

// A consumer may start before the producer has ever run.
func TestConsumeWaitsForItsStream(t *testing.T) {
	cfg := eventbustest.Run(t)
	consumed := newLedger()
	reader := connect(t, cfg, "audit")
	run(t, func(ctx context.Context) error {
		return reader.Consume(ctx, eventbus.Subscription{Stream: "INGEST_OTP", Durable: "work", Handler: consumed.handle})
	})
	b := bus(t, cfg)
	p := b.NewPublisher("ingest", nil)
	run(t, p.Run)
	all, ids := parcels(t, otpSubject, 3)
	p.Publish(all...)
	consumed.await(t, ids)
}

// Publisher.Run drains when it is stopped.
func TestPublisherDrains(t *testing.T) {
	b := bus(t, eventbustest.Run(t))
	published := newLedger()
	p := b.NewPublisher("ingest", published.published)
	all, ids := parcels(t, bulkSubject, 2000)
	p.Publish(all...) // before Run: kept
	stop := run(t, p.Run)
	stop()
	if n := published.missing(ids); n > 0 {
		t.Errorf("%d parcels were not published before Run returned", n)
	}
	if n, _ := p.Lag(); n != 0 {
		t.Errorf("%d parcels are still held", n)
	}
}

// Stopping while NATS is away is bounded: the parcels are in the outbox.
func TestPublisherStopsWithoutNATS(t *testing.T) {
	s := eventbustest.Start(t, nil)
	b := bus(t, s.Config)
	s.Stop()
	p := b.NewPublisher("ingest", nil)
	all, _ := parcels(t, bulkSubject, 10)
	stop := run(t, p.Run)
	p.Publish(all...)
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

// The memory is bounded, and a campaign leaves room for codes.
func TestPublisherMemoryIsBounded(t *testing.T) {
	b := connect(t, eventbustest.Run(t), "ingest")
	p := b.NewPublisher("ingest", nil)
	big := parcel(t, bulkSubject, 500, 100)
	big.Payload = make([]byte, 1<<20)
	for range 100 {
		big.ID = uuid.New()
		p.Publish(big, big) // the second time it is held already
	}
	n, _ := p.Lag()
	if n < 50 || n > 56 {
		t.Errorf("%d MiB of bulk are held, want at most 7/8 of 64", n)
	}
	p.Publish(parcel(t, otpSubject, 1, 100))
	if after, _ := p.Lag(); after != n+1 {
		t.Error("no room for a code beside a campaign")
	}
}
