package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/consumer"
	store "github.com/onlinesms/onlinesms/services/compliance/internal/postgres"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

var lanes = []string{eventbus.LaneOTP, eventbus.LaneInteractive, eventbus.LaneBulk}

// streams are the ones compliance owns, with the durables of those who read them.
func streams() []eventbus.Stream {
	durables := map[string][]string{eventbus.LaneControl: {"audit",
		"dispatch=" + eventbus.Subject(store.EventStopsChanged, "*", eventbus.LaneControl)}}
	for _, lane := range lanes {
		durables[lane] = []string{"dispatch=onlinesms.compliance.v1.MessagesCleared.*." + lane, "ingest", "audit", "feed", "webhook"}
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
	hearPolicies, pollPolicies := c.followContentPolicies()
	ticker := time.NewTicker(screening.ReleaseTick)
	tasks := []service.Task{
		{Name: "partitions", Run: func(ctx context.Context) error { return postgres.RunPartitions(ctx, c.db.Worker, c.now) }},
		{Name: "relay", Run: c.relay.Run},
		{Name: "publisher", Run: c.publisher.Run},
		{Name: "streams", Run: c.ownStreams},
		{Name: "registry", Run: c.followRegistry()},
		{Name: "stops", Run: c.followStops()},
		{Name: "registry poll", Run: c.pollRegistry},
		{Name: "registry uses", Run: c.flushUses},
		{Name: "reminders", Run: c.remind},
		{Name: "importer", Run: c.runImporter},
		{Name: "preferences", Run: c.followPreferences(cfg)},
		{Name: "preference news", Run: c.hearPreferences()},
		{Name: "operators' answers", Run: c.takeAnswers},
		{Name: "old answers", Run: c.dropAnswers},
		{Name: "content policies", Run: hearPolicies},
		{Name: "content policies poll", Run: pollPolicies},
		{Name: "grpc", Run: server.Run},
		{Name: "releaser", Run: func(ctx context.Context) error {
			defer ticker.Stop()
			return screening.NewReleaser(c.screener, lanes, ticker.C, cfg.ReleaseRate).Run(ctx)
		}},
	}
	handler := consumer.New(c.screener, c.records)
	letters := outbox.NewDeadLetters(c.db.Worker)
	for _, lane := range lanes {
		for _, producer := range []string{"ingest", "dispatch"} {
			stream := eventbus.StreamName(producer, lane)
			tasks = append(tasks, service.Task{Name: "consume " + stream, Run: func(ctx context.Context) error {
				return c.bus.Consume(ctx, eventbus.Subscription{Stream: stream, Durable: store.Consumer, Handler: handler.Handle, DeadLetters: letters})
			}})
		}
	}
	optOuts := eventbus.Subscription{Stream: eventbus.StreamName("dispatch", eventbus.LaneControl), Durable: store.Consumer,
		Handler: consumer.NewOptOuts(c.records).Handle, DeadLetters: letters}
	tasks = append(tasks, service.Task{Name: "consume opt-outs", Run: func(ctx context.Context) error { return c.bus.Consume(ctx, optOuts) }})
	return tasks, nil
}

func (c *compliance) ownStreams(ctx context.Context) error {
	if err := c.bus.Own(ctx, streams()); err != nil {
		return err
	}
	return c.bus.RunPurge(ctx)
}
