package delivery

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"
)

const (
	claimEvery  = 250 * time.Millisecond
	claimLimit  = 64               // parcels a claim
	orphanAge   = 30 * time.Second // see Config.OrphanAge
	strayRounds = 20               // claims between two looks for strays
	strayAge    = 5 * time.Second  // longer than any commit is under way
	sweepEvery  = time.Second
)

// claims takes parcels that lost their owner, disowns those that were lost on the way here, and gives back messages of
// routes that lost their binds.
func (t *term) claims(ctx context.Context) {
	var unopened []Claimed
	for round := 1; pause(ctx, claimEvery); round++ {
		unopened = t.claim(ctx, unopened)
		if round%strayRounds == 0 {
			t.stray(ctx)
		}
		for name, b := range t.lanes {
			if !t.usable(name) && b.total() > 0 && t.unboundFor(name) > unboundGrace {
				t.giveBack(b.drain())
			}
		}
	}
}

// claim takes what nobody owns, and answers the parcels whose content cannot be opened yet, with those of before.
func (t *term) claim(ctx context.Context, unopened []Claimed) []Claimed {
	routes := []string{""}
	for name, b := range t.lanes {
		if t.usable(name) && b.full(Bulk) == nil {
			routes = append(routes, name)
		}
	}
	claimed, err := t.e.cfg.Queue.Claim(ctx, t.id, routes, t.e.cfg.OrphanAge, claimLimit)
	switch {
	case errors.Is(err, ErrFenced):
		t.fence()
		return nil
	case err != nil && ctx.Err() == nil:
		t.log.Warn("parcels without an owner not claimed", slog.Any("error", err))
	}
	for _, c := range claimed {
		t.remember(c.Parcel)
	}
	var left []Claimed
	for _, c := range append(unopened, claimed...) {
		if err := t.e.cfg.Opener.Open(ctx, c.Parcel); err != nil {
			t.log.Warn("claimed parcel not opened, trying again", slog.Any("error", err))
			left = append(left, c)
			continue
		}
		t.resume(c)
	}
	return left
}

// stray disowns parcels that are ours in the database but not here; they are claimed and repaired like any other.
func (t *term) stray(ctx context.Context) {
	n, err := t.e.cfg.Queue.Stray(ctx, t.id, strayAge, t.knows)
	if err != nil && ctx.Err() == nil {
		t.log.Warn("stray parcels not looked for", slog.Any("error", err))
	}
	if n > 0 {
		t.log.Warn("stray parcels found", slog.Int("count", n))
	}
}

// resume repairs a claimed parcel; see Repair.
func (t *term) resume(c Claimed) {
	requeue, doubt, attempts := Repair(len(c.Parcel.Messages), c.Intents, c.Results)
	now := t.e.cfg.Now()
	open := make([]*Message, 0, len(requeue))
	for _, i := range requeue {
		m := c.Parcel.Messages[i]
		m.attempts = attempts[i]
		open = append(open, m)
	}
	if len(requeue)+len(doubt) == 0 {
		t.record.close(c.Parcel)
		return
	}
	c.Parcel.Start(len(requeue) + len(doubt))
	unknown := make([]Result, 0, len(doubt))
	for _, i := range doubt {
		m := c.Parcel.Messages[i]
		m.Route = c.routeOf(i)
		unknown = append(unknown, Result{Message: m, Kind: Unknown, At: now, Reason: ReasonUnanswered, Intent: true, Doubtful: m.all()})
	}
	t.log.Info("parcel taken over", slog.String("parcel", c.Parcel.ID.String()), slog.Int("requeued", len(requeue)),
		slog.Int("in_doubt", len(doubt)))
	t.queue(c.Parcel, open)
	t.note(unknown...)
}

// routeOf is the route of the intent that names a message.
func (c *Claimed) routeOf(index uint16) string {
	for i, m := range c.Intents {
		if i < len(c.Routes) && slices.Contains(m.Indexes, index) {
			return c.Routes[i]
		}
	}
	return ""
}

// sweeps joins receipts and submissions that two replicas recorded at the same time.
func (t *term) sweeps(ctx context.Context) {
	for pause(ctx, sweepEvery) {
		if _, err := t.e.cfg.Records.Sweep(ctx); err != nil && ctx.Err() == nil {
			t.log.Warn("parked receipts not swept", slog.Any("error", err))
		}
	}
}
