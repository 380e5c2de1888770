package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	feedv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/feed/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/consumer"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/smsc"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/eventbus/eventbustest"
	"github.com/onlinesms/onlinesms/services/internal/postgres/postgrestest"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
	"github.com/onlinesms/onlinesms/services/internal/seal"
	"github.com/onlinesms/onlinesms/services/internal/secret"
	"github.com/onlinesms/onlinesms/services/internal/service"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf/devca"
)

// keyServer is ingest's ContentKeyService and its store of keys.
type keyServer struct {
	ingestv1.UnimplementedContentKeyServiceServer
	mu   sync.Mutex
	keys map[uint64][]byte
}

func (k *keyServer) Wrapped(_ context.Context, id uint64) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if wrapped, ok := k.keys[id]; ok {
		return wrapped, nil
	}
	return nil, errs.E(errs.NotFound, "NOT_FOUND", "no such key", nil)
}

func (k *keyServer) Current(_ context.Context, _ string, _ uuid.UUID, _ time.Time, _ string, mint func(uint64) ([]byte, error)) (uint64, []byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if wrapped, ok := k.keys[1]; ok {
		return 1, wrapped, nil
	}
	wrapped, err := mint(1)
	k.keys[1] = wrapped
	return 1, wrapped, err
}

func (k *keyServer) GetContentKey(ctx context.Context, req *ingestv1.GetContentKeyRequest) (*ingestv1.GetContentKeyResponse, error) {
	wrapped, err := k.Wrapped(ctx, req.KeyId)
	if err != nil {
		return nil, err
	}
	return &ingestv1.GetContentKeyResponse{WrappedKey: wrapped}, nil
}

func (k *keyServer) KeepLastingKey(_ context.Context, req *ingestv1.KeepLastingKeyRequest) (*ingestv1.KeepLastingKeyResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys[req.KeyId] = req.WrappedKey
	return &ingestv1.KeepLastingKeyResponse{KeyId: req.KeyId, WrappedKey: req.WrappedKey}, nil
}

// house is everything dispatch stands beside.
type house struct {
	t      *testing.T
	cfg    Config
	sealer *seal.Sealer
	bus    *eventbus.Bus // as compliance
	out    *eventbus.Publisher
	sim    *smsc.Server
	tenant uuid.UUID
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, tenant: uuid.New()}
	dir := t.TempDir()
	h.cfg = Config{
		Postgres: postgrestest.New(t, "dispatch", sources...).Config, Bus: eventbustest.Run(t), LeaseTTL: 2 * time.Second,
		Webhooks: WebhookConfig{Loopback: true, PerEndpoint: 8, Total: 32}, GRPCAddr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0",
		KEK: secret.File(filepath.Join(dir, "kek")), Keyring: secret.File(filepath.Join(dir, "keyring")), RoutesFile: filepath.Join(dir, "routes.yaml"),
	}
	h.startIngest(dir)
	h.startCompliance()
	h.startOperator()
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) startIngest(dir string) {
	h.must(seal.GenerateFileKEK(filepath.Join(dir, "kek")))
	kek, err := seal.ReadKEK(h.t.Context(), h.cfg.KEK, time.Now)
	h.must(err)
	h.must(seal.CreateKeyring(h.t.Context(), kek, filepath.Join(dir, "keyring"), "live", "test"))
	ring, err := seal.OpenKeyring(h.t.Context(), h.cfg.KEK, h.cfg.Keyring, time.Now)
	h.must(err)
	keys := &keyServer{keys: map[uint64][]byte{}}
	h.sealer = seal.NewSealer(ring, keys, time.Now)

	h.must(devca.Create(dir))
	files := func(name string) tlsconf.Files {
		h.must(devca.Issue(dir, name, nil, tlsconf.SPIFFEID(name)))
		return tlsconf.Files{Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+"-key.pem"), CA: filepath.Join(dir, "ca.pem")}
	}
	h.cfg.TLS = files("dispatch")
	identity, err := tlsconf.Server(files("ingest"))
	h.must(err)
	server, err := rpc.NewServer(rpc.ServerConfig{
		Addr: "127.0.0.1:0", TLS: identity, Log: slog.Default(),
		Callers: map[string][]string{
			ingestv1.ContentKeyService_GetContentKey_FullMethodName:  {"dispatch"},
			ingestv1.ContentKeyService_KeepLastingKey_FullMethodName: {"dispatch"},
		},
	}, func(r grpc.ServiceRegistrar) { ingestv1.RegisterContentKeyServiceServer(r, keys) })
	h.must(err)
	h.cfg.IngestAddr = server.Addr().String()
	h.background(server.Run)
}

// startCompliance owns the streams dispatch consumes, and ingest's for FEED.
func (h *house) startCompliance() {
	var err error
	h.bus, err = eventbus.Connect(h.t.Context(), h.cfg.Bus, "compliance")
	h.must(err)
	h.t.Cleanup(h.bus.Close)
	for _, producer := range []string{"compliance", "ingest"} {
		durables := map[string][]string{}
		for _, lane := range lanes {
			durables[lane] = []string{"feed", "webhook"}
			if producer == "compliance" {
				durables[lane] = append(durables[lane], "dispatch=onlinesms.compliance.v1.MessagesCleared.*."+lane)
			}
		}
		if producer == "compliance" {
			durables[eventbus.LaneControl] = []string{"dispatch=" + eventbus.Subject(consumer.StopsChanged, "*", eventbus.LaneControl)}
		}
		h.must(h.bus.Own(h.t.Context(), eventbus.ServiceStreams(producer, durables)))
	}
	h.out = h.bus.NewPublisher("compliance", func(context.Context, []eventbus.Parcel) {})
	h.background(h.out.Run)
}

func (h *house) startOperator() {
	sim, err := smsc.New(smsc.Config{Accounts: map[string]string{"test": "secret"}, Log: slog.New(slog.DiscardHandler)})
	h.must(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	h.must(err)
	go func() { _ = sim.Serve(l) }()
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		sim.Shutdown(ctx)
	})
	h.sim = sim
	h.must(os.WriteFile(h.cfg.RoutesFile, fmt.Appendf(nil,
		`routes: [{name: sim, env: [test], addr: %q, system_id: test, password: secret, tps: 5000}]`, l.Addr()), 0o600))
}

// background runs a task for the length of the test.
func (h *house) background(run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	h.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Error(err)
		}
	})
}

// clear publishes a cleared parcel of n messages as compliance would, and answers their ids.
func (h *house) clear(lane string, n int) []uuid.UUID {
	h.t.Helper()
	id := newID()
	wire := &compliancev1.ClearedParcel{ParcelId: id[:], TenantId: h.tenant[:], CorrelationId: id[:]}
	var messages []uuid.UUID
	for i := range n {
		message := newID()
		messages = append(messages, message)
		plain, err := proto.Marshal(&ingestv1.Content{To: fmt.Sprintf("+9198%08d", i), Text: "Order " + message.String()})
		h.must(err)
		sealed, err := h.sealer.Seal(h.t.Context(), nil, plain, seal.Binding{Env: "test", Tenant: h.tenant, Message: message, Class: seal.ClassContent})
		h.must(err)
		wire.Messages = append(wire.Messages, &compliancev1.ClearedMessage{
			MessageId: message[:], EntityId: entity, Header: header, TemplateId: template, Content: sealed, ChainHash: make([]byte, 32),
			ExpireTimeUs: time.Now().Add(time.Hour).UnixMicro(), Round: 1,
		})
	}
	payload, err := proto.Marshal(wire)
	h.must(err)
	h.out.Publish(eventbus.Parcel{
		ID: id, Tenant: h.tenant, Subject: eventbus.Subject("onlinesms.compliance.v1.MessagesCleared", "test", lane), Entries: n, Payload: payload,
	})
	return messages
}

// heard collects message ids by event from a stream.
type heard struct {
	mu     sync.Mutex
	counts map[string]map[uuid.UUID]int
}

func (x *heard) note(event string, id uuid.UUID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.counts[event] == nil {
		x.counts[event] = map[uuid.UUID]int{}
	}
	x.counts[event][id]++
}

func (x *heard) once(event string, messages []uuid.UUID) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, id := range messages {
		if x.counts[event][id] != 1 {
			return false
		}
	}
	return true
}

// listen reads dispatch's events as ingest would, and FEED as the tenant.
func (h *house) listen() *heard {
	x := &heard{counts: map[string]map[uuid.UUID]int{}}
	for _, lane := range lanes {
		h.background(func(ctx context.Context) error {
			return h.bus.Consume(ctx, eventbus.Subscription{
				Stream: eventbus.StreamName("dispatch", lane), Durable: "ingest", Handler: func(_ context.Context, batch []eventbus.Delivery) error {
					for _, d := range batch {
						pack := &dispatchv1.MessagesSubmitted{} // all of dispatch's events have its fields
						if err := proto.Unmarshal(d.Data, pack); err != nil {
							return err
						}
						for _, p := range pack.Parcels {
							for _, o := range p.Outcomes {
								x.note(d.Event, uuid.UUID(o.MessageId))
							}
						}
					}
					return nil
				},
			})
		})
	}
	h.subscribe(x)
	return x
}

// subscribe reads FEED as the tenant's own consumer does: outside of our bus.
func (h *house) subscribe(x *heard) {
	conn, err := nats.Connect(h.cfg.Bus.URL, nats.RootCAs(h.cfg.Bus.CAFile))
	h.must(err)
	h.t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	h.must(err)
	var consumer jetstream.Consumer
	until(h.t, "FEED exists", func() bool {
		consumer, err = js.CreateConsumer(h.t.Context(), "FEED", jetstream.ConsumerConfig{
			FilterSubject: "onlinesms.feed.v1.*.test." + h.tenant.String(), DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckNonePolicy,
		})
		return err == nil
	})
	reading, err := consumer.Consume(func(msg jetstream.Msg) {
		news := &feedv1.MessagesAccepted{} // all feed events have its fields
		if proto.Unmarshal(msg.Data(), news) != nil || news.TenantId != h.tenant.String() {
			h.t.Errorf("FEED event %s", msg.Subject())
		}
		for _, m := range news.Messages {
			x.note("feed "+m.State.String(), uuid.MustParse(m.MessageId))
		}
	})
	h.must(err)
	h.t.Cleanup(reading.Stop)
}

// until polls until what holds.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestServeEndToEnd(t *testing.T) {
	h := newHouse(t)
	h.must(h.cfg.Validate())
	d, err := open(t.Context(), h.cfg, slog.New(slog.DiscardHandler))
	h.must(err)
	h.must(d.observe())
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx, slog.New(slog.DiscardHandler), d.tasks()...) }()
	until(t, "ready", func() bool { return d.ready() == nil })
	x := h.listen()
	messages := append(h.clear(eventbus.LaneBulk, 500), h.clear(eventbus.LaneOTP, 1)...)
	for _, event := range []string{
		"onlinesms.dispatch.v1.MessagesSubmitted", "onlinesms.dispatch.v1.MessagesDelivered", "feed SUBMITTED", "feed DELIVERED",
	} {
		until(t, event, func() bool { return x.once(event, messages) })
	}
	until(t, "outbox empty", func() bool {
		rows, _, err := d.relay.Lag(t.Context())
		return err == nil && rows == 0
	})
	if s, want := h.sim.Stats(), uint64(501); s.Totals.Submits != want || s.Duplicates != 0 || s.TLV.AllThree != want {
		t.Errorf("operator: %+v, %+v", s.Totals, s.TLV)
	}
	stop()
	h.must(<-ended)
	d.close()
	if n := h.sim.Stats().Binds.Now; n != 0 {
		t.Errorf("%d binds after the end", n)
	}
}

func TestConfigSaysWhatIsMissing(t *testing.T) {
	if err := (Config{}).Validate(); err == nil {
		t.Error("an empty configuration is valid")
	}
}

func TestStreamsShareTheBudget(t *testing.T) {
	sum := 0.0
	for _, s := range streams() {
		sum += s.Share
	}
	if sum < 0.999 || sum > 1.001 {
		t.Errorf("shares add up to %v", sum)
	}
}
