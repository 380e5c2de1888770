package consumer

import (
	"context"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// StopsChanged is the event by which compliance tells of kill switches put on and taken off.
const StopsChanged = "onlinesms.compliance.v1.SendingStopsChanged"

// StopKeeper keeps kill switches; what is older than what it has of the same one it passes over.
type StopKeeper interface {
	KeepStops(ctx context.Context, changes []delivery.StopChange) error
}

// Stops is the eventbus.Handler that has kill switches kept. changed is called after each commit.
func Stops(keeper StopKeeper, changed func(context.Context)) eventbus.Handler {
	return func(ctx context.Context, batch []eventbus.Delivery) error {
		var all []delivery.StopChange
		for i := range batch {
			changes, err := stopsOf(&batch[i])
			if err != nil {
				return err
			}
			all = append(all, changes...)
		}
		if err := keeper.KeepStops(ctx, all); err != nil {
			return err
		}
		changed(ctx)
		return nil
	}
}

func stopsOf(d *eventbus.Delivery) (changes []delivery.StopChange, err error) {
	var event compliancev1.SendingStopsChanged
	if d.Event != StopsChanged {
		return nil, errs.E(errs.Invalid, "EVENT_UNEXPECTED", "this durable is for kill switches only", nil)
	}
	if err := proto.Unmarshal(d.Data, &event); err != nil {
		return nil, errs.E(errs.Invalid, "EVENT_MALFORMED", "an event of kill switches cannot be read", err)
	}
	for _, p := range event.GetParcels() {
		tenant, err := uuid.FromBytes(p.GetTenantId())
		if err != nil {
			return nil, errs.E(errs.Invalid, "EVENT_MALFORMED", "a kill switch names no tenant", err)
		}
		changes = append(changes, delivery.StopChange{Stop: delivery.Stop{Tenant: tenant, Scope: p.GetScope(), Object: p.GetObjectId()},
			Version: p.GetVersion(), On: p.GetStopped()})
	}
	return changes, nil
}
