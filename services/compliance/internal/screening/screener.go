package screening

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/content"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/msisdn"
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
	Proofs   Proofs // nil: nothing is known, and promotion is refused
	Wishes   Wishes // nil: as Proofs
	// Preferences is asked of recipients of promotion; nil: nothing is known, and promotion is refused.
	Preferences Preferences
	// ContentPolicies are those of tenants on personal and secret data; nil: the house's default for all.
	ContentPolicies ContentPolicies
	Route           func(env string) policy.Route // the route messages take; nil: nothing is known of it
	Store           Store
	Now             func() time.Time
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
	return s.decide(ctx, s.decider(s.cfg.Packs.At(now), now), parcels)
}

// decider makes one for a pack and a time, in the precision of records: a decision must come out the same from its record.
func (s *Screener) decider(pack *policy.Pack, now time.Time) *decider {
	now = now.Truncate(time.Microsecond)
	return &decider{opener: s.cfg.Contents, proofs: s.cfg.Proofs, pack: pack, now: now, day: registry.Day(now), operators: s.cfg.Operators}
}

// decide has d decide parcels.
func (s *Screener) decide(ctx context.Context, d *decider, parcels []Parcel) ([]Screened, error) {
	d.openPreferences(s.cfg.Preferences)
	defer d.view.Close()
	said, err := s.ask(ctx, parcels, d.pack, d.now)
	if err != nil {
		return nil, err
	}
	d.said = said
	screened := make([]Screened, len(parcels))
	for i, p := range parcels {
		contents := digest(p.Messages)
		p.Messages = slices.Clone(p.Messages) // their content may be replaced
		d.known, d.asked, d.parcel, d.snapshot = nil, false, &p, s.cfg.Registry.Snapshot(p.Tenant)
		if d.route = (policy.Route{}); s.cfg.Route != nil {
			d.route = s.cfg.Route(p.Env)
		}
		if len(d.operators) > 0 {
			d.route.Operator = d.operators[0] // told where no operator has an object active
		}
		if d.sensitive = nil; s.cfg.ContentPolicies != nil {
			d.sensitive = s.cfg.ContentPolicies.ContentPolicy(p.Tenant)
		}
		verdicts := make([]Verdict, len(p.Messages))
		if err := d.decideAll(ctx, p.Messages, verdicts); err != nil {
			return nil, err
		}
		screened[i] = Screened{Parcel: p, Pack: d.pack.Version, At: d.now, Verdicts: verdicts, Facts: d.known, Contents: contents}
		if d.asked && d.fresh {
			screened[i].Run = d.view.Run().ID
		}
	}
	return screened, nil
}

// decider is the scratch of one Decide.
type decider struct {
	opener      Contents
	proofs      Proofs
	route       policy.Route
	pack        *policy.Pack
	now         time.Time
	day         int32 // of now, as uses are noted
	operators   []string
	snapshot    *registry.Snapshot
	parcel      *Parcel
	matcher     template.Matcher
	content     *Content // of the message in hand
	facts       policy.Facts
	said        []Said // of this message and those after it; empty: nobody to ask
	looked      [lookAhead]registered
	contents    [lookAhead]Content
	unreadable  [lookAhead]bool
	wished      [lookAhead]wish
	preferences Preferences
	view        preference.View
	fresh       bool // the view's run is valid now
	asked       bool // of this parcel, for any message
	scanner     content.Scanner
	findings    []content.Finding
	sensitive   content.Policy // of the parcel's tenant
	touched     int
	known       []policy.Facts // distinct ones of the parcel
	// examined is told of each message when it is decided, with content and facts still at hand; nothing then counts as used.
	examined func(i int, v *Verdict)
}

// decideAll fills in a verdict for each message.
func (d *decider) decideAll(ctx context.Context, messages []Message, verdicts []Verdict) error {
	for from := 0; from < len(messages); from += lookAhead {
		batch := messages[from:min(from+lookAhead, len(messages))]
		d.look(batch)
		if err := d.open(ctx, batch); err != nil {
			return err
		}
		d.wishes(batch)
		for i := range batch {
			if err := d.decide(ctx, &batch[i], i, &verdicts[from+i]); err != nil {
				return err
			}
			if d.examined != nil {
				d.examined(from+i, &verdicts[from+i])
			}
		}
	}
	return nil
}

// open reads the content of up to lookAhead messages, so that their recipients can be looked up together.
func (d *decider) open(ctx context.Context, messages []Message) error {
	for i := range messages {
		err := d.opener.Open(ctx, d.parcel, &messages[i], &d.contents[i])
		if err != nil && !forGood(err) {
			return err
		}
		d.unreadable[i] = err != nil
	}
	return nil
}

// decide fills in v for the message at place i of its batch and replaces its content where it must go out in another form.
func (d *decider) decide(ctx context.Context, m *Message, i int, v *Verdict) (err error) {
	r := &d.looked[i]
	d.content = &d.contents[i]
	d.facts = policy.Facts{Expire: instant(m.Expire), Schedule: instant(m.Schedule), Route: d.route, Unreadable: d.unreadable[i]}
	number := msisdn.Number(0)
	if !d.facts.Unreadable && msisdn.IsE164(d.content.To) { // ingest normalises; here the form is verified
		number, d.facts.Mobile = msisdn.Parse(d.content.To)
		d.facts.SeriesUnknown = !number.Known()
	}
	changed := d.gather(m, r, v)
	d.prove(m, number)
	if len(d.said) > 0 {
		d.said[0].into(&d.facts)
		d.said = d.said[1:]
	}
	d.prefer(&d.wished[i])
	d.asked = d.asked || d.wished[i].asked
	v.Findings = nil
	if !d.facts.Unreadable {
		v.Findings = d.scan(m)
	}
	v.Decision = policy.Evaluate(d.pack, &d.facts, d.now)
	v.Round = m.Round
	v.Facts = d.remember()
	if v.Outcome == policy.Cleared && d.parcel.Env == envLive && d.examined == nil {
		d.used(r)
	}
	if v.Outcome == policy.Held && d.parcel.Hold != uuid.Nil {
		v.Round++
	}
	if changed && v.Outcome != policy.Refused {
		m.Content, err = d.opener.Reseal(ctx, d.parcel, m, d.content)
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
