package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/api"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consumer"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	store "github.com/onlinesms/onlinesms/services/compliance/internal/postgres"
	"github.com/onlinesms/onlinesms/services/compliance/internal/register"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
	"github.com/onlinesms/onlinesms/services/internal/seal"
	"github.com/onlinesms/onlinesms/services/internal/service"
	"github.com/onlinesms/onlinesms/services/internal/telemetry"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
)

func init() { telemetry.AllowLogKeys("import_id", "lines", "problems", "run_id") }

// name of the service: producer of its events, prefix of its streams, its identity.
const name = "compliance"

// Migrate brings the database to this version's schema.
func Migrate(ctx context.Context, _ []string) error {
	cfg, err := service.LoadConfig[postgres.Config]()
	if err != nil {
		return err
	}
	return postgres.Migrate(ctx, cfg, store.Sources...)
}

// Serve runs the service until ctx ends. The admin port answers from the start, also while the database is awaited.
func Serve(ctx context.Context, _ []string) error {
	tel, flush, err := telemetry.Setup(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = flush(context.WithoutCancel(ctx)) }()
	cfg, err := service.LoadConfig[Config]()
	if err != nil {
		return err
	}
	var running atomic.Pointer[compliance]
	ready := func() error {
		if c := running.Load(); c != nil {
			return c.ready()
		}
		return errors.New("starting")
	}
	return service.Run(ctx, tel.Log, telemetry.AdminServer(cfg.AdminAddr, ready, tel.Metrics), service.Task{Name: name,
		Run: func(ctx context.Context) error {
			c, err := open(ctx, cfg, tel.Log, time.Now)
			if err != nil {
				return err
			}
			defer c.close()
			running.Store(c)
			tasks, err := c.tasks(cfg)
			if err != nil {
				return err
			}
			return service.Run(ctx, tel.Log, tasks...)
		}})
}

// compliance is the service's rooms, joined.
type compliance struct {
	log         *slog.Logger
	now         func() time.Time
	db          *postgres.DB
	bus         *eventbus.Bus
	ingest      *grpc.ClientConn
	registry    *registry.Registry
	records     *store.Store
	screener    *screening.Screener
	index       api.Index // keyed hashes of numbers
	publisher   *eventbus.Publisher
	relay       *outbox.Relay
	imports     chan struct{} // wakes the importer
	runs        chan struct{} // wakes the follower of preferences
	keyring     *seal.Keyring
	contents    *consumer.Contents
	preferences *register.Register
	policies    contentPolicies
	addr        net.Addr // of the inner server, once tasks has opened it
}

// open builds the rooms. It waits for the database and for the registry to be loaded: a message must never be decided
// by a registry that is not there yet.
func open(ctx context.Context, cfg Config, log *slog.Logger, now func() time.Time) (c *compliance, err error) {
	c = &compliance{log: log, now: now, imports: make(chan struct{}, 1), runs: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	keyring, opener, conn, err := openOpener(ctx, cfg, now)
	if err != nil {
		return c, err
	}
	c.ingest, c.index, c.keyring, c.contents = conn, indexOf(keyring), keyring, consumer.NewContents(opener)
	if err = c.openRegister(ctx, cfg); err != nil {
		return c, err
	}
	if c.db, err = postgres.OpenCurrent(ctx, cfg.Postgres, log, store.Sources...); err != nil {
		return c, err
	}
	if c.bus, err = eventbus.Connect(ctx, cfg.Bus, name); err != nil {
		return c, err
	}
	c.publisher = c.bus.NewPublisher(name, func(ctx context.Context, done []eventbus.Parcel) { c.relay.Published(ctx, done) })
	c.relay = outbox.NewRelay(c.db.Worker, c.publisher, now)
	c.records = store.NewStore(c.db, c.publisher.Publish, newID, now)
	c.registry = registry.New(c.records)
	if err = c.loadRegistry(ctx); err != nil {
		return c, err
	}
	if err = c.awaitContentPolicies(ctx); err != nil {
		return c, err
	}
	packs, err := policy.Builtin()
	if err != nil {
		return c, err
	}
	c.screener = screening.New(screening.Config{Registry: c.registry, Packs: packs, Contents: c.contents,
		Preferences: c.preferences, ContentPolicies: &c.policies,
		Wishes: store.NewWishes(c.records), Store: c.records, Now: now, Operators: cfg.LiveOperators, Route: cfg.route})
	return c, nil
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// listen opens the inner gRPC server: only the door may ask.
func (c *compliance) listen(cfg Config) (*rpc.Server, error) {
	tls, err := tlsconf.Server(cfg.TLS)
	if err != nil {
		return nil, err
	}
	door := []string{"ingest"}
	callers := map[string][]string{
		compliancev1.ComplianceService_GetDecision_FullMethodName:         door,
		compliancev1.ComplianceService_GetTemplateCategory_FullMethodName: door,
		compliancev1.ComplianceService_CancelMessage_FullMethodName:       door,
		compliancev1.ComplianceService_CancelScheduled_FullMethodName:     door,
	}
	for _, service := range []grpc.ServiceDesc{compliancev1.RegistryService_ServiceDesc, compliancev1.ScrubService_ServiceDesc, compliancev1.TemplateService_ServiceDesc,
		compliancev1.PreferenceService_ServiceDesc, compliancev1.ContentService_ServiceDesc,
		compliancev1.ConsentService_ServiceDesc, compliancev1.SuppressionService_ServiceDesc, compliancev1.ComplaintService_ServiceDesc} {
		for _, m := range service.Methods {
			callers["/"+service.ServiceName+"/"+m.MethodName] = door
		}
		for _, m := range service.Streams {
			callers["/"+service.ServiceName+"/"+m.StreamName] = door
		}
	}
	server := api.NewServer(c.records, c.registry, c.records, c.now)
	registrar := api.NewRegistryServer(c.records, c.registry, c.wakeImporter)
	scrubber := api.NewScrubServer(c.screener, c.records, c.now)
	return rpc.NewServer(rpc.ServerConfig{Addr: cfg.GRPCAddr, TLS: tls, Log: c.log, Callers: callers},
		func(r grpc.ServiceRegistrar) {
			compliancev1.RegisterComplianceServiceServer(r, server)
			compliancev1.RegisterRegistryServiceServer(r, registrar)
			compliancev1.RegisterPreferenceServiceServer(r, api.NewPreferenceServer(c.preferences, c.records, c.now))
			compliancev1.RegisterContentServiceServer(r, api.NewContentServer(c.records))
			compliancev1.RegisterScrubServiceServer(r, scrubber)
			compliancev1.RegisterTemplateServiceServer(r, api.NewTemplateServer(c.registry, c.now))
			compliancev1.RegisterConsentServiceServer(r, api.NewConsentServer(c.records, c.index, c.now))
			compliancev1.RegisterSuppressionServiceServer(r, api.NewSuppressionServer(c.records, c.index, c.now))
			compliancev1.RegisterComplaintServiceServer(r, api.NewComplaintServer(c.records, c.index, c.now))
		})
}

// ready: the registry is loaded, and NATS is there and durable.
func (c *compliance) ready() error { return errors.Join(c.registry.Ready(), c.bus.Ready()) }

func (c *compliance) close() {
	if c.bus != nil {
		c.bus.Close()
	}
	if c.ingest != nil {
		c.ingest.Close()
	}
	if c.db != nil {
		c.db.Close()
	}
	if c.preferences != nil {
		if err := c.preferences.Close(); err != nil {
			c.log.Warn("preference register not closed", slog.String("error", err.Error()))
		}
	}
}
