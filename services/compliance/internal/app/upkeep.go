package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/portal"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
)

// Pace of the registry's upkeep.
const (
	usesEvery    = time.Minute    // uses are written at most so often
	remindEvery  = 24 * time.Hour // beside once after the start
	importsEvery = 5 * time.Second
)

// flushUses writes which headers and templates have been used, at most once a minute and object and day; at the end
// what is left.
func (c *compliance) flushUses(ctx context.Context) error {
	err := c.every(ctx, usesEvery, func() { c.flush(ctx) })
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), retryEvery)
	defer cancel()
	c.flush(last)
	return err
}

func (c *compliance) flush(ctx context.Context) {
	for tenant, snapshot := range c.registry.All() {
		used := snapshot.Used()
		if len(used) == 0 {
			continue
		}
		if err := c.records.MarkUsed(ctx, tenant, used); err != nil {
			c.log.WarnContext(ctx, "uses not written", slog.String("error", err.Error()))
			return
		}
		for i := range used {
			used[i].Flushed()
		}
	}
}

// remind raises reminders, after the start and daily, and ends uploads that were left. Several replicas may do it at the
// same time: each reminder is raised once.
func (c *compliance) remind(ctx context.Context) error {
	c.remindAll(ctx)
	return c.every(ctx, remindEvery, func() { c.remindAll(ctx) })
}

func (c *compliance) remindAll(ctx context.Context) {
	for tenant := range c.registry.All() {
		if n, err := c.remindTenant(ctx, tenant); err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "reminders not raised", slog.String("tenant_id", tenant.String()), slog.String("error", err.Error()))
		} else if n > 0 {
			c.log.InfoContext(ctx, "reminders raised", slog.String("tenant_id", tenant.String()), slog.Int("count", n))
		}
	}
	if _, err := c.records.TidyImports(ctx); err != nil && ctx.Err() == nil {
		c.log.WarnContext(ctx, "imports not tidied", slog.String("error", err.Error()))
	}
}

func (c *compliance) remindTenant(ctx context.Context, tenant uuid.UUID) (int, error) {
	rows, err := c.records.Export(ctx, tenant)
	if err != nil {
		return 0, err
	}
	var all []registry.Reminder
	for i := range rows.Objects {
		all = append(all, registry.Remind(&rows.Objects[i], c.now())...)
	}
	if len(all) == 0 {
		return 0, nil
	}
	return c.records.Remind(ctx, tenant, all)
}

// wakeImporter tells the importer that a file waits; it does not block.
func (c *compliance) wakeImporter() {
	select {
	case c.imports <- struct{}{}:
	default:
	}
}

// runImporter works through imports until ctx ends.
func (c *compliance) runImporter(ctx context.Context) error {
	ticker := time.NewTicker(importsEvery)
	defer ticker.Stop()
	return portal.NewImporter(c.records, c.imports, ticker.C, c.now).Run(ctx)
}
