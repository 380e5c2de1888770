package app

import (
	"context"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/consumer"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	store "github.com/onlinesms/onlinesms/services/dispatch/internal/postgres"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/webhook"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// deadLettersConfig is what the subcommand needs of Config.
type deadLettersConfig struct {
	Postgres   postgres.Config
	Bus        eventbus.Config
	RoutesFile string `env:"ROUTES_FILE"`
}

// DeadLetters lists events that were given up, or treats them again: `dead-letters list | replay <id> | replay all`.
// Cleared messages are put into the queue for whichever replica holds a bind of their route; all events go to FEED and
// to webhooks.
func DeadLetters(ctx context.Context, args []string) error {
	cfg, err := service.LoadConfig[deadLettersConfig]()
	if err != nil {
		return err
	}
	routes, err := route.Load(cfg.RoutesFile)
	if err != nil {
		return err
	}
	db, err := postgres.Open(ctx, cfg.Postgres)
	if err != nil {
		return err
	}
	defer db.Close()
	bus, err := eventbus.Connect(ctx, cfg.Bus, "dispatch")
	if err != nil {
		return err
	}
	defer bus.Close()
	if err := bus.Own(ctx, streams()); err != nil {
		return err
	}
	again := replay{
		cleared: consumer.NewHandler(handOver{store.New(db.Worker, func(...eventbus.Parcel) {}, newID, time.Now), routes}),
		feed:    webhook.NewFeed(bus),
		webhook: intakeOnly(db),
	}
	return outbox.NewDeadLetters(db.Worker).Command(ctx, args, again.handle, os.Stdout)
}

// replay does what the durables of this service would have done; both know repeats.
type replay struct {
	cleared *consumer.Handler
	feed    *webhook.Feed
	webhook *webhook.Intake
}

// intakeOnly takes events for endpoints and leaves the sending to the replicas that serve; it opens no secret.
func intakeOnly(db *postgres.DB) *webhook.Intake {
	s := store.NewWebhooks(db, func(...eventbus.Parcel) {}, newID, time.Now)
	return webhook.NewIntake(webhook.NewDirectory(s, nil, time.Now), s, nil, time.Now)
}

func (r replay) handle(ctx context.Context, batch []eventbus.Delivery) error {
	for i := range batch {
		if batch[i].Event != consumer.Cleared {
			continue
		}
		if err := r.cleared.Handle(ctx, batch[i:i+1]); err != nil {
			return err
		}
	}
	if err := r.webhook.Handle(ctx, batch); err != nil {
		return err
	}
	return r.feed.Handle(ctx, batch)
}

// handOver takes parcels without being a replica: they wait in the queue for one.
type handOver struct {
	queue  delivery.Queue
	routes *route.Routes
}

// Take implements consumer.Taker.
func (h handOver) Take(ctx context.Context, parcels []*delivery.Parcel) error {
	for _, p := range parcels {
		p.HandedOver = true
		if r := h.routes.Choose(p.Env, func(*route.Route) bool { return false }); r != nil {
			p.Route = r.Name
		}
	}
	_, err := h.queue.Enqueue(ctx, uuid.Nil, parcels)
	return err
}
