package app

import (
	"context"
	"log/slog"
	"time"
)

const (
	reconcileEvery = time.Hour
	reconcileDays  = 4 // as far back as operators still settle messages
)

// reconcile counts, every hour and at the start, what was accepted on the last days and where it stands; publishes again
// what stands still, and tells a gap.
func (i *ingest) reconcile(ctx context.Context) error {
	return every(ctx, reconcileEvery, func() {
		today := i.now().UTC().Truncate(24 * time.Hour)
		for back := range reconcileDays {
			if err := i.reconcileDay(ctx, today.AddDate(0, 0, -back)); err != nil && ctx.Err() == nil {
				i.log.WarnContext(ctx, "messages not reconciled", slog.Any("error", err))
			}
		}
	})
}

func (i *ingest) reconcileDay(ctx context.Context, day time.Time) error {
	again, err := i.store.Republish(ctx, day)
	if err != nil {
		return err
	}
	if again > 0 {
		i.log.WarnContext(ctx, "parcels that stood still are published again", slog.Int64("count", again))
	}
	list, err := i.store.Reconciliations(ctx, day)
	if err != nil {
		return err
	}
	for k := range list {
		if list[k].Gap() == 0 {
			continue
		}
		told, err := i.store.TellGap(ctx, &list[k])
		if err != nil {
			return err
		}
		if told {
			i.log.ErrorContext(ctx, "accepted messages stand nowhere", slog.String("tenant", list[k].Tenant.String()), slog.Int64("count", list[k].Gap()))
		}
	}
	return nil
}
