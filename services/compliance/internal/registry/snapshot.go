package registry

import (
	"errors"
	"fmt"
	"slices"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
)

// Entity is a principal entity, ready for decisions.
type Entity struct {
	ID        string
	Status    policy.Status
	Chain     Chain
	Whitelist *template.Whitelist
}

// Header is a header, ready for decisions.
type Header struct {
	Text   string
	Entity string
	Kind   policy.Kind
	Status policy.Status
}

// Template is a content template, ready for decisions.
type Template struct {
	ID         string
	Entity     string
	Headers    []string
	Category   policy.Category
	Status     policy.Status
	Goods      int // -1 when not registered
	Parsed     *template.Template
	UntypedMax int  // above 0: the override untyped_allowed with its limit
	Unchecked  bool // the override preference_unchecked_allowed
	Unlisted   bool // its own text has a call to action that is not whitelisted
}

// Linked tells whether the template may go out under header.
func (t *Template) Linked(header string) bool { return slices.Contains(t.Headers, header) }

// Snapshot is one version of one tenant's registry. It is immutable.
type Snapshot struct {
	version   int64
	entities  map[string]*Entity
	headers   map[string]*Header
	templates map[string]*Template
}

// Version is the version of the rows it was made from.
func (s *Snapshot) Version() int64 { return s.version }

// Entity is the entity with this id, nil when there is none.
func (s *Snapshot) Entity(id string) *Entity { return s.entities[id] }

// Header is the header with exactly this text, nil when there is none.
func (s *Snapshot) Header(text string) *Header { return s.headers[text] }

// Template is the template with this id, nil when there is none.
func (s *Snapshot) Template(id string) *Template { return s.templates[id] }

// NewSnapshot builds a snapshot. The error joins one for every row that is wrong; such a row is left out, everything
// else is there, so that a bad row cannot stop a tenant's traffic.
func NewSnapshot(rows Rows) (*Snapshot, error) {
	b := builder{rows: rows, s: &Snapshot{version: rows.Version, entities: make(map[string]*Entity, len(rows.Entities)),
		headers: make(map[string]*Header, len(rows.Headers)), templates: make(map[string]*Template, len(rows.Templates))}}
	b.telemarketers()
	b.entities()
	b.headers()
	b.templates()
	return b.s, errors.Join(b.wrong...)
}

type builder struct {
	rows         Rows
	s            *Snapshot
	intermediary map[string]Link
	wrong        []error
}

// refuse notes what is wrong with an object; it answers whether anything is.
func (b *builder) refuse(kind, id string, errs ...error) bool {
	err := errors.Join(errs...)
	if err != nil {
		b.wrong = append(b.wrong, fmt.Errorf("%s %s: %w", kind, id, err))
	}
	return err != nil
}

func (b *builder) telemarketers() {
	b.intermediary = make(map[string]Link, len(b.rows.Telemarketers))
	for _, r := range b.rows.Telemarketers {
		status, err := policy.ParseStatus(r.Status)
		if !b.refuse("telemarketer", r.ID, err, wantID(r.ID), oneOf("role", r.Role, RoleAggregator, RoleDeliverer)) {
			b.intermediary[r.ID] = Link{r.ID, r.Role, status}
		}
	}
}

func (b *builder) entities() {
	lists := map[string][]template.CTA{}
	for _, c := range b.rows.CTAs {
		if status, err := policy.ParseStatus(c.Status); !b.refuse("cta of", c.Entity, err) && status == policy.Active {
			lists[c.Entity] = append(lists[c.Entity], template.CTA{Kind: c.Kind, Value: c.Value})
		}
	}
	for _, r := range b.rows.Entities {
		status, err := policy.ParseStatus(r.Status)
		if b.refuse("entity", r.ID, err, wantID(r.ID)) {
			continue
		}
		e := &Entity{ID: r.ID, Status: status}
		var list, chain error
		e.Whitelist, list = template.NewWhitelist(lists[r.ID])
		if len(r.Chain) > 0 {
			chain = b.chain(e, r)
		}
		b.refuse("entity", r.ID, list, chain)
		b.s.entities[r.ID] = e
	}
}

// chain makes the entity's chain; telemarketers it names must be registered.
func (b *builder) chain(e *Entity, r EntityRow) error {
	status, err := policy.ParseStatus(r.ChainStatus)
	if err != nil {
		return err
	}
	links := make([]Link, len(r.Chain))
	for i, id := range r.Chain {
		tm, known := b.intermediary[id]
		if !known {
			return fmt.Errorf("telemarketer %s of the chain is not registered", id)
		}
		links[i] = tm
	}
	e.Chain, err = NewChain(r.ID, links, status, "")
	return err
}

func (b *builder) headers() {
	for _, r := range b.rows.Headers {
		kind, wrongKind := policy.ParseKind(r.Kind)
		status, wrongStatus := policy.ParseStatus(r.Status)
		if !b.refuse("header", r.Header, wrongKind, wrongStatus, policy.CheckHeader(r.Header), b.owner(r.Entity)) {
			b.s.headers[r.Header] = &Header{Text: r.Header, Entity: r.Entity, Kind: kind, Status: status}
		}
	}
}

func (b *builder) templates() {
	for _, r := range b.rows.Templates {
		t, err := newTemplate(r)
		if b.refuse("template", r.ID, err, wantID(r.ID), b.owner(r.Entity)) {
			continue
		}
		_, listed := t.Parsed.Unlisted(b.s.entities[r.Entity].Whitelist)
		t.Unlisted = !listed
		b.s.templates[r.ID] = t
	}
}

func newTemplate(r TemplateRow) (*Template, error) {
	category, err := policy.ParseCategory(r.Category)
	if err != nil {
		return nil, err
	}
	status, err := policy.ParseStatus(r.Status)
	if err != nil {
		return nil, err
	}
	names := r.Variables
	if len(names) == 0 {
		names = nil
	}
	parsed, err := template.Parse(r.Body, names)
	if err != nil {
		return nil, err
	}
	t := &Template{ID: r.ID, Entity: r.Entity, Headers: slices.Clone(r.Headers), Category: category, Status: status,
		Goods: -1, Parsed: parsed}
	if r.Goods != nil {
		t.Goods = *r.Goods
	}
	return t, t.override(r)
}

func (t *Template) override(r TemplateRow) error {
	for _, o := range r.Overrides {
		switch {
		case o == PreferenceUncheckedAllowed:
			t.Unchecked = true
		case o != UntypedAllowed:
			return fmt.Errorf("unknown override %q", o)
		case r.MaxLength <= 0 || r.MaxLength > 2000:
			return fmt.Errorf("override %s needs a max_length of 1 to 2000", o)
		default:
			t.UntypedMax = r.MaxLength
		}
	}
	return nil
}

func (b *builder) owner(entity string) error {
	if b.s.entities[entity] == nil {
		return fmt.Errorf("entity %q is not registered", entity)
	}
	return nil
}

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
