package app

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/grpc"

	auditv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/audit/v1"
	"github.com/onlinesms/onlinesms/services/audit/internal/api"
	"github.com/onlinesms/onlinesms/services/audit/internal/consumer"
	"github.com/onlinesms/onlinesms/services/audit/internal/ledger"
	store "github.com/onlinesms/onlinesms/services/audit/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
	"github.com/onlinesms/onlinesms/services/internal/service"
	"github.com/onlinesms/onlinesms/services/internal/telemetry"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
)

// Migrate brings the database to this version's schema.
func Migrate(ctx context.Context, _ []string) error {
	cfg, err := service.LoadConfig[postgres.Config]()
	if err != nil {
		return err
	}
	return postgres.Migrate(ctx, cfg, store.Sources...)
}

// Serve runs the service until ctx ends.
func Serve(ctx context.Context, _ []string) error {
	tel, flush, err := telemetry.Setup(ctx, "audit")
	if err != nil {
		return err
	}
	defer func() { _ = flush(context.WithoutCancel(ctx)) }()
	cfg, err := service.LoadConfig[Config]()
	if err != nil {
		return err
	}
	a, err := open(ctx, cfg, tel.Log)
	if err != nil {
		return err
	}
	defer a.close()
	admin := telemetry.AdminServer(cfg.AdminAddr, a.bus.Ready, tel.Metrics)
	return service.Run(ctx, tel.Log, append([]service.Task{admin}, a.tasks()...)...)
}

// linger gathers events into one transaction: entries are due within a second (design invariant 6).
const linger = 100 * time.Millisecond

// audit is the service's rooms, joined.
type audit struct {
	cfg      Config
	db       *postgres.DB
	bus      *eventbus.Bus
	server   *rpc.Server
	appender *ledger.Appender
	now      func() time.Time
}

func open(ctx context.Context, cfg Config, log *slog.Logger) (*audit, error) {
	db, err := postgres.OpenCurrent(ctx, cfg.Postgres, log, store.Sources...)
	if err != nil {
		return nil, err
	}
	a := &audit{cfg: cfg, db: db, now: time.Now}
	if a.bus, err = eventbus.Connect(ctx, cfg.Bus, "audit"); err != nil {
		db.Close()
		return nil, err
	}
	entries := store.NewStore(db)
	a.appender = ledger.NewAppender(entries)
	if a.server, err = serve(cfg, log, api.NewServer(entries)); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// serve opens the inner gRPC server: only the door may ask, with its caller's principal.
func serve(cfg Config, log *slog.Logger, server *api.Server) (*rpc.Server, error) {
	tls, err := tlsconf.Server(cfg.TLS)
	if err != nil {
		return nil, err
	}
	door := []string{"ingest"}
	callers := map[string][]string{
		auditv1.AuditService_ListEvents_FullMethodName: door,
		auditv1.AuditService_GetEvent_FullMethodName:   door,
	}
	return rpc.NewServer(rpc.ServerConfig{Addr: cfg.GRPCAddr, TLS: tls, Log: log, Callers: callers},
		func(r grpc.ServiceRegistrar) { auditv1.RegisterAuditServiceServer(r, server) })
}

func (a *audit) close() {
	if a.bus != nil {
		a.bus.Close()
	}
	a.db.Close()
}

// tasks in the order they start; consumers come last, so that they stop first.
func (a *audit) tasks() []service.Task {
	tasks := []service.Task{
		// Audit owns no stream, but is ready only once the server is seen to sync always, as every service.
		{Name: "durability", Run: func(ctx context.Context) error { return a.bus.Own(ctx, nil) }},
		{Name: "partitions", Run: func(ctx context.Context) error { return postgres.RunPartitions(ctx, a.db.Worker, a.now) }},
		{Name: "ledger", Run: a.appender.Run},
		{Name: "grpc", Run: a.server.Run},
	}
	handler := consumer.New(a.appender, rand.Reader, a.now)
	letters := outbox.NewDeadLetters(a.db.Worker)
	for _, stream := range streams() {
		tasks = append(tasks, service.Task{
			Name: "consume " + strings.ToLower(stream),
			Run: func(ctx context.Context) error {
				return a.bus.Consume(ctx, eventbus.Subscription{
					Stream: stream, Durable: store.Consumer, MaxEvents: 128, Linger: linger, Handler: handler.Handle,
					DeadLetters: letters,
				})
			},
		})
	}
	return tasks
}

// streams of every service that produces: audit misses nothing.
func streams() []string {
	var names []string
	for _, producer := range []string{"ingest", "compliance", "dispatch"} {
		for _, lane := range []string{eventbus.LaneOTP, eventbus.LaneInteractive, eventbus.LaneBulk, eventbus.LaneControl} {
			names = append(names, eventbus.StreamName(producer, lane))
		}
	}
	return names
}
