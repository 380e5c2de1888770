package screening

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Environments: overrides of templates count in test, uses of what is registered in live.
const (
	envLive = "live"
	envTest = "test"
)

// Config is what a Screener works with.
type Config struct {
	Registry Registry
	Packs    policy.Packs
	Contents Contents
	Store    Store
	Now      func() time.Time
	// Operators are those of the live routes: a header or template counts as active for live messages where one of them has
	// it active. Empty: statuses with single operators do not count.
	Operators []string
}

// Screener decides parcels and has the outcome recorded. It may be used from many goroutines.
type Screener struct {
	cfg Config
}

// New makes a screener.
func New(cfg Config) *Screener { return &Screener{cfg} }

// Screen decides accepted parcels and records the outcome, all in one transaction. A parcel that was recorded before,
// or stands twice in the call, has no second effect.
func (s *Screener) Screen(ctx context.Context, parcels []Parcel) error {
	screened, err := s.Decide(ctx, distinct(parcels))
	if err != nil {
		return err
	}
	return s.cfg.Store.Record(ctx, screened)
}

// distinct leaves the first of parcels with the same id.
func distinct(parcels []Parcel) []Parcel {
	seen := make(map[uuid.UUID]bool, len(parcels))
	kept := make([]Parcel, 0, len(parcels))
	for _, p := range parcels {
		if !seen[p.ID] {
			seen[p.ID] = true
			kept = append(kept, p)
		}
	}
	return kept
}

// Decide decides every message by the rule pack in force now. It has no effect: nothing is recorded. Content that must
// go out otherwise than it came (rendered, normalised) is sealed anew in the answer.
func (s *Screener) Decide(ctx context.Context, parcels []Parcel) ([]Screened, error) {
	now := s.cfg.Now()
	pack := s.cfg.Packs.At(now)
	d := decider{contents: s.cfg.Contents, pack: pack, now: now, operators: s.cfg.Operators}
	screened := make([]Screened, len(parcels))
	for i, p := range parcels {
		p.Messages = slices.Clone(p.Messages) // their content may be replaced
		d.parcel, d.snapshot = &p, s.cfg.Registry.Snapshot(p.Tenant)
		verdicts := make([]Verdict, len(p.Messages))
		for j := range p.Messages {
			if err := d.decide(ctx, &p.Messages[j], &verdicts[j]); err != nil {
				return nil, err
			}
		}
		screened[i] = Screened{Parcel: p, Pack: pack.Version, At: now, Verdicts: verdicts}
	}
	return screened, nil
}

// decider is the scratch of one Decide.
type decider struct {
	contents  Contents
	pack      *policy.Pack
	now       time.Time
	operators []string
	snapshot  *registry.Snapshot
	parcel    *Parcel
	matcher   template.Matcher
	content   Content
	facts     policy.Facts
}

// decide fills in v for one message and replaces its content where it must go out in another form.
func (d *decider) decide(ctx context.Context, m *Message, v *Verdict) error {
	d.facts = policy.Facts{Expire: instant(m.Expire), Schedule: instant(m.Schedule)}
	err := d.contents.Open(ctx, d.parcel, m, &d.content)
	if err != nil && !forGood(err) {
		return err
	}
	d.facts.Unreadable = err != nil
	d.facts.Mobile = err == nil && policy.IsMobile(d.content.To)
	changed := d.gather(m, v)
	v.Decision = policy.Evaluate(d.pack, &d.facts, d.now)
	v.Round = m.Round
	if v.Outcome == policy.Cleared && d.parcel.Env == envLive {
		d.used(m)
	}
	if v.Outcome == policy.Held && d.parcel.Hold != uuid.Nil {
		v.Round++
	}
	if changed && v.Outcome != policy.Refused {
		m.Content, err = d.contents.Reseal(ctx, d.parcel, m, &d.content)
		return err
	}
	return nil
}

// forGood tells whether content can never be read.
func forGood(err error) bool {
	kind := errs.KindOf(err)
	return kind == errs.Invalid || kind == errs.NotFound
}

// instant is the time of Unix microseconds; the zero time for 0.
func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us)
}
