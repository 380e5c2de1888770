package webhook

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/service"
)

// Keep is how long deliveries are kept.
const Keep = 30 * 24 * time.Hour

// MaxReplay is how many deliveries one call replays.
const MaxReplay = 100_000

// Delivery is a delivery as the log shows it.
type Delivery struct {
	Endpoint uuid.UUID
	Event
	State    State
	Attempts int
	Status   int
	Error    string
	Created  time.Time
	Tried    time.Time // zero: never
	Due      time.Time
}

// Search is what to look for in a tenant's log; zero values: everything.
type Search struct {
	Tenant                      uuid.UUID
	Env                         string
	Endpoint, Message           uuid.UUID
	Type                        string
	State                       *State
	Start, End                  time.Time // of events
	BeforeEvent, BeforeEndpoint uuid.UUID // the last of the page before
	Limit                       int
}

// Replay names what to send again: an event, or those of a span that are in a state.
type Replay struct {
	Event      uuid.UUID
	Start, End time.Time
	State      State
	Limit      int
}

// Pruner drops old deliveries.
type Pruner interface {
	Prune(ctx context.Context, keep time.Duration) error
}

// pruneEvery is often enough for what goes by days.
const pruneEvery = time.Hour

// RunPrune drops deliveries older than Keep, at once and every hour, until ctx ends.
func RunPrune(ctx context.Context, p Pruner) error {
	for {
		if err := p.Prune(ctx, Keep); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "old webhook deliveries not dropped", slog.String("error", err.Error()))
		}
		if !service.Pause(ctx, pruneEvery) {
			return nil
		}
	}
}
