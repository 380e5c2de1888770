package registry

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
)

// Apply is the version after s, in which the objects of rows stand as they say. What it costs follows from the rows, not
// from the registry's size: a change of one template among 100,000 takes some ten microseconds. Errors are as for
// NewSnapshot; a row that is wrong takes its object out.
func (s *Snapshot) Apply(rows Rows) (*Snapshot, error) {
	next := *s
	next.version = rows.Version
	b := builder{s: &next, entities: edit[Entity]{shards: &next.entities}, headers: edit[Header]{shards: &next.headers},
		templates: edit[Template]{shards: &next.templates}, owned: map[string]bool{}, relisted: map[string]bool{},
		found: map[string]found{}, links: map[string][]string{}}
	for rank := -1; rank < len(Kinds); rank++ { // what refers to an object comes after it; -1 is of no kind
		for i := range rows.Objects {
			if rows.Objects[i].Kind.Rank() == rank {
				o := rows.Objects[i]
				o.Settle()
				b.object(&o)
			}
		}
	}
	b.rechain()
	b.relist()
	template.Pack(b.parsed)
	next.finder = s.finder.next(b.found)
	return b.s, errors.Join(b.wrong...)
}

type builder struct {
	s         *Snapshot
	entities  edit[Entity]
	headers   edit[Header]
	templates edit[Template]
	owned     map[string]bool // entities that are this version's own copies
	relisted  map[string]bool // entities whose calls to action have changed
	chained   bool            // telemarketers have changed
	parsed    []*template.Template
	found     map[string]found    // by template: what changes for the index of bodies
	links     map[string][]string // lists of headers, of which templates share few
	wrong     []error
}

func (b *builder) object(o *Object) {
	standing, err := standingOf(o)
	switch o.Kind {
	case Telemarketers:
		b.telemarketer(o, standing, err)
	case Entities:
		b.entity(o, standing, err)
	case CTAs:
		b.cta(o, standing, err)
	case Headers:
		b.header(o, standing, err)
	case Templates:
		b.template(o, standing, err)
	default:
		b.refuse(o, fmt.Errorf("unknown kind"))
	}
}

// refuse notes what is wrong with an object; it answers whether anything is. A call to action is named by its id: its
// value may be a number.
func (b *builder) refuse(o *Object, errs ...error) bool {
	err := errors.Join(errs...)
	if err != nil {
		b.wrong = append(b.wrong, fmt.Errorf("%s: %w", o.Key(), err))
	}
	return err != nil
}

func standingOf(o *Object) (s Standing, err error) {
	if s.Status, err = policy.ParseStatus(o.Status); err != nil {
		return s, err
	}
	s.From, s.Until = o.ValidFrom, o.ValidUntil
	for operator, word := range o.Operators {
		status, err := policy.ParseStatus(word)
		if err != nil {
			return s, fmt.Errorf("with %s: %w", operator, err)
		}
		if s.Operators == nil {
			s.Operators = make(map[string]policy.Status, len(o.Operators))
		}
		s.Operators[operator] = status
	}
	return s, nil
}

func (b *builder) telemarketer(o *Object, standing Standing, err error) {
	if !b.chained {
		b.s.telemarketers, b.chained = maps.Clone(b.s.telemarketers), true
		if b.s.telemarketers == nil {
			b.s.telemarketers = map[string]Link{}
		}
	}
	delete(b.s.telemarketers, o.ID)
	if !b.refuse(o, err, wantID(o.ID), oneOf("role", o.Role, RoleAggregator, RoleDeliverer)) {
		b.s.telemarketers[o.ID] = Link{o.ID, o.Role, standing.Status}
	}
}

// own is this version's own copy of an entity, to be changed; nil when there is none.
func (b *builder) own(id string) *Entity {
	e := b.entities.get(id)
	if e == nil || b.owned[id] {
		return e
	}
	e = new(*e)
	e.ctas, e.withCTA = maps.Clone(e.ctas), maps.Clone(e.withCTA)
	b.owned[id] = true
	b.entities.put(id, e)
	return e
}

func (b *builder) entity(o *Object, standing Standing, err error) {
	if b.refuse(o, err, wantID(o.ID)) {
		b.entities.remove(o.ID)
		return
	}
	e := b.own(o.ID)
	if e == nil {
		e = &Entity{ID: o.ID, ctas: map[string]template.CTA{}, withCTA: map[string]struct{}{}}
		b.owned[o.ID] = true
		b.entities.put(o.ID, e)
	}
	e.Standing = standing
	e.chain, e.Chain = nil, Chain{}
	if len(o.Chain) > 0 {
		b.refuse(o, b.bind(e, o))
	}
}

// bind makes the entity's chain. A hash that differs from the portal's is alarming: the operator would refuse every
// message.
func (b *builder) bind(e *Entity, o *Object) error {
	status, err := policy.ParseStatus(o.ChainStatus)
	if err != nil {
		return err
	}
	links := make([]Link, len(o.Chain))
	for i, id := range o.Chain {
		link, known := b.s.telemarketers[id]
		if !known {
			return fmt.Errorf("telemarketer %s of the chain is not registered", id)
		}
		links[i] = link
	}
	if e.Chain, err = NewChain(o.ID, links, status, o.PortalHash); err != nil {
		return err
	}
	e.chain = slices.Clone(o.Chain)
	if e.Chain.Differs {
		return fmt.Errorf("chain hash: the portal shows %s, computed is %x", o.PortalHash, e.Chain.Hash)
	}
	return nil
}

// rechain brings the chains in line with telemarketers that have changed.
func (b *builder) rechain() {
	if !b.chained {
		return
	}
	for e := range b.entities.all() {
		if len(e.chain) == 0 {
			continue
		}
		worst := policy.Active
		for _, tm := range e.chain {
			if worst == policy.Active { // the first that is not
				worst = b.s.telemarketers[tm].Status
			}
		}
		if worst != e.Chain.Telemarketer {
			b.own(e.ID).Chain.Telemarketer = worst
		}
	}
}

func (b *builder) cta(o *Object, standing Standing, err error) {
	e := b.own(o.Entity)
	if e == nil {
		b.refuse(o, err, unowned(o))
		return
	}
	b.relisted[o.Entity] = true
	delete(e.ctas, o.ID)
	c := template.CTA{Kind: template.CTAKind(o.Type), Value: o.Value}
	_, malformed := template.NewWhitelist([]template.CTA{c})
	if !b.refuse(o, err, malformed) && standing.Status == policy.Active {
		e.ctas[o.ID] = c
	}
}

// relist makes the whitelists anew whose calls to action have changed, and looks again at every template of theirs whose
// own text has one.
func (b *builder) relist() {
	for id := range b.relisted {
		e := b.own(id)
		e.Whitelist, _ = template.NewWhitelist(slices.Collect(maps.Values(e.ctas))) // each was tried when it came
		for t := range e.withCTA {
			old := b.templates.get(t)
			if _, listed := old.Parsed.Unlisted(e.Whitelist); listed == old.Unlisted {
				t := new(*old)
				t.Unlisted = !listed
				b.templates.put(t.ID, t)
			}
		}
	}
}

func (b *builder) header(o *Object, standing Standing, err error) {
	kind, wrongKind := policy.ParseKind(o.Type)
	if b.refuse(o, err, wrongKind, policy.CheckHeader(o.ID), b.owner(o)) {
		b.headers.remove(o.ID)
		return
	}
	h := &Header{Text: o.ID, Entity: b.entities.get(o.Entity).ID, Kind: kind, Standing: standing, Use: newUse(o)}
	if old := b.headers.get(o.ID); old != nil {
		h.Use = old.Use
	}
	b.headers.put(o.ID, h)
}

func (b *builder) template(o *Object, standing Standing, err error) {
	old := b.templates.get(o.ID)
	t, malformed := b.newTemplate(old, o)
	if b.refuse(o, err, malformed, wantID(o.ID), b.owner(o)) {
		b.index(old, nil)
		b.templates.remove(o.ID)
		return
	}
	t.Standing = standing
	if old != nil {
		t.Use = old.Use
	}
	if owner := b.entities.get(o.Entity); owner != nil {
		t.Entity = owner.ID // one string for all
	}
	b.index(old, t)
	b.templates.put(o.ID, t)
}

// index keeps what is looked up by other things than a template's id, when old gives way to t (either may be nil): here
// belongs every such index of an entity or header. Today: which templates have a call to action in their own text, and
// what the index of bodies must take in.
func (b *builder) index(old, t *Template) {
	b.find(old, t)
	had, has := b.hasCTA(old), false
	if t != nil {
		_, free := t.Parsed.Unlisted(nil)
		_, listed := t.Parsed.Unlisted(b.entities.get(t.Entity).Whitelist)
		has, t.Unlisted = !free, !listed
	}
	same := had && has && old.Entity == t.Entity // else the entities are copied, to be changed
	if had && !same {
		delete(b.own(old.Entity).withCTA, old.ID)
	}
	if has && !same {
		b.own(t.Entity).withCTA[t.ID] = struct{}{}
	}
}

// hasCTA tells whether a template is among those of its entity that have a call to action in their own text.
func (b *builder) hasCTA(t *Template) bool {
	if t == nil {
		return false
	}
	e := b.entities.get(t.Entity)
	if e == nil {
		return false
	}
	_, there := e.withCTA[t.ID]
	return there
}

func (b *builder) owner(o *Object) error {
	if b.entities.get(o.Entity) == nil {
		return unowned(o)
	}
	return nil
}

func unowned(o *Object) error { return fmt.Errorf("entity %q is not registered", o.Entity) }

func wantID(id string) error {
	if !policy.IsID(id) {
		return errors.New("the id is not 19 digits")
	}
	return nil
}

func oneOf(field, value string, allowed ...string) error {
	if !slices.Contains(allowed, value) {
		return fmt.Errorf("%s %q is none of %v", field, value, allowed)
	}
	return nil
}
