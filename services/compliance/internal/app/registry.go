package app

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	store "github.com/onlinesms/onlinesms/services/compliance/internal/postgres"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// pollEvery bounds how long a missed broadcast can go unnoticed, with room to the 5 s a kill switch may take;
// retryEvery is the pause while the database is away; refreshes is how many tenants are brought up to date at once.
const (
	pollEvery  = 2 * time.Second
	retryEvery = time.Second
	refreshes  = 4
)

// loadRegistry loads every tenant's registry, trying until ctx ends.
func (c *compliance) loadRegistry(ctx context.Context) error {
	for {
		wrong, err := c.registry.Load(ctx)
		if c.leftOut(ctx, wrong); err == nil {
			return nil
		}
		c.log.WarnContext(ctx, "waiting for the registry", slog.String("error", err.Error()))
		if !service.Pause(ctx, retryEvery) {
			return ctx.Err()
		}
	}
}

// leftOut reports rows that cannot be used; their errors name ids and statuses, no text.
func (c *compliance) leftOut(ctx context.Context, wrong error) {
	if wrong != nil {
		c.log.WarnContext(ctx, "registry rows left out", slog.String("error", wrong.Error()))
	}
}

// followRegistry follows a tenant's registry when any replica or import announces a change, and all when it begins to
// hear. Tenants do not wait for one another.
func (c *compliance) followRegistry() func(context.Context) error {
	places := make(chan struct{}, refreshes)
	var running sync.WaitGroup
	hear := c.hear(store.EventRegistryChanged, func(ctx context.Context, data []byte) error {
		var event compliancev1.RegistryChanged
		if err := proto.Unmarshal(data, &event); err != nil {
			return err
		}
		for _, p := range event.GetParcels() {
			tenant, err := uuid.FromBytes(p.GetTenantId())
			if err != nil {
				return fmt.Errorf("tenant id: %w", err)
			}
			running.Go(func() {
				if err := c.registry.Hasten(ctx, tenant, p.GetVersion(), keysOf(p.GetObjects())); err != nil {
					c.notFollowed(ctx, err)
				}
				places <- struct{}{}
				defer func() { <-places }()
				wrong, err := c.registry.Refresh(ctx, tenant, p.GetVersion())
				if c.leftOut(ctx, wrong); err != nil {
					c.notFollowed(ctx, err)
				}
			})
		}
		return nil
	})
	return func(ctx context.Context) error {
		defer running.Wait()
		return hear(ctx)
	}
}

// keysOf reads the names of an announcement, such as templates/1107160000000000011.
func keysOf(names []string) (keys []registry.Key) {
	for _, name := range names {
		kind, id, _ := strings.Cut(name, "/")
		keys = append(keys, registry.Key{Kind: registry.Kind(kind), ID: id})
	}
	return keys
}

// followStops follows kill switches, beside the registry: they wait for no import.
func (c *compliance) followStops() func(context.Context) error {
	return c.hear(store.EventStopsChanged, func(ctx context.Context, data []byte) error {
		var event compliancev1.SendingStopsChanged
		if err := proto.Unmarshal(data, &event); err != nil {
			return err
		}
		for _, p := range event.GetParcels() {
			tenant, err := uuid.FromBytes(p.GetTenantId())
			if err != nil {
				return fmt.Errorf("tenant id: %w", err)
			}
			if err := c.registry.FollowStops(ctx, tenant, p.GetVersion()); err != nil {
				return err
			}
		}
		return nil
	})
}

// hear gives every announcement of an event to follow, in this replica as in all others.
func (c *compliance) hear(event string, follow func(context.Context, []byte) error) func(context.Context) error {
	return c.bus.Hear(eventbus.Broadcast{Stream: eventbus.StreamName(name, eventbus.LaneControl), Began: c.reloadRegistry,
		Subjects: []string{eventbus.Subject(event, "*", eventbus.LaneControl)},
		Handler: func(ctx context.Context, d eventbus.Delivery) {
			if err := follow(ctx, d.Data); err != nil {
				c.notFollowed(ctx, err)
			}
		}})
}

func (c *compliance) notFollowed(ctx context.Context, err error) {
	if ctx.Err() == nil {
		c.log.WarnContext(ctx, "registry change not followed; the poll will", slog.String("error", err.Error()))
	}
}

// pollRegistry finds what a broadcast has missed.
func (c *compliance) pollRegistry(ctx context.Context) error {
	return c.every(ctx, pollEvery, func() { c.reloadRegistry(ctx) })
}

func (c *compliance) reloadRegistry(ctx context.Context) {
	wrong, err := c.registry.Load(ctx)
	if c.leftOut(ctx, wrong); err != nil && ctx.Err() == nil {
		c.log.WarnContext(ctx, "registry not polled", slog.String("error", err.Error()))
	}
}

// every does something again and again until ctx ends; it answers nil then.
func (c *compliance) every(ctx context.Context, period time.Duration, do func()) error {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			do()
		}
	}
}
