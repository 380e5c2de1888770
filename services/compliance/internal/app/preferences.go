package app

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/content"
	store "github.com/onlinesms/onlinesms/services/compliance/internal/postgres"
	"github.com/onlinesms/onlinesms/services/compliance/internal/register"
	"github.com/onlinesms/onlinesms/services/compliance/internal/scrub"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// bucket is where replicas find preference files.
const bucket = "COMPLIANCE"

// Pace of following. A broadcast wakes the followers at once; these bound what a lost one costs.
const (
	followEvery = 5 * time.Second
	answerEvery = 2 * time.Second
	dropEvery   = time.Hour
)

// openRegister opens the replica's preference register.
func (c *compliance) openRegister(ctx context.Context, cfg Config) (err error) {
	c.preferences, err = register.Open(ctx, cfg.PreferenceDir)
	return err
}

// followPreferences keeps the register as the latest run has it. While anything it needs is away it tries again; promotion
// goes by the file in force, as long as that is fresh.
func (c *compliance) followPreferences(cfg Config) func(context.Context) error {
	return func(ctx context.Context) error {
		objects, err := c.openObjects(ctx, cfg)
		if err != nil {
			return nil // only ctx ends the wait
		}
		follower := scrub.Follower{Store: c.preferences.Store, Keys: c.keyring, Objects: objects, Runs: c.records}
		ticker := time.NewTicker(followEvery)
		defer ticker.Stop()
		for {
			fetched, err := follower.Follow(ctx)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				c.log.WarnContext(ctx, "preference register not followed; it is tried again", slog.String("error", err.Error()))
			case fetched:
				run, _ := c.preferences.Freshness(c.now())
				c.log.InfoContext(ctx, "preference file in force", slog.String("run_id", run.ID.String()))
			}
			select {
			case <-ctx.Done():
				return nil
			case <-c.runs:
			case <-ticker.C:
			}
		}
	}
}

// openObjects opens the object store, trying until ctx ends.
func (c *compliance) openObjects(ctx context.Context, cfg Config) (*eventbus.Objects, error) {
	for {
		objects, err := c.bus.Objects(ctx, bucket, cfg.PreferenceStoreBytes)
		if err == nil {
			return objects, nil
		}
		c.log.WarnContext(ctx, "waiting for the object store", slog.String("error", err.Error()))
		if !service.Pause(ctx, retryEvery) {
			return nil, ctx.Err()
		}
	}
}

// hearPreferences wakes the follower when any process has imported a run or changes.
func (c *compliance) hearPreferences() func(context.Context) error {
	return c.hear(store.EventPreferencesChanged, func(context.Context, []byte) error {
		wake(c.runs)
		return nil
	})
}

func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is awake
	}
}

// takeAnswers follows what operators said of recipients, whichever replica was told.
func (c *compliance) takeAnswers(ctx context.Context) error {
	return c.every(ctx, answerEvery, func() {
		if _, err := c.preferences.Take(ctx, c.records, c.contents, c.now()); err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "operators' answers not taken; they are tried again", slog.String("error", err.Error()))
		}
	})
}

// dropAnswers forgets answers that count no longer.
func (c *compliance) dropAnswers(ctx context.Context) error {
	return c.every(ctx, dropEvery, func() {
		if err := c.records.DropAnswers(ctx, c.now().Add(-register.Life)); err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "old answers of operators not dropped", slog.String("error", err.Error()))
		}
	})
}

// contentPolicies are those of all tenants, in memory.
type contentPolicies struct {
	all atomic.Pointer[map[uuid.UUID]content.Policy]
}

// ContentPolicy implements screening.ContentPolicies.
func (p *contentPolicies) ContentPolicy(tenant uuid.UUID) content.Policy {
	if all := p.all.Load(); all != nil {
		return (*all)[tenant]
	}
	return nil
}

// loadContentPolicies reads all policies anew.
func (c *compliance) loadContentPolicies(ctx context.Context) error {
	stored, err := c.records.ContentPolicies(ctx)
	if err != nil {
		return fmt.Errorf("content policies: %w", err)
	}
	all := make(map[uuid.UUID]content.Policy, len(stored))
	for _, s := range stored {
		all[s.Tenant] = s.Policy
	}
	c.policies.all.Store(&all)
	return nil
}

// awaitContentPolicies loads them, trying until ctx ends: no message may be decided by a policy that is not there yet.
func (c *compliance) awaitContentPolicies(ctx context.Context) error {
	for {
		err := c.loadContentPolicies(ctx)
		if err == nil {
			return nil
		}
		c.log.WarnContext(ctx, "waiting for content policies", slog.String("error", err.Error()))
		if !service.Pause(ctx, retryEvery) {
			return ctx.Err()
		}
	}
}

// followContentPolicies reads them when one was changed; the poll finds what a broadcast has missed.
func (c *compliance) followContentPolicies() (hear, poll func(context.Context) error) {
	hear = c.hear(store.EventContentPolicyChanged, func(ctx context.Context, _ []byte) error { return c.loadContentPolicies(ctx) })
	poll = func(ctx context.Context) error {
		return c.every(ctx, followEvery, func() {
			if err := c.loadContentPolicies(ctx); err != nil && ctx.Err() == nil {
				c.log.WarnContext(ctx, "content policies not polled", slog.String("error", err.Error()))
			}
		})
	}
	return hear, poll
}
