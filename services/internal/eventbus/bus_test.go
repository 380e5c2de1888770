package eventbus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	eventv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/event/v1"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/eventbus/eventbustest"
	"github.com/onlinesms/onlinesms/services/internal/secret"
)

const (
	otpSubject  = "onlinesms.ingest.v1.MessagesAccepted.live.otp"
	bulkSubject = "onlinesms.ingest.v1.MessagesAccepted.live.bulk"
	patience    = 30 * time.Second // far beyond what anything here takes
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("EVENTBUS_TEST_SERVER"); dir != "" {
		serve(dir)
		return
	}
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// bus connects a service and owns its streams with one durable, "work", on each lane.
func bus(t testing.TB, cfg eventbus.Config, streams ...eventbus.Stream) *eventbus.Bus {
	t.Helper()
	b := connect(t, cfg, "ingest")
	if len(streams) == 0 {
		streams = workStreams()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Own(ctx, streams); err != nil {
		t.Fatalf("Own: %v", err)
	}
	return b
}

func workStreams() []eventbus.Stream {
	durables := map[string][]string{}
	for _, lane := range []string{"otp", "interactive", "bulk", "control"} {
		durables[lane] = []string{"work"}
	}
	return eventbus.ServiceStreams("ingest", durables)
}

func connect(t testing.TB, cfg eventbus.Config, service string) *eventbus.Bus {
	t.Helper()
	b, err := eventbus.Connect(context.Background(), cfg, service)
	if err != nil {
		t.Fatalf("Connect: %v", err)
	}
	t.Cleanup(b.Close)
	return b
}

// run runs a loop of the bus for the length of the test; stop ends it and waits for it.
func run(t testing.TB, loop func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := loop(ctx); err != nil {
			t.Errorf("loop: %v", err)
		}
	})
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

func parcel(t testing.TB, subject string, entries, size int) eventbus.Parcel {
	t.Helper()
	p := eventbus.Parcel{ID: uuid.Must(uuid.NewV7()), Tenant: uuid.New(), Subject: subject, Entries: entries}
	head, err := proto.Marshal(&eventv1.Parcel{ParcelId: p.ID[:], TenantId: p.Tenant[:]})
	if err != nil {
		t.Fatal(err)
	}
	entry := append([]byte{0x2a, 0x80 | byte(size&0x7f), byte(size >> 7)}, bytes.Repeat([]byte{7}, size)...) // field 5
	p.Payload = append(head, entry...)
	return p
}

func parcels(t testing.TB, subject string, n int) (all []eventbus.Parcel, ids map[uuid.UUID]bool) {
	ids = map[uuid.UUID]bool{}
	for range n {
		p := parcel(t, subject, 10, 200)
		all = append(all, p)
		ids[p.ID] = true
	}
	return all, ids
}

// ledger counts parcels by id.
type ledger struct {
	mu   sync.Mutex
	seen map[uuid.UUID]int
	more chan struct{}
}

func newLedger() *ledger { return &ledger{seen: map[uuid.UUID]int{}, more: make(chan struct{}, 1)} }

func (l *ledger) add(ids ...uuid.UUID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		l.seen[id]++
	}
	select {
	case l.more <- struct{}{}:
	default:
	}
}

func (l *ledger) handle(_ context.Context, batch []eventbus.Delivery) error {
	for _, d := range batch {
		views, err := eventbus.Parcels(d.Data)
		if err != nil {
			return err
		}
		for _, v := range views {
			l.add(v.ID)
		}
	}
	return nil
}

func (l *ledger) published(_ context.Context, done []eventbus.Parcel) {
	for _, p := range done {
		l.add(p.ID)
	}
}

func (l *ledger) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.seen)
}

// await waits until all ids were seen.
func (l *ledger) await(t testing.TB, ids map[uuid.UUID]bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		missing := 0
		l.mu.Lock()
		for id := range ids {
			if l.seen[id] == 0 {
				missing++
			}
		}
		l.mu.Unlock()
		if missing == 0 {
			return
		}
		select {
		case <-l.more:
		case <-deadline:
			t.Fatalf("%d of %d parcels are missing", missing, len(ids))
		}
	}
}

// eventually polls with a deadline.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// admin is a client beside the bus, to look at and to break things.
func admin(t testing.TB, cfg eventbus.Config) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(cfg.URL, nats.RootCAs(cfg.CAFile), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func durable(t testing.TB, js jetstream.JetStream, stream, name string) *jetstream.ConsumerInfo {
	t.Helper()
	c, err := js.Consumer(t.Context(), stream, name)
	if err != nil {
		t.Fatalf("consumer %s of %s: %v", name, stream, err)
	}
	return c.CachedInfo()
}

func TestPublishAndConsume(t *testing.T) {
	cfg := eventbustest.Run(t)
	b := bus(t, cfg)
	published, consumed := newLedger(), newLedger()
	p := b.NewPublisher("ingest", published.published)
	run(t, p.Run)
	var largest int
	for _, stream := range []string{"INGEST_OTP", "INGEST_BULK"} {
		run(t, func(ctx context.Context) error {
			return b.Consume(ctx, eventbus.Subscription{Stream: stream, Durable: "work",
				Handler: func(ctx context.Context, batch []eventbus.Delivery) error {
					for _, d := range batch {
						views, _ := eventbus.Parcels(d.Data)
						if stream == "INGEST_OTP" {
							largest = max(largest, len(views))
						}
						head, err := eventbus.Metadata(d.Data)
						if err != nil || head.GetProducer() != "ingest" || d.Event != "onlinesms.ingest.v1.MessagesAccepted" ||
							d.Env != "live" || d.Time.IsZero() || d.ID == "" || d.Stream != stream || d.Sequence == 0 {
							return errors.New("delivery is not filled in")
						}
					}
					return consumed.handle(ctx, batch)
				}})
		})
	}
	otp, otpIDs := parcels(t, otpSubject, 300)
	bulk, bulkIDs := parcels(t, bulkSubject, 300)
	p.Publish(otp...)
	p.Publish(bulk...)
	for _, ids := range []map[uuid.UUID]bool{otpIDs, bulkIDs} {
		published.await(t, ids)
		consumed.await(t, ids)
	}
	if largest > 5 { // 10 entries a parcel, 50 an event
		t.Errorf("an OTP event held %d parcels of 10 messages", largest)
	}
	eventually(t, "nothing is held", func() bool { n, _ := p.Lag(); return n == 0 })
	js := admin(t, cfg)
	eventually(t, "all is acknowledged", func() bool {
		info := durable(t, js, "INGEST_OTP", "work")
		return info.NumAckPending == 0 && info.NumPending == 0
	})
	if n := durable(t, js, "INGEST_BULK", "work").NumRedelivered; n != 0 {
		t.Errorf("%d redelivered", n)
	}
}

func TestRepublicationIsStoredOnce(t *testing.T) {
	cfg := eventbustest.Run(t)
	b := bus(t, cfg)
	for range 2 {
		if err := publishRaw(t.Context(), b, otpSubject, "same", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	s, err := admin(t, cfg).Stream(t.Context(), "INGEST_OTP")
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("%d stored, want 1", n)
	}
}

func TestPublishRawBatch(t *testing.T) {
	cfg := eventbustest.Run(t)
	b := bus(t, cfg, eventbus.Stream{Name: "FEED", Subjects: []string{"onlinesms.feed.v1.>"}})
	var batch []eventbus.Raw
	for i := range 200 {
		batch = append(batch, eventbus.Raw{Subject: "onlinesms.feed.v1.MessageDelivered.live." + uuid.NewString(),
			ID: fmt.Sprint(i), Data: []byte("x")})
	}
	if err := b.PublishRawBatch(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	s, err := admin(t, cfg).Stream(t.Context(), "FEED")
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != 200 {
		t.Errorf("%d stored, want 200", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := publishRaw(ctx, b, "nobody.listens", "1", nil); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("without a stream: %v, want unavailable", err)
	}
}

func TestConnectWhileNATSIsAway(t *testing.T) {
	s := eventbustest.Start(t, nil)
	s.Stop()
	b := connect(t, s.Config, "ingest")
	if err := b.Ready(); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("Ready = %v, want unavailable", err)
	}
	owned := make(chan error, 1)
	go func() { owned <- b.Own(t.Context(), eventbus.ServiceStreams("ingest", nil)) }()
	s.Start()
	select {
	case err := <-owned:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("Own did not return")
	}
	if err := b.Ready(); err != nil {
		t.Errorf("Ready = %v", err)
	}
}

func TestNothingIsPublishedToAServerThatMayForget(t *testing.T) {
	s := eventbustest.Start(t, func(o *natsserver.Options) { o.SyncAlways = false })
	b := connect(t, s.Config, "ingest")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := b.Own(ctx, eventbus.ServiceStreams("ingest", nil)); err == nil {
		t.Error("Own accepts a server that does not sync always")
	}
	if err := b.Ready(); err == nil {
		t.Error("Ready on a server that does not sync always")
	}
	js := admin(t, s.Config)
	if _, err := js.Stream(t.Context(), "INGEST_OTP"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("stream: %v, want none", err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "INGEST_OTP", Subjects: []string{"onlinesms.>"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := publishRaw(ctx, b, otpSubject, "1", nil); err == nil {
		t.Error("published to a server that does not sync always")
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.Msgs != 0 {
		t.Errorf("stream holds %v, %v", info.State.Msgs, err)
	}
}

func TestOwnWithoutMonitor(t *testing.T) {
	cfg := eventbustest.Run(t)
	cfg.MonitorURL = ""
	if err := connect(t, cfg, "ingest").Own(t.Context(), nil); errs.KindOf(err) != errs.Invalid {
		t.Errorf("Own = %v, want invalid", err)
	}
}

func TestConnectRefusesSettings(t *testing.T) {
	good := eventbustest.Run(t)
	for name, change := range map[string]func(*eventbus.Config){
		"plain bus":         func(c *eventbus.Config) { c.URL = strings.Replace(c.URL, "tls:", "nats:", 1) },
		"one of two plain":  func(c *eventbus.Config) { c.URL += ",nats://127.0.0.1:1" },
		"malformed":         func(c *eventbus.Config) { c.URL = "tls://%zz" },
		"plain monitoring":  func(c *eventbus.Config) { c.MonitorURL = strings.Replace(c.MonitorURL, "https:", "http:", 1) },
		"no authorities":    func(c *eventbus.Config) { c.CAFile = "" },
		"empty authorities": func(c *eventbus.Config) { c.CAFile = os.DevNull },
	} {
		cfg := good
		change(&cfg)
		if _, err := eventbus.Connect(t.Context(), cfg, "ingest"); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: Connect = %v, want invalid", name, err)
		}
	}
	good.Creds = secret.File(t.TempDir() + "/none")
	if b, err := eventbus.Connect(t.Context(), good, "ingest"); err == nil {
		defer b.Close()
		if b.Ready() == nil {
			t.Error("ready without credentials")
		}
	}
}

// publishRaw stores one event as the FEED's are stored.
func publishRaw(ctx context.Context, b *eventbus.Bus, subject, id string, data []byte) error {
	return b.PublishRawBatch(ctx, []eventbus.Raw{{Subject: subject, ID: id, Data: data}})
}
