package app

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/onlinesms/onlinesms/services/ingest/internal/consumer"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

const (
	countEvery = time.Second      // the outbox, for load shedding
	purgeEvery = 10 * time.Minute // expired idempotency keys
	purgeRows  = 5000             // in a statement
	// stateLinger gathers events into one transaction: what GetMessage shows may be so much behind.
	stateLinger = 25 * time.Millisecond
)

// tasks in the order they start. They stop in reverse: the door takes no more calls and lets those in flight finish,
// then consumers stop, then what was committed is published.
func (i *ingest) tasks() []service.Task {
	tasks := []service.Task{
		{Name: "partitions", Run: func(ctx context.Context) error { return postgres.RunPartitions(ctx, i.db.Worker, i.now) }},
		{Name: "streams", Run: i.keepStreams},
		{Name: "relay", Run: i.relay.Run},
		{Name: "publisher", Run: i.publisher.Run},
		{Name: "count outbox", Run: i.countOutbox},
		{Name: "purge idempotency keys", Run: i.purgeKeys},
		{Name: "purge verifications", Run: i.purgeVerifications},
		{Name: "inner gRPC", Run: i.inner.Run},
		{Name: "audit records", Run: i.records.Run},
	}
	handler, letters := consumer.NewHandler(i.store), outbox.NewDeadLetters(i.db.Worker)
	for _, producer := range []string{"compliance", "dispatch"} {
		for _, lane := range lanes {
			s := eventbus.Subscription{
				Stream: eventbus.StreamName(producer, lane), Durable: name, MaxEvents: 32, Linger: stateLinger,
				Handler: handler.Handle, DeadLetters: letters,
			}
			tasks = append(tasks, service.Task{
				Name: "consume " + strings.ToLower(s.Stream),
				Run:  func(ctx context.Context) error { return i.bus.Consume(ctx, s) },
			})
		}
	}
	tasks = append(tasks, i.accessTasks()...)
	tasks = append(tasks, i.people.tasks(i.log)...)
	return append(tasks, service.Task{Name: "door", Run: i.openTheDoor})
}

func (i *ingest) openTheDoor(ctx context.Context) error {
	i.log.InfoContext(ctx, "the door is open",
		slog.String("https", i.door.HTTPAddr().String()), slog.String("grpc", i.door.GRPCAddr().String()))
	return i.door.Run(ctx)
}

var lanes = []string{eventbus.LaneOTP, eventbus.LaneInteractive, eventbus.LaneBulk}

// streams of ingest with the durables of those who read them.
func streams() []eventbus.Stream {
	durables := map[string][]string{eventbus.LaneControl: {"audit"}}
	for _, lane := range lanes {
		durables[lane] = []string{"compliance", "audit", "feed", "webhook"}
	}
	return eventbus.ServiceStreams(name, durables)
}

func (i *ingest) keepStreams(ctx context.Context) error {
	if err := i.bus.Own(ctx, streams()); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	return i.bus.RunPurge(ctx)
}

// backlog is what load shedding goes by: parcels that wait in memory or, when more, in the outbox. The age is that of
// memory only: one parcel that never gets out must not shut the door.
func (i *ingest) backlog() (parcels int, oldest time.Duration) {
	parcels, oldest = i.publisher.Lag()
	return max(parcels, int(i.unsent.Load())), oldest
}

func (i *ingest) countOutbox(ctx context.Context) error {
	return every(ctx, countEvery, func() {
		if rows, _, err := i.relay.Lag(ctx); err == nil {
			i.unsent.Store(rows)
		}
	})
}

func (i *ingest) purgeKeys(ctx context.Context) error {
	return every(ctx, purgeEvery, func() {
		for n := int64(purgeRows); n == purgeRows && ctx.Err() == nil; {
			var err error
			if n, err = i.store.PurgeKeys(ctx, purgeRows); err != nil {
				i.log.WarnContext(ctx, "expired idempotency keys not purged", slog.String("error", err.Error()))
			}
		}
	})
}

// every calls do at once and then after each period, until ctx ends.
func every(ctx context.Context, period time.Duration, do func()) error {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		do()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
