package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consumer"
	store "github.com/onlinesms/onlinesms/services/compliance/internal/postgres"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/service"

	"github.com/google/uuid"
)

var lanes = []string{eventbus.LaneOTP, eventbus.LaneInteractive, eventbus.LaneBulk}

// streams are the ones compliance owns, with the durables of those who read them.
func streams() []eventbus.Stream {
	durables := map[string][]string{eventbus.LaneControl: {"audit"}}
	for _, lane := range lanes {
		durables[lane] = []string{"dispatch=onlinesms.compliance.v1.MessagesCleared.*." + lane, "ingest", "audit", "feed"}
	}
	return eventbus.ServiceStreams(name, durables)
}

// tasks opens the inner server and answers what runs, in the order it starts; what takes new work comes last, so that
// it stops first.
func (c *compliance) tasks(cfg Config) ([]service.Task, error) {
	server, err := c.listen(cfg)
	if err != nil {
		return nil, err
	}
	c.addr = server.Addr()
	c.log.Info("inner port is open", slog.String("addr", c.addr.String()))
	ticker := time.NewTicker(screening.ReleaseTick)
	tasks := []service.Task{
		{Name: "partitions", Run: func(ctx context.Context) error { return postgres.RunPartitions(ctx, c.db.Worker, c.now) }},
		{Name: "relay", Run: c.relay.Run},
		{Name: "publisher", Run: c.publisher.Run},
		{Name: "streams", Run: c.ownStreams},
		{Name: "registry", Run: c.followRegistry()},
		{Name: "registry poll", Run: c.pollRegistry},
		{Name: "grpc", Run: server.Run},
		{Name: "releaser", Run: func(ctx context.Context) error {
			defer ticker.Stop()
			return screening.NewReleaser(c.screener, lanes, ticker.C).Run(ctx)
		}},
	}
	handler := consumer.New(c.screener)
	letters := outbox.NewDeadLetters(c.db.Worker)
	for _, lane := range lanes {
		for _, producer := range []string{"ingest", "dispatch"} {
			stream := eventbus.StreamName(producer, lane)
			tasks = append(tasks, service.Task{Name: "consume " + stream, Run: func(ctx context.Context) error {
				return c.bus.Consume(ctx, eventbus.Subscription{Stream: stream, Durable: store.Consumer, Handler: handler.Handle, DeadLetters: letters})
			}})
		}
	}
	return tasks, nil
}

func (c *compliance) ownStreams(ctx context.Context) error {
	if err := c.bus.Own(ctx, streams()); err != nil {
		return err
	}
	return c.bus.RunPurge(ctx)
}

// pollEvery bounds how long a missed broadcast can go unnoticed; retryEvery is the pause while the database is away.
const (
	pollEvery  = 5 * time.Second
	retryEvery = time.Second
)

// loadRegistry loads every tenant's registry, trying until ctx ends.
func (c *compliance) loadRegistry(ctx context.Context) error {
	for {
		wrong, err := c.registry.Load(ctx)
		if c.leftOut(ctx, wrong); err == nil {
			return nil
		}
		c.log.WarnContext(ctx, "waiting for the registry", slog.String("error", err.Error()))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryEvery):
		}
	}
}

// leftOut reports rows that cannot be used; their errors name ids and statuses, no text.
func (c *compliance) leftOut(ctx context.Context, wrong error) {
	if wrong != nil {
		c.log.WarnContext(ctx, "registry rows left out", slog.String("error", wrong.Error()))
	}
}

// followRegistry reloads a tenant when any replica or import announces a change, and all when it begins to hear.
func (c *compliance) followRegistry() func(context.Context) error {
	stream := eventbus.StreamName(name, eventbus.LaneControl)
	subjects := []string{eventbus.Subject(store.EventRegistryChanged, "*", eventbus.LaneControl)}
	return c.bus.Hear(eventbus.Broadcast{Stream: stream, Subjects: subjects, Began: c.reloadRegistry,
		Handler: func(ctx context.Context, d eventbus.Delivery) {
			if err := c.registryChanged(ctx, d.Data); err != nil {
				c.log.WarnContext(ctx, "registry change not followed; the poll will", slog.String("error", err.Error()))
			}
		}})
}

func (c *compliance) registryChanged(ctx context.Context, data []byte) error {
	var event compliancev1.RegistryChanged
	if err := proto.Unmarshal(data, &event); err != nil {
		return err
	}
	for _, p := range event.GetParcels() {
		tenant, err := uuid.FromBytes(p.GetTenantId())
		if err != nil {
			return fmt.Errorf("tenant id: %w", err)
		}
		wrong, err := c.registry.Refresh(ctx, tenant, p.GetVersion())
		if c.leftOut(ctx, wrong); err != nil {
			return err
		}
	}
	return nil
}

// pollRegistry finds what a broadcast has missed.
func (c *compliance) pollRegistry(ctx context.Context) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		c.reloadRegistry(ctx)
	}
}

func (c *compliance) reloadRegistry(ctx context.Context) {
	wrong, err := c.registry.Load(ctx)
	if c.leftOut(ctx, wrong); err != nil && ctx.Err() == nil {
		c.log.WarnContext(ctx, "registry not polled", slog.String("error", err.Error()))
	}
}
