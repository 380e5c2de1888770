package webhook

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/service"
)

// claim fetches what is due for lanes that have room, until ctx ends.
func (e *Engine) claim(ctx context.Context) {
	ticker := time.NewTicker(claimEvery)
	defer ticker.Stop()
	var swept time.Time
	for ctx.Err() == nil {
		known, err := e.cfg.Directory.fresh(ctx)
		if err == nil && (swept.IsZero() || time.Since(swept) >= sweepEvery) {
			if err = e.sweep(ctx, known); err == nil {
				swept = time.Now()
			}
		}
		if err == nil {
			err = e.fetch(ctx, known)
		}
		if err != nil && ctx.Err() == nil {
			e.cfg.Log.WarnContext(ctx, "webhooks that are due not fetched", slog.String("error", err.Error()))
			service.Pause(ctx, time.Second)
		}
		select {
		case <-ctx.Done():
		case <-e.wake:
		case <-ticker.C:
		}
	}
}

// sweep finds endpoints with due jobs that nobody here knows of: of replicas that are gone, or replayed. Lanes of
// endpoints that are gone are forgotten.
func (e *Engine) sweep(ctx context.Context, known *snapshot) error {
	now := e.cfg.Now()
	var ids []uuid.UUID
	e.mu.Lock()
	for id, l := range e.lanes {
		if known.byID[id] == nil && l.running+l.reserved+len(l.queue) == 0 {
			delete(e.lanes, id)
		}
	}
	for id := range known.byID {
		if l := e.lanes[id]; l == nil || !l.more && !l.paused(now) {
			ids = append(ids, id)
		}
	}
	e.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	due, err := e.cfg.Queue.Waiting(ctx, ids)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range due {
		e.lane(id).more = true
	}
	return nil
}

// fetch claims jobs for lanes with room.
func (e *Engine) fetch(ctx context.Context, known *snapshot) error {
	want := e.wanted(known)
	if len(want) == 0 {
		return nil
	}
	jobs, err := e.cfg.Queue.Claim(ctx, want, e.cfg.Now().Add(lease))
	e.mu.Lock()
	defer e.mu.Unlock()
	got := map[uuid.UUID]int{}
	for _, j := range jobs {
		got[j.Endpoint]++
		l := e.lane(j.Endpoint)
		l.queue = append(l.queue, j)
	}
	for id, n := range want {
		l := e.lane(id)
		l.reserved -= n
		e.buffered -= n - got[id]
		l.more = l.more || err != nil || got[id] == n
		e.line(l)
	}
	e.pump()
	return err
}

// wanted reserves room in the lanes that have jobs in the store, and starts again those whose pause is over.
func (e *Engine) wanted(known *snapshot) map[uuid.UUID]int {
	now := e.cfg.Now()
	want, total := map[uuid.UUID]int{}, 0
	e.mu.Lock()
	defer e.mu.Unlock()
	defer e.pump()
	for id, l := range e.lanes {
		e.line(l) // a pause may be over
		if !l.next.IsZero() && !now.Before(l.next) {
			l.more, l.next = true, time.Time{}
		}
		held := len(l.queue) + l.reserved
		if !l.more || known.byID[id] == nil || l.paused(now) || held > l.room()/2 || e.buffered >= maxBuffered {
			continue
		}
		n := l.room() - held
		if total += n; total > MaxClaim { // the others at the next turn
			break
		}
		want[id] = n
		l.reserved += n
		e.buffered += n
		l.more = false // until the answer, or news that come meanwhile
	}
	return want
}

// record stores results until there are no more, in batches of what came while the last one was stored.
func (e *Engine) record(ctx context.Context) {
	for first := range e.results {
		batch := []Result{first}
		for len(batch) < recordBatch && len(e.results) > 0 {
			if r, ok := <-e.results; ok {
				batch = append(batch, r)
			}
		}
		e.store(ctx, batch)
		e.examine(ctx, batch)
	}
}

// store tries until it succeeds; a stopping process soon gives up: the leases run out.
func (e *Engine) store(ctx context.Context, batch []Result) {
	for try := 0; ; try++ {
		err := e.cfg.Queue.Record(ctx, batch)
		if err == nil {
			return
		}
		e.cfg.Log.WarnContext(ctx, "results of webhooks not stored", slog.String("error", err.Error()))
		if e.stopping() && try > 2 {
			return
		}
		service.Pause(ctx, min(time.Second, 50*time.Millisecond<<min(try, 5)))
	}
}

func (e *Engine) stopping() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}

// markAfter is how long an endpoint may fail before that is kept beyond this process, unless the circuit opens before.
const markAfter = 5 * time.Minute

// examine keeps what a batch says of its endpoints' health.
func (e *Engine) examine(ctx context.Context, batch []Result) {
	last := map[uuid.UUID]*Result{}
	for i := range batch {
		r := &batch[i]
		if !r.At.IsZero() && (last[r.Endpoint] == nil || r.Status == http.StatusGone) {
			last[r.Endpoint] = r
		}
	}
	for id, r := range last {
		if t := e.cfg.Directory.target(id); t != nil {
			if err := e.judge(ctx, t, r); err != nil {
				e.cfg.Log.WarnContext(ctx, "state of a webhook endpoint not kept", slog.String("endpoint", id.String()),
					slog.String("error", err.Error()))
			}
		}
	}
}

// judge marks, warns of, and disables an endpoint by its last result.
func (e *Engine) judge(ctx context.Context, t *target, r *Result) error {
	health, now := e.cfg.Health, e.cfg.Now()
	switch failing := now.Sub(t.FailingSince); {
	case r.Status == http.StatusGone:
		return e.disable(ctx, t.ID, Gone)
	case r.State == Delivered:
		if t.FailingSince.IsZero() {
			return nil
		}
		return health.Works(ctx, t.ID)
	case t.FailingSince.IsZero():
		if since, ok := e.unmarked(t.ID, now); ok {
			return health.Fails(ctx, t.ID, since)
		}
	case failing >= disableAfter:
		return e.disable(ctx, t.ID, Failing)
	case failing >= warnAfter && !t.Warned:
		return health.Warn(ctx, t.ID)
	}
	return nil
}

func (e *Engine) disable(ctx context.Context, id uuid.UUID, reason string) error {
	if err := e.cfg.Health.Disable(ctx, id, reason); err != nil {
		return err
	}
	e.stats.Disabled.Add(1)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lane(id).forget()
	return nil
}

// unmarked tells since when a lane fails, when that is worth keeping.
func (e *Engine) unmarked(id uuid.UUID, now time.Time) (since time.Time, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.lane(id)
	return l.first, l.failures >= openAfter || l.failures > 0 && now.Sub(l.first) >= markAfter
}
