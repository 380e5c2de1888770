package registry

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
)

// Among narrows down among which templates of a tenant a text is looked for; empty fields match all.
type Among struct {
	Entity, Header string
	Now            time.Time // of links and statuses
}

// Current is the portal-wide status at a time: Inactive before the validity, SuspendedValidity after it.
func (s *Standing) Current(at time.Time) policy.Status {
	switch {
	case s.Status != policy.Active:
		return s.Status
	case !s.From.IsZero() && at.Before(s.From):
		return policy.Inactive
	case !s.Until.IsZero() && !at.Before(s.Until):
		return policy.SuspendedValidity
	}
	return policy.Active
}

// maxHits bounds the templates that Find looks through for active ones.
const maxHits = 50

// nearestBudget is the work of Nearest in steps of about a nanosecond: it goes through every body, and 100,000 of usual
// length take half of it.
const nearestBudget = 20_000_000

// Found is what Find answers.
type Found struct {
	// Of are the templates the text is of, those that are active first, then those with most fixed text, then by id.
	Of []*Template
	// TooComplex: the budget was used up; there may be others.
	TooComplex bool
}

// Find finds the templates of a normalised text, at most limit.
func (s *Snapshot) Find(m *template.Matcher, text string, in Among, limit int) Found {
	hits := m.Find(s.Index(), text, template.Search{Accept: s.accept(in), Most: max(limit, maxHits)})
	f := Found{TooComplex: hits.TooComplex}
	for _, h := range hits.Best {
		f.Of = append(f.Of, s.Template(h.Entry.ID))
	}
	usable := func(t *Template) int {
		if t.Current(in.Now) == policy.Active {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(f.Of, func(a, b *Template) int { return usable(a) - usable(b) })
	f.Of = f.Of[:min(limit, len(f.Of))]
	return f
}

// Nearest finds the template that a normalised text of none was probably meant for; nil when there is none. tooComplex as
// for Found.
func (s *Snapshot) Nearest(m *template.Matcher, text string, in Among) (near *Template, tooComplex bool) {
	best, ok := m.Nearest(s.Index(), text, template.Search{Accept: s.accept(in), Budget: nearestBudget})
	if ok {
		near = s.Template(best.Entry.ID)
	}
	return near, best.TooComplex
}

func (s *Snapshot) accept(in Among) func(*template.Entry) bool {
	if in.Entity == "" && in.Header == "" {
		return nil
	}
	return func(e *template.Entry) bool {
		t := s.Template(e.ID)
		return t != nil && (in.Entity == "" || t.Entity == in.Entity) && (in.Header == "" || t.LinkedAt(in.Header, in.Now))
	}
}

// Index is the index of all bodies. It is built when it is first asked for, at some 4 µs for each template, and takes in
// what changes from then on; whoever asks meanwhile waits, decisions do not.
func (s *Snapshot) Index() *template.Index { return s.finder.of(s) }

// finder is the index of a version's bodies. Versions with the same bodies share it.
type finder struct {
	build   sync.Mutex
	index   atomic.Pointer[template.Index]
	pending atomic.Pointer[pending]
}

// pending is what an index takes in when it is asked for next.
type pending struct {
	base    *template.Index
	changed map[string]found
}

// found is how a body has changed since an index was built.
type found struct {
	was bool               // it is in the index
	now *template.Template // nil: none any more
}

// maxPending bounds what waits to be taken in; beyond it, building anew is as cheap, and what was there before is let go.
const maxPending = 1000

// find notes that the body of a template has changed.
func (b *builder) find(old, t *Template) {
	var now *template.Template
	id := ""
	if t != nil {
		id, now = t.ID, t.Parsed
	}
	if old != nil {
		if id = old.ID; old.Parsed == now {
			return
		}
	}
	if id != "" {
		note(b.found, id, found{old != nil, now})
	}
}

// note adds a change to others; whether the body is in the index the first one says.
func note(all map[string]found, id string, f found) {
	if first, there := all[id]; there {
		f.was = first.was
	}
	all[id] = f
}

// next is the finder of the version after some changes.
func (f *finder) next(changed map[string]found) *finder {
	if len(changed) == 0 {
		return f
	}
	index := f.index.Load()
	p := f.pending.Load()
	if index == nil && p == nil {
		index = f.index.Load() // what was pending has just been taken in, or nobody has asked yet
	}
	after := pending{base: index, changed: changed}
	if index == nil && p != nil {
		after = pending{base: p.base, changed: maps.Clone(p.changed)}
		for id, c := range changed {
			note(after.changed, id, c)
		}
	}
	n := &finder{}
	if after.base != nil && len(after.changed) <= maxPending {
		n.pending.Store(&after)
	}
	return n
}

func (f *finder) of(s *Snapshot) *template.Index {
	if x := f.index.Load(); x != nil {
		return x
	}
	f.build.Lock()
	defer f.build.Unlock()
	if x := f.index.Load(); x != nil {
		return x
	}
	var x *template.Index
	if p := f.pending.Load(); p != nil {
		x = p.take()
	} else {
		x = template.NewIndex(s.entries())
	}
	f.index.Store(x)
	f.pending.Store(nil)
	return x
}

func (p *pending) take() *template.Index {
	var gone []string
	var added []template.Entry
	for id, c := range p.changed {
		if c.was {
			gone = append(gone, id)
		}
		if c.now != nil {
			added = append(added, template.Entry{ID: id, Template: c.now})
		}
	}
	x := p.base
	if len(gone) > 0 {
		x = x.Without(gone...)
	}
	if len(added) > 0 {
		x = x.With(added...)
	}
	return x
}

func (s *Snapshot) entries() []template.Entry {
	var all []template.Entry
	for t := range s.templates.all() {
		all = append(all, template.Entry{ID: t.ID, Template: t.Parsed})
	}
	return all
}
