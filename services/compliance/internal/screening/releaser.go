package screening

import (
	"context"
	"log/slog"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// ReleaseTick is how often due holds are looked for. A campaign held for 10:00 goes out by as many messages a lane and tick
// as the pace allows instead of all at once, tenants in turn, and codes and single messages beside it do not wait for it.
const ReleaseTick = 250 * time.Millisecond

// DefaultRate is how many messages a second a replica releases of a lane: about what a machine sends.
const DefaultRate = 16_000

// Releaser releases holds at their time.
type Releaser struct {
	screener *Screener
	lanes    []string
	tick     <-chan time.Time
	messages int // a lane and tick
}

// NewReleaser makes a releaser for lanes, which looks for due holds at every tick and releases at most so many messages a
// second of each lane (0: DefaultRate), if ticks come every ReleaseTick.
func NewReleaser(s *Screener, lanes []string, tick <-chan time.Time, perSecond int) *Releaser {
	if perSecond == 0 {
		perSecond = DefaultRate
	}
	return &Releaser{s, lanes, tick, max(1, int(int64(perSecond)*int64(ReleaseTick)/int64(time.Second)))}
}

// release decides due parcels. When they cannot be decided together, each is tried alone, and what fails for another
// reason than that something is away is left out: one damaged hold must not keep the others waiting.
func (s *Screener) release(ctx context.Context, parcels []Parcel) ([]Screened, error) {
	all, err := s.Decide(ctx, parcels)
	if err == nil || errs.KindOf(err) == errs.Unavailable {
		return all, err
	}
	all = nil
	for _, p := range parcels {
		one, err := s.Decide(ctx, []Parcel{p})
		switch {
		case err == nil:
			all = append(all, one...)
		case errs.KindOf(err) == errs.Unavailable:
			return nil, err
		default:
			slog.ErrorContext(ctx, "hold not decided, put off", slog.String("tenant_id", p.Tenant.String()),
				slog.String("parcel_id", p.ID.String()), slog.String("error", err.Error()))
		}
	}
	return all, nil
}

// Run releases until ctx ends; it returns nil then. A failure is logged and made good at the next tick.
func (r *Releaser) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.tick:
		}
		for _, lane := range r.lanes {
			n, err := r.screener.cfg.Store.Release(ctx, lane, r.screener.cfg.Now(), r.messages, r.screener.release)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				slog.WarnContext(ctx, "holds not released", slog.String("lane", lane), slog.String("error", err.Error()))
			case n > 0:
				slog.InfoContext(ctx, "holds released", slog.String("lane", lane), slog.Int("count", n))
			}
		}
	}
}
