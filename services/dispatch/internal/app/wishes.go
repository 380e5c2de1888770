package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/consumer"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// hearWishes hears in every replica what recipients wish; the replica is ready once it does.
func (d *dispatch) hearWishes() func(context.Context) error {
	first := true
	return d.bus.Hear(eventbus.Broadcast{
		Stream:   eventbus.StreamName("compliance", eventbus.LaneControl),
		Subjects: []string{eventbus.Subject(consumer.WishesRecorded, "*", eventbus.LaneControl)},
		Began: func(context.Context) {
			if first { // after an interruption the bus reads again what may have been missed
				d.wishes.Began(time.Now())
				first = false
			}
		},
		Handler: func(ctx context.Context, event eventbus.Delivery) {
			if err := consumer.Wishes(event, d.wishes, time.Now()); err != nil {
				// Nobody knows whose wish it was: everything that was cleared before is decided anew.
				d.wishes.Began(time.Now())
				slog.ErrorContext(ctx, "wishes of recipients cannot be read; promotion is decided anew", slog.String("error", err.Error()))
			}
		},
	})
}
