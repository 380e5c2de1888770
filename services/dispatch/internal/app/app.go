package app

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/api"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/consumer"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/inbound"
	store "github.com/onlinesms/onlinesms/services/dispatch/internal/postgres"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/webhook"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
	"github.com/onlinesms/onlinesms/services/internal/seal"
	"github.com/onlinesms/onlinesms/services/internal/service"
	"github.com/onlinesms/onlinesms/services/internal/telemetry"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
)

// drainTimeout bounds what a session waits for at the end; see delivery.Config. 4 + 12 + 10 s, and 3 s of webhooks, stay below
// service.StopBound.
const drainTimeout = 12 * time.Second

var (
	sources      = []postgres.Source{outbox.Source, store.Source}
	lanesInOrder = []delivery.Lane{delivery.OTP, delivery.Interactive, delivery.Bulk}
)

func init() {
	telemetry.AllowLogKeys("replica", "epoch", "results", "receipts", "intents", "requeued", "in_doubt", "endpoint")
}

// Migrate brings the database to this version's schema.
func Migrate(ctx context.Context, _ []string) error {
	cfg, err := service.LoadConfig[postgres.Config]()
	if err != nil {
		return err
	}
	return postgres.Migrate(ctx, cfg, sources...)
}

// Serve runs the service until ctx ends.
func Serve(ctx context.Context, _ []string) error {
	tel, flush, err := telemetry.Setup(ctx, "dispatch")
	if err != nil {
		return err
	}
	defer func() { _ = flush(context.WithoutCancel(ctx)) }()
	cfg, err := service.LoadConfig[Config]()
	if err != nil {
		return err
	}
	d, err := open(ctx, cfg, tel.Log)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.observe(); err != nil {
		return err
	}
	admin := telemetry.AdminServer(cfg.AdminAddr, d.ready, tel.Metrics)
	return service.Run(ctx, tel.Log, append([]service.Task{admin}, d.tasks()...)...)
}

// dispatch is the service's rooms, joined.
type dispatch struct {
	cfg       Config
	log       *slog.Logger
	db        *postgres.DB
	bus       *eventbus.Bus
	ingest    *grpc.ClientConn
	publisher *eventbus.Publisher
	relay     *outbox.Relay
	letters   *outbox.DeadLetters
	engine    *delivery.Engine
	wishes    *delivery.Wishes
	feed      *webhook.Feed
	webhooks  *webhooks
	inner     *rpc.Server
	inbox     *inbound.Letters
	store     *store.Store
	stops     *stopKeeping
}

func open(ctx context.Context, cfg Config, log *slog.Logger) (d *dispatch, err error) {
	d = &dispatch{cfg: cfg, log: log}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	routes, err := route.Load(cfg.RoutesFile)
	if err != nil {
		return d, err
	}
	keyring, sealer, err := d.openContent(ctx)
	if err != nil {
		return d, err
	}
	if d.db, err = postgres.OpenCurrent(ctx, cfg.Postgres, log, sources...); err != nil {
		return d, err
	}
	if d.bus, err = eventbus.Connect(ctx, cfg.Bus, "dispatch"); err != nil {
		return d, err
	}
	d.publisher = d.bus.NewPublisher("dispatch", func(ctx context.Context, done []eventbus.Parcel) { d.relay.Published(ctx, done) })
	d.relay = outbox.NewRelay(d.db.Worker, d.publisher, time.Now)
	d.letters = outbox.NewDeadLetters(d.db.Worker)
	d.feed = webhook.NewFeed(d.bus)
	d.inbox = inbound.NewLetters(sealer.Opener(), keyring)
	s := store.New(d.db.Worker, d.publisher.Publish, d.inbox.Recipient, newID, time.Now)
	d.store, d.stops = s, &stopKeeping{source: s, stops: &delivery.Stops{}, log: log}
	d.stops.load(ctx) // what stood when this replica was down
	if err = d.openWebhooks(sealer, log); err != nil {
		return d, err
	}
	if err = d.makeEngine(routes, s, sealer, log); err != nil {
		return d, err
	}
	return d, d.listen(s, log)
}

// listen opens the inner gRPC server: only the door may ask.
func (d *dispatch) listen(s *store.Store, log *slog.Logger) error {
	identity, err := tlsconf.Server(d.cfg.TLS)
	if err != nil {
		return err
	}
	d.inner, err = rpc.NewServer(rpc.ServerConfig{Addr: d.cfg.GRPCAddr, TLS: identity, Log: log, Callers: callers()},
		func(r grpc.ServiceRegistrar) {
			dispatchv1.RegisterDispatchServiceServer(r, api.NewServer(s, s))
			dispatchv1.RegisterRouteServiceServer(r, api.NewRouteServer(d.engine))
			dispatchv1.RegisterInboundServiceServer(r, d.inboxServer())
			d.webhooks.register(r)
		})
	return err
}

func (d *dispatch) inboxServer() *api.InboundServer {
	return api.NewInboundServer(store.NewInboundReader(d.db), d.inbox, time.Now)
}

func (d *dispatch) makeEngine(routes *route.Routes, s *store.Store, sealer *seal.Sealer, log *slog.Logger) error {
	encrypted, err := routeTLS(routes)
	if err != nil {
		return err
	}
	breaker := route.NewBreaker()
	s.Tell(breaker)
	receiver := inbound.NewReceiver(inbound.Config{
		Store: store.Inbound{Store: s}, Sealer: sealer, Opener: sealer.Opener(), Index: d.inbox.Index,
		Configured: func(name, to string) (inbound.Owner, bool) { return d.engine.Routes().InboundOwner(name, to) }, NewID: newID, Now: time.Now,
	})
	d.wishes = delivery.NewWishes()
	d.engine = delivery.New(delivery.Config{
		Routes: routes, TLS: encrypted, Queue: s, Intents: s, Records: s, Leases: s, Inbound: receiver, Breaker: breaker, Recipient: d.inbox.Recipient, Opener: consumer.NewOpener(sealer.Opener()),
		Stops: d.stops.stops, Wishes: d.wishes, Log: log, Now: time.Now, NewID: newID, LeaseTTL: d.cfg.LeaseTTL, DrainTimeout: drainTimeout,
	})
	return nil
}

// openContent makes what opens content, and seals what handsets send and what lasts: keys from the keyring and from
// ingest.
func (d *dispatch) openContent(ctx context.Context) (*seal.Keyring, *seal.Sealer, error) {
	keyring, err := seal.OpenKeyring(ctx, d.cfg.KEK, d.cfg.Keyring, time.Now)
	if err != nil {
		return nil, nil, err
	}
	identity, err := tlsconf.Client(d.cfg.TLS, "ingest")
	if err != nil {
		return nil, nil, err
	}
	if d.ingest, err = rpc.Dial(d.cfg.IngestAddr, identity); err != nil {
		return nil, nil, err
	}
	keys := contentKeys{ingestv1.NewContentKeyServiceClient(d.ingest)}
	return keyring, seal.NewSealer(keyring, keys, time.Now), nil
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// ready needs the bus and a life of the engine; operators may be away.
func (d *dispatch) ready() error { return errors.Join(d.bus.Ready(), d.engine.Ready()) }

func (d *dispatch) close() {
	if d.bus != nil {
		d.bus.Close()
	}
	if d.ingest != nil {
		_ = d.ingest.Close() // nothing is written on it
	}
	if d.db != nil {
		d.db.Close()
	}
}

// tasks in the order they start. Consumers stop first, then the engine drains, then its events are published.
func (d *dispatch) tasks() []service.Task {
	tasks := []service.Task{
		{Name: "partitions", Run: func(ctx context.Context) error { return postgres.RunPartitions(ctx, d.db.Worker, time.Now) }},
		{Name: "streams", Run: d.keepStreams},
		{Name: "relay", Run: d.relay.Run},
		{Name: "publisher", Run: d.publisher.Run},
		{Name: "wishes", Run: d.hearWishes()},
		{Name: "stops", Run: d.stops.run},
		{Name: "engine", Run: d.engine.Run},
		{Name: "routes", Run: d.watchRoutes},
		{Name: "inner gRPC", Run: d.inner.Run},
		{Name: "event streams", Run: d.webhooks.streams.Run}, // they end before the server waits for them
	}
	tasks = append(tasks, d.webhooks.tasks()...)
	for _, s := range d.subscriptions() {
		tasks = append(tasks, service.Task{
			Name: "consume " + strings.ToLower(s.Stream) + " " + s.Durable,
			Run:  func(ctx context.Context) error { return d.bus.Consume(ctx, s) },
		})
	}
	return tasks
}

func (d *dispatch) keepStreams(ctx context.Context) error {
	if err := d.bus.Own(ctx, streams()); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	return d.bus.RunPurge(ctx)
}
