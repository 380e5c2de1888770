package registry

import (
	"reflect"
	"slices"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Change is one object before and after.
type Change struct {
	Before *Object // nil for a new one
	After  Object
}

// Problem is why an object of Plan cannot be registered so.
type Problem struct {
	At int // its index in wanted
	errs.Violation
}

// Conflicts with what is registered.
const (
	// reasonBody: an approved body is immutable (TCCCPR 2018, content template registration).
	reasonBody     = "TEMPLATE_BODY_IMMUTABLE"
	reasonRevision = "TEMPLATE_REVISION"
	reasonOwner    = "OWNER_IMMUTABLE"
	reasonTwice    = "DUPLICATE"
)

// Plan says what changes when wanted is registered over what is there. known answers a registered object, nil when there is
// none; it must know all that wanted names, and what that refers to. Objects of wanted may refer to one another. When
// there are problems nothing may be changed. Plan neither keeps nor changes what it is given.
func Plan(known View, wanted []Object) (changes []Change, unchanged int, problems []Problem) {
	p := planner{known: known, coming: make(map[Key]bool, len(wanted))}
	changes = make([]Change, 0, len(wanted))
	for i := range wanted {
		o := wanted[i]
		o.Settle()
		p.coming[o.Key()] = true
	}
	seen := make(map[Key]bool, len(wanted))
	for i := range wanted {
		o := wanted[i]
		o.Settle()
		before := known(o.Key())
		if before != nil && o.Kind == Templates && o.Revision < before.Revision && sameBody(before.Body, o.Body) {
			o.Revision = before.Revision // who knows of no revisions means the one in force
		}
		if before != nil && o.Portal == "" && sameBody(before.Body, o.Body) {
			o.Portal = before.Portal // nor of the portals' syntax
		}
		count := len(p.problems)
		if seen[o.Key()] {
			p.refuse(i, "object_id", reasonTwice, "the object is there twice")
		}
		seen[o.Key()] = true
		for _, v := range Check(&o) {
			p.problems = append(p.problems, Problem{i, v})
		}
		p.references(i, &o)
		p.immutable(i, before, &o)
		switch {
		case len(p.problems) > count:
		case before != nil && Same(before, &o):
			unchanged++
		default:
			changes = append(changes, Change{before, o})
		}
	}
	slices.SortStableFunc(changes, func(a, b Change) int {
		return compareKeys(a.After.Key(), b.After.Key())
	})
	return changes, unchanged, p.problems
}

type planner struct {
	known    View
	coming   map[Key]bool
	problems []Problem
}

func (p *planner) refuse(at int, field, reason, detail string) {
	p.problems = append(p.problems, Problem{at, errs.Violation{Field: field, Reason: reason, Detail: detail}})
}

func (p *planner) there(k Key) bool {
	return p.coming[k] || p.known(k) != nil
}

// references: what an object names must be registered. A template may name headers that are not, as exports of
// templates come before those of headers; such a link has no effect until the header is there.
func (p *planner) references(at int, o *Object) {
	switch o.Kind {
	case Headers, CTAs, Templates:
		if o.Entity != "" && !p.there(Key{Entities, o.Entity}) {
			p.refuse(at, "entity_id", reasonNotThere, "the entity is not registered here; register it first")
		}
	case Entities:
		for _, tm := range o.Chain {
			if !p.there(Key{Telemarketers, tm}) {
				p.refuse(at, "chain", reasonNotThere, "telemarketer "+tm+" of the chain is not registered here; register it first")
			}
		}
	}
}

// immutable: an id belongs to one entity for good, and a body to one revision.
func (p *planner) immutable(at int, before, o *Object) {
	if before == nil {
		if o.Kind == Templates && o.Revision > 1 {
			p.refuse(at, "revision", reasonRevision, "a new template has revision 1")
		}
		return
	}
	if before.Entity != o.Entity {
		p.refuse(at, "entity_id", reasonOwner, "the object is registered to another entity; that does not change")
	}
	if o.Kind != Templates {
		return
	}
	switch {
	case o.Revision == before.Revision && sameBody(before.Body, o.Body), o.Revision == before.Revision+1:
	case o.Revision <= before.Revision:
		p.refuse(at, "body", reasonBody, "the template is registered with another text; a changed text needs a new template id, "+
			"or the next revision when the portal has approved it anew")
	default:
		p.refuse(at, "revision", reasonRevision, "a new revision has the number after the last")
	}
}

// Same tells whether two registrations say the same. Of what the registry keeps beside (versions, times) nothing counts.
func Same(a, b *Object) bool {
	x, y := plain(*a), plain(*b)
	return x.ValidFrom.Equal(y.ValidFrom) && x.ValidUntil.Equal(y.ValidUntil) && x.Certified.Equal(y.Certified) &&
		reflect.DeepEqual(untimed(x), untimed(y))
}

func plain(o Object) Object {
	o.Settle()
	o.Version, o.Created, o.Updated, o.Used = 0, time.Time{}, time.Time{}, time.Time{}
	if len(o.Operators) == 0 {
		o.Operators = nil
	}
	for _, list := range []*[]string{&o.Chain, &o.Headers, &o.Variables, &o.Overrides} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	return o
}

func untimed(o Object) Object {
	o.ValidFrom, o.ValidUntil, o.Certified = time.Time{}, time.Time{}, time.Time{}
	return o
}

// Planned says what becomes of the objects that are there.
type Planned func(known View) ([]Change, error)

// View answers a registered object, nil when there is none.
type View func(Key) *Object
