package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/consumer"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// stopsEvery is how often a replica reads the kill switches that another has taken in: one may take 5 s to be effective
// everywhere.
const stopsEvery = time.Second

// stopSource reads the kill switches that are on.
type stopSource interface {
	Stops(ctx context.Context) ([]delivery.Stop, error)
}

// stopKeeping keeps this replica's kill switches those of the table.
type stopKeeping struct {
	source stopSource
	stops  *delivery.Stops
	log    *slog.Logger
}

// load reads them; where it cannot, those that are known stay.
func (k *stopKeeping) load(ctx context.Context) {
	list, err := k.source.Stops(ctx)
	if err == nil {
		k.stops.Replace(list)
	} else if ctx.Err() == nil {
		k.log.WarnContext(ctx, "kill switches not read", slog.String("error", err.Error()))
	}
}

// run reads them again and again until ctx ends.
func (k *stopKeeping) run(ctx context.Context) error {
	for service.Pause(ctx, stopsEvery) {
		k.load(ctx)
	}
	return nil
}

// stopsSubscription takes in kill switches, by a durable of their own: none is missed while dispatch is down.
func (d *dispatch) stopsSubscription() eventbus.Subscription {
	return eventbus.Subscription{Stream: eventbus.StreamName("compliance", eventbus.LaneControl), Durable: durable,
		Handler: consumer.Stops(d.store, d.stops.load), DeadLetters: d.letters}
}
