package app

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	store "github.com/onlinesms/onlinesms/services/compliance/internal/postgres"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
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

const (
	entity   = "1701158019811140068"
	otp      = "1107160000000000011"
	shipped  = "1107160000000000022"
	stock    = "1107160000000000033"
	otpText  = "482913 is your OTP for ABC login. Do not share it. - ABCBNK"
	patience = 20 * time.Second
)

// clock is the service's time, set by the test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = t
}

// dataKeys keeps wrapped keys in memory, as ingest does in PostgreSQL, and hands them out.
type dataKeys struct {
	ingestv1.UnimplementedContentKeyServiceServer

	mu   sync.Mutex
	ids  map[string]uint64
	keys [][]byte
}

func (k *dataKeys) Current(_ context.Context, env string, tenant uuid.UUID, day time.Time, class string, mint func(uint64) ([]byte, error)) (uint64, []byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	place := env + tenant.String() + day.String() + class
	if id, ok := k.ids[place]; ok {
		return id, k.keys[id-1], nil
	}
	id := uint64(len(k.keys) + 1)
	wrapped, err := mint(id)
	k.keys, k.ids[place] = append(k.keys, wrapped), id
	return id, wrapped, err
}

func (k *dataKeys) Wrapped(_ context.Context, id uint64) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys[id-1], nil
}

func (k *dataKeys) GetContentKey(ctx context.Context, req *ingestv1.GetContentKeyRequest) (*ingestv1.GetContentKeyResponse, error) {
	wrapped, err := k.Wrapped(ctx, req.GetKeyId())
	return &ingestv1.GetContentKeyResponse{WrappedKey: wrapped}, err
}

// world is everything around compliance: database, NATS, ingest and dispatch as far as compliance sees them.
type world struct {
	t         testing.TB
	cfg       Config
	database  *postgrestest.Database
	files     map[string]tlsconf.Files
	sealer    *seal.Sealer
	keyring   *seal.Keyring
	clock     *clock
	ingest    *eventbus.Publisher
	dispatch  *eventbus.Publisher
	demo      registry.File
	replicas  int
	delivered chan []eventbus.Delivery // what the durable `ingest` of compliance's streams gets
	waiting   []seen                   // of it, what next1 has not given yet
}

func newWorld(t testing.TB, now time.Time) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{at: now}, database: postgrestest.New(t, name, store.Sources...),
		files: map[string]tlsconf.Files{}, delivered: make(chan []eventbus.Delivery, 1000)}
	dir := t.TempDir()
	must(t, devca.Create(dir))
	for _, n := range []string{name, "ingest", "dispatch"} {
		must(t, devca.Issue(dir, n, nil, tlsconf.SPIFFEID(n)))
		w.files[n] = tlsconf.Files{Cert: filepath.Join(dir, n+".pem"), Key: filepath.Join(dir, n+"-key.pem"), CA: filepath.Join(dir, "ca.pem")}
	}
	w.cfg = Config{Postgres: w.database.Config, Bus: eventbustest.Run(t), TLS: w.files[name], GRPCAddr: "127.0.0.1:0",
		PreferenceDir: filepath.Join(dir, "preferences", "1"), PreferenceStoreBytes: 64 << 20, KEK: secret.File(filepath.Join(dir, "kek")), Keyring: secret.File(filepath.Join(dir, "keyring"))}
	w.startIngest()
	w.ingest, w.dispatch = w.producer("ingest"), w.producer("dispatch")
	raw, err := os.ReadFile("../../../../deploy/local/demo.yaml")
	must(t, err)
	w.demo, err = registry.ParseFile(raw)
	must(t, err)
	must(t, importFile(t.Context(), importConfig{Postgres: w.cfg.Postgres, Bus: w.cfg.Bus}, w.demo))
	w.read()
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// background runs f until the test ends.
func (w *world) background(f func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("stopping: %v", err)
		}
	})
}

// startIngest makes the keys and serves them, over mTLS.
func (w *world) startIngest() {
	t := w.t
	kekFile, _ := w.cfg.KEK.Path()
	ringFile, _ := w.cfg.Keyring.Path()
	must(t, seal.GenerateFileKEK(kekFile))
	kek, err := seal.ReadKEK(t.Context(), w.cfg.KEK, time.Now)
	must(t, err)
	must(t, seal.CreateKeyring(t.Context(), kek, ringFile, "live", "test"))
	ring, err := seal.OpenKeyring(t.Context(), w.cfg.KEK, w.cfg.Keyring, time.Now)
	must(t, err)
	keys := &dataKeys{ids: map[string]uint64{}}
	w.sealer, w.keyring = seal.NewSealer(ring, keys, time.Now), ring
	tls, err := tlsconf.Server(w.files["ingest"])
	must(t, err)
	server, err := rpc.NewServer(rpc.ServerConfig{Addr: "127.0.0.1:0", TLS: tls, Log: slog.Default(),
		Callers: map[string][]string{ingestv1.ContentKeyService_GetContentKey_FullMethodName: {name}}},
		func(r grpc.ServiceRegistrar) { ingestv1.RegisterContentKeyServiceServer(r, keys) })
	must(t, err)
	w.cfg.IngestAddr = server.Addr().String()
	w.background(server.Run)
}

// producer owns the streams of another service, with compliance's durable, and publishes.
func (w *world) producer(service string) *eventbus.Publisher {
	bus, err := eventbus.Connect(w.t.Context(), w.cfg.Bus, service)
	must(w.t, err)
	w.t.Cleanup(bus.Close)
	durables := map[string][]string{}
	for _, lane := range lanes {
		durables[lane] = []string{store.Consumer}
		if service == "dispatch" {
			durables[lane] = []string{store.Consumer + "=onlinesms.dispatch.v1.MessagesReturned.*." + lane + ",onlinesms.dispatch.v1.MessagesFailed.*." + lane +
				",onlinesms.dispatch.v1.MessagesUndelivered.*." + lane}
		}
	}
	if service == "dispatch" {
		durables[eventbus.LaneControl] = []string{store.Consumer}
	}
	must(w.t, bus.Own(w.t.Context(), eventbus.ServiceStreams(service, durables)))
	p := bus.NewPublisher(service, func(context.Context, []eventbus.Parcel) {})
	w.background(p.Run)
	return p
}

// read takes what compliance publishes, as ingest does.
func (w *world) read() {
	bus, err := eventbus.Connect(w.t.Context(), w.cfg.Bus, "ingest")
	must(w.t, err)
	w.t.Cleanup(bus.Close)
	for _, lane := range lanes {
		w.background(func(ctx context.Context) error {
			return bus.Consume(ctx, eventbus.Subscription{Stream: eventbus.StreamName(name, lane), Durable: "ingest",
				Handler: func(_ context.Context, batch []eventbus.Delivery) error {
					w.delivered <- batch
					return nil
				}})
		})
	}
}

// start runs compliance; stop ends it.
func (w *world) start() (c *compliance, stop func()) {
	w.t.Helper()
	w.replicas++ // each has a directory of its own
	cfg := w.cfg
	cfg.PreferenceDir = filepath.Join(filepath.Dir(cfg.PreferenceDir), "started-"+strconv.Itoa(w.replicas))
	c, err := open(w.t.Context(), cfg, slog.Default(), w.clock.now)
	must(w.t, err)
	tasks, err := c.tasks(cfg)
	must(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx, slog.Default(), tasks...) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("stopping: %v", err)
		}
		c.close()
	})
	w.t.Cleanup(stop)
	return c, stop
}

// message is one that ingest has accepted.
type message struct {
	template, header string
	content          *ingestv1.Content
	schedule         time.Time
	expire           time.Time
}

// recipient is who all messages go to.
const recipient = "+919876543210"

// index is the keyed hash of the recipient's number.
func (w *world) index(env string) []byte {
	w.t.Helper()
	x, err := w.keyring.BlindIndex(env, w.demo.Tenant)
	must(w.t, err)
	return x.Of(nil, recipient)
}

// accept seals messages and makes their parcel.
func (w *world) accept(env, lane string, messages ...message) (eventbus.Parcel, []uuid.UUID) {
	w.t.Helper()
	id, correlation := screening.Accepted(newID()), newID()
	p := &ingestv1.AcceptedParcel{ParcelId: id[:], TenantId: w.demo.Tenant[:], CorrelationId: correlation[:]}
	var ids []uuid.UUID
	for i, m := range messages {
		one := id
		one[15] = byte(i)
		ids = append(ids, one)
		m.content.To = recipient
		plain, err := proto.Marshal(m.content)
		must(w.t, err)
		sealed, err := w.sealer.Seal(w.t.Context(), nil, plain, seal.Binding{Env: env, Tenant: w.demo.Tenant, Message: one, Class: seal.ClassContent})
		must(w.t, err)
		a := &ingestv1.AcceptedMessage{MessageId: one[:], EntityId: entity, Header: m.header, TemplateId: m.template, Content: sealed,
			RecipientIndex: w.index(env), ExpireTimeUs: m.expire.UnixMicro()}
		if !m.schedule.IsZero() {
			a.ScheduleTimeUs = m.schedule.UnixMicro()
		}
		p.Messages = append(p.Messages, a)
	}
	payload, err := proto.Marshal(p)
	must(w.t, err)
	return eventbus.Parcel{ID: id, Tenant: w.demo.Tenant, Entries: len(ids), Payload: payload,
		Subject: eventbus.Subject("onlinesms.ingest.v1.MessagesAccepted", env, lane)}, ids
}

func (w *world) text(template, header, text string) message {
	return message{template: template, header: header, content: &ingestv1.Content{Text: text}, expire: w.clock.now().Add(48 * time.Hour)}
}

// seen is one message in an event of compliance.
type seen struct {
	event   string
	id      uuid.UUID
	round   uint32
	codes   []string
	due     int64
	content []byte
	parcel  uuid.UUID
}

// next waits for the next n messages that compliance publishes.
func (w *world) next(n int) []seen {
	w.t.Helper()
	var all []seen
	timeout := time.After(patience)
	for len(all) < n {
		select {
		case batch := <-w.delivered:
			for _, d := range batch {
				all = append(all, w.decode(d)...)
			}
		case <-timeout:
			w.t.Fatalf("%d of %d messages came: %+v", len(all), n, all)
		}
	}
	if len(all) > n {
		w.t.Fatalf("%d messages came, want %d: %+v", len(all), n, all)
	}
	return all
}

func (w *world) decode(d eventbus.Delivery) (all []seen) {
	short := d.Event[strings.LastIndexByte(d.Event, '.')+1:]
	switch short {
	case "MessagesCleared":
		var e compliancev1.MessagesCleared
		must(w.t, proto.Unmarshal(d.Data, &e))
		for _, p := range e.GetParcels() {
			for _, m := range p.GetMessages() {
				all = append(all, seen{event: short, id: uuid.UUID(m.GetMessageId()), round: m.GetRound(), content: m.GetContent(), parcel: uuid.UUID(p.GetParcelId())})
			}
		}
	case "MessagesRefused":
		var e compliancev1.MessagesRefused
		must(w.t, proto.Unmarshal(d.Data, &e))
		for _, p := range e.GetParcels() {
			for _, m := range p.GetMessages() {
				s := seen{event: short, id: uuid.UUID(m.GetMessageId()), round: m.GetRound()}
				for _, r := range m.GetReasons() {
					s.codes = append(s.codes, r.GetCode())
				}
				all = append(all, s)
			}
		}
	case "MessagesHeld":
		var e compliancev1.MessagesHeld
		must(w.t, proto.Unmarshal(d.Data, &e))
		for _, p := range e.GetParcels() {
			for _, m := range p.GetMessages() {
				all = append(all, seen{event: short, id: uuid.UUID(m.GetMessageId()), round: m.GetRound(), codes: []string{m.GetReason().GetCode()}, due: m.GetDueTimeUs()})
			}
		}
	}
	return all
}

func (w *world) open(env string, s seen) *ingestv1.Content {
	w.t.Helper()
	plain, err := w.sealer.Opener().Open(w.t.Context(), nil, s.content, seal.Binding{Env: env, Tenant: w.demo.Tenant, Message: s.id, Class: seal.ClassContent})
	must(w.t, err)
	var c ingestv1.Content
	must(w.t, proto.Unmarshal(plain, &c))
	return &c
}

// today is an hour of the current day, so that ids minted now fall into partitions that exist.
func today(hour int) time.Time {
	now := time.Now().In(policy.IST)
	return time.Date(now.Year(), now.Month(), now.Day(), hour, 0, 0, 0, policy.IST)
}
