package registry

import (
	"iter"
	"time"
)

// lists gives the lists of a file in the order of Kinds.
func (y *fileYAML) lists() iter.Seq2[Kind, *[]fileObject] {
	r := &y.Registry
	return func(yield func(Kind, *[]fileObject) bool) {
		for i, list := range []*[]fileObject{&r.Telemarketers, &r.Entities, &r.Headers, &r.CTAs, &r.Templates} {
			if !yield(Kinds[i], list) {
				return
			}
		}
	}
}

// fileObject is an object of any kind as a file writes it: a header's id is its header, a type is its kind.
type fileObject struct {
	ID         string            `yaml:"id,omitempty"`
	Header     string            `yaml:"header,omitempty"`
	Entity     string            `yaml:"entity,omitempty"`
	Name       string            `yaml:"name,omitempty"`
	Kind       string            `yaml:"kind,omitempty"`
	Value      string            `yaml:"value,omitempty"`
	Role       string            `yaml:"role,omitempty"`
	Status     string            `yaml:"status,omitempty"`
	Operators  map[string]string `yaml:"operators,omitempty"`
	ValidFrom  time.Time         `yaml:"valid_from,omitempty"`
	ValidUntil time.Time         `yaml:"valid_until,omitempty"`
	Certified  time.Time         `yaml:"certified,omitempty"`

	Chain       []string `yaml:"chain,omitempty"`
	ChainStatus string   `yaml:"chain_status,omitempty"`
	PortalHash  string   `yaml:"portal_hash,omitempty"`

	Category  string   `yaml:"category,omitempty"`
	Revision  int      `yaml:"revision,omitempty"`
	Headers   []string `yaml:"headers,omitempty"`
	Body      string   `yaml:"body,omitempty"`
	Portal    string   `yaml:"portal,omitempty"`
	Variables []string `yaml:"variables,omitempty"`
	Overrides []string `yaml:"overrides,omitempty"`
	MaxLength int      `yaml:"max_length,omitempty"`
	Goods     *int     `yaml:"goods,omitempty"`
}

func (f *fileObject) object(kind Kind) Object {
	o := Object{Kind: kind, ID: f.ID, Entity: f.Entity, Status: f.Status, Operators: f.Operators, ValidFrom: f.ValidFrom,
		ValidUntil: f.ValidUntil, Certified: f.Certified, Detail: Detail{Name: f.Name, Role: f.Role, Chain: f.Chain,
			ChainStatus: f.ChainStatus, PortalHash: f.PortalHash, Type: f.Kind, Value: f.Value, Body: f.Body, Revision: f.Revision,
			Category: f.Category, Headers: f.Headers, Variables: f.Variables, Overrides: f.Overrides, MaxLength: f.MaxLength,
			Goods: f.Goods, Portal: f.Portal}}
	if kind == Headers {
		o.ID = f.Header
	}
	o.Settle()
	return o
}

func fileObjectOf(o *Object) fileObject {
	f := fileObject{ID: o.ID, Entity: o.Entity, Name: o.Name, Kind: o.Type, Value: o.Value, Role: o.Role, Status: o.Status,
		Operators: o.Operators, ValidFrom: o.ValidFrom, ValidUntil: o.ValidUntil, Certified: o.Certified, Chain: o.Chain,
		ChainStatus: o.ChainStatus, PortalHash: o.PortalHash, Category: o.Category, Revision: o.Revision, Headers: o.Headers,
		Body: o.Body, Variables: o.Variables, Overrides: o.Overrides, MaxLength: o.MaxLength, Goods: o.Goods, Portal: o.Portal}
	switch o.Kind {
	case Headers:
		f.ID, f.Header = "", o.ID
	case CTAs:
		f.ID = "" // it follows from the rest
	}
	return f
}
