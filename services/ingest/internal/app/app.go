package app

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/proto/openapi"
	"github.com/onlinesms/onlinesms/services/ingest/internal/api"
	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
	"github.com/onlinesms/onlinesms/services/ingest/internal/content"
	"github.com/onlinesms/onlinesms/services/ingest/internal/door"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	store "github.com/onlinesms/onlinesms/services/ingest/internal/postgres"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
	"github.com/onlinesms/onlinesms/services/internal/seal"
	"github.com/onlinesms/onlinesms/services/internal/service"
	"github.com/onlinesms/onlinesms/services/internal/telemetry"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
)

// name of the service: producer of its events, prefix of its streams, its identity.
const name = "ingest"

var sources = []postgres.Source{outbox.Source, store.Source}

func init() { telemetry.AllowLogKeys("request_id", "https", "grpc") }

// Migrate brings the database to this version's schema.
func Migrate(ctx context.Context, _ []string) error {
	cfg, err := service.LoadConfig[postgres.Config]()
	if err != nil {
		return err
	}
	return postgres.Migrate(ctx, cfg, sources...)
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
	var running atomic.Pointer[ingest]
	ready := func() error {
		if i := running.Load(); i != nil {
			return i.ready()
		}
		return errors.New("starting")
	}
	rooms := service.Task{Name: name, Run: func(ctx context.Context) error {
		i, err := open(ctx, cfg, tel.Log, time.Now)
		if err != nil {
			return err
		}
		defer i.close()
		running.Store(i)
		return service.Run(ctx, tel.Log, i.tasks()...)
	}}
	return service.Run(ctx, tel.Log, telemetry.AdminServer(cfg.AdminAddr, ready, tel.Metrics), rooms)
}

// ingest is the service's rooms, joined.
type ingest struct {
	log       *slog.Logger
	now       func() time.Time
	db        *postgres.DB
	bus       *eventbus.Bus
	peers     []*grpc.ClientConn
	publisher *eventbus.Publisher
	relay     *outbox.Relay
	store     *store.Store
	records   *record.Writer
	door      *door.Door
	inner     *rpc.Server
	access    *access
	people    *people
	confirmed atomic.Bool  // the bus was seen to be durable
	unsent    atomic.Int64 // rows in the outbox, as last counted
}

func open(ctx context.Context, cfg Config, log *slog.Logger, now func() time.Time) (i *ingest, err error) {
	i = &ingest{log: log, now: now}
	defer func() {
		if err != nil {
			i.close()
		}
	}()
	keyring, err := seal.OpenKeyring(ctx, cfg.Secrets.KEK, cfg.Secrets.Keyring, now)
	if err != nil {
		return i, err
	}
	if i.db, err = postgres.OpenCurrent(ctx, cfg.Postgres, log, sources...); err != nil {
		return i, err
	}
	if i.bus, err = eventbus.Connect(ctx, cfg.Bus, name); err != nil {
		return i, err
	}
	i.publisher = i.bus.NewPublisher(name, func(ctx context.Context, done []eventbus.Parcel) { i.relay.Published(ctx, done) })
	i.relay = outbox.NewRelay(i.db.Worker, i.publisher, now)
	i.store = store.NewStore(i.db, i.publisher, now)
	if err = i.openInner(cfg); err != nil {
		return i, err
	}
	return i, i.openDoor(ctx, cfg, content.NewVault(keyring, seal.NewSealer(keyring, i.store, now), now))
}

// openInner opens the inner gRPC server, where compliance and dispatch ask for data keys.
func (i *ingest) openInner(cfg Config) (err error) {
	identity, err := tlsconf.Server(cfg.TLS)
	if err != nil {
		return err
	}
	i.inner, err = rpc.NewServer(rpc.ServerConfig{Addr: cfg.GRPCAddr, TLS: identity, Log: i.log, Callers: api.ContentKeyCallers},
		func(r grpc.ServiceRegistrar) {
			ingestv1.RegisterContentKeyServiceServer(r, api.NewContentKeyServer(i.store))
		})
	return err
}

// openDoor opens the public ports, with everything a send passes behind them.
func (i *ingest) openDoor(ctx context.Context, cfg Config, vault *content.Vault) error {
	peppers, err := tenant.OpenPeppers(ctx, cfg.Secrets.Pepper, i.now)
	if err != nil {
		return err
	}
	public, err := tlsconf.Public(cfg.PublicCertFile, cfg.PublicKeyFile)
	if err != nil {
		return err
	}
	compliance, err := i.dial(cfg, "compliance", cfg.ComplianceAddr)
	if err != nil {
		return err
	}
	dispatch, err := i.dial(cfg, "dispatch", cfg.DispatchAddr)
	if err != nil {
		return err
	}
	audit, err := i.dial(cfg, "audit", cfg.AuditAddr)
	if err != nil {
		return err
	}
	accepter := message.NewAccepter(message.Config{
		Store: i.store, Vault: vault, Categories: message.NewCategories(registry{compliance}, i.now),
		Backlog: i.backlog, IDs: message.NewIDs(i.now, rand.Reader), Now: i.now,
	})
	pins, err := i.pins(ctx, cfg.Door)
	if err != nil {
		return err
	}
	i.access = i.newAccess(cfg.Access, vault, peppers)
	if i.people, err = i.newPeople(cfg.People, vault, peppers); err != nil {
		return err
	}
	i.access.people = i.people
	i.records = record.NewWriter(i.db.Worker, i.publisher, i.log, i.now)
	server := api.NewMessageServer(accepter, i.store, vault, canceller{compliance, dispatch}, i.now)
	i.door, err = door.New(door.Config{
		HTTPAddr: cfg.PublicHTTPAddr, GRPCAddr: cfg.PublicGRPCAddr, TLS: public,
		Trust: caller.Trust{Hops: cfg.Access.TrustedHops}, Proxies: cfg.Access.TrustedProxies,
		Verifier: i.access, Revoker: i.access,
		Unary: []grpc.UnaryServerInterceptor{i.access.limits.Unary}, Stream: []grpc.StreamServerInterceptor{i.access.limits.Stream},
		Register: func(r grpc.ServiceRegistrar) {
			ingestv1.RegisterMessageServiceServer(r, server)
			i.access.register(r)
			i.people.register(r)
			ingestv1.RegisterVerificationServiceServer(r, i.verifications(cfg.Verification, accepter, vault, peppers))
		},
		Records: i.records, Forward: forwards(compliance, dispatch, audit), Pins: pins,
		WebhookIPs: door.WebhookIPs{Prefixes: cfg.Door.WebhookIPs, Next: cfg.Door.WebhookIPsNext, NextFrom: cfg.Door.WebhookIPsFrom}, OpenAPI: openapi.Document, Log: i.log,
		Traced: cfg.TraceEndpoint != "",
	})
	return err
}

// dial connects to another service; an empty addr gives no connection.
func (i *ingest) dial(cfg Config, peer, addr string) (grpc.ClientConnInterface, error) {
	if addr == "" {
		return nil, nil
	}
	identity, err := tlsconf.Client(cfg.TLS, peer)
	if err != nil {
		return nil, err
	}
	conn, err := rpc.Dial(addr, identity)
	if err != nil {
		return nil, err
	}
	i.peers = append(i.peers, conn)
	return conn, nil
}

// ready needs a bus that was once seen to be durable. From then on the door stays open: what it accepts is in
// PostgreSQL, whether the bus is there or not.
func (i *ingest) ready() error {
	if i.confirmed.Load() {
		return nil
	}
	err := i.bus.Ready()
	if err == nil {
		i.confirmed.Store(true)
	}
	return err
}

func (i *ingest) close() {
	for _, peer := range i.peers {
		_ = peer.Close() // nothing is written on it
	}
	if i.bus != nil {
		i.bus.Close()
	}
	if i.db != nil {
		i.db.Close()
	}
}
