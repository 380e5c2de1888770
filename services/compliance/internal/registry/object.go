package registry

import (
	"cmp"
	"crypto/md5"
	"encoding/hex"
	"maps"
	"slices"
	"time"
)

// Kind is what an object of the registry is; the words are those of the API's paths and of announcements.
type Kind string

// The kinds, in the order in which they refer to one another.
const (
	Telemarketers Kind = "telemarketers"
	Entities      Kind = "entities"
	Headers       Kind = "headers"
	CTAs          Kind = "ctas"
	Templates     Kind = "templates"
)

// Kinds are all kinds; what refers to an object comes after it.
var Kinds = []Kind{Telemarketers, Entities, Headers, CTAs, Templates}

// Rank is a kind's place in Kinds, -1 for what is none.
func (k Kind) Rank() int { return slices.Index(Kinds, k) }

// Key names an object of a tenant.
type Key struct {
	Kind Kind
	ID   string
}

// String is the key as announcements write it: templates/1107160000000000011.
func (k Key) String() string { return string(k.Kind) + "/" + k.ID }

// Object is one registered object as data: of a file, of the database, of the API. Words are not checked; Check does.
type Object struct {
	Kind   Kind   `json:"kind"`
	ID     string `json:"id"`               // 19 digits; of a header its text; of a call to action CTAID
	Entity string `json:"entity,omitempty"` // owner of a header, template or call to action

	Status     string            `json:"status,omitempty"`    // portal-wide; empty is active
	Operators  map[string]string `json:"operators,omitempty"` // status with single operators, where it differs
	ValidFrom  time.Time         `json:"valid_from,omitzero"`
	ValidUntil time.Time         `json:"valid_until,omitzero"`
	Certified  time.Time         `json:"certified,omitzero"` // last self-certification
	Detail

	Version int64     `json:"-"` // registry version of the last change
	Created time.Time `json:"-"`
	Updated time.Time `json:"-"`
	Used    time.Time `json:"-"` // last day of a cleared live message; zero: none yet
}

// Detail is what the kinds have beside; every field says of which kind it is.
type Detail struct {
	Name string `json:"name,omitempty"`
	// Telemarketers: TM-AF or TM-DF.
	Role string `json:"role,omitempty"`
	// Entities: telemarketer ids in order, TM-DF last; empty when no chain is approved. PortalHash is the chain's hash as the
	// portal shows it, 64 hex digits, when it is known.
	Chain       []string `json:"chain,omitempty"`
	ChainStatus string   `json:"chain_status,omitempty"`
	PortalHash  string   `json:"portal_hash,omitempty"`
	// Headers: other or promotional. Calls to action: static, dynamic, short, ott, number or email, with their value.
	Type  string `json:"type,omitempty"`
	Value string `json:"value,omitempty"`
	// Templates. MaxLength belongs to the override untyped_allowed: UTF-16 units an untyped variable may have. Goods is the
	// category of goods 0-8 (TCCCPR 2018, header rules), when registered.
	Body      string   `json:"body,omitempty"`
	Portal    string   `json:"portal,omitempty"` // whose syntax the body has; empty: what any portal writes
	Revision  int      `json:"revision,omitempty"`
	Category  string   `json:"category,omitempty"`
	Headers   []string `json:"headers,omitempty"`
	Variables []string `json:"variables,omitempty"`
	Overrides []string `json:"overrides,omitempty"`
	MaxLength int      `json:"max_length,omitempty"`
	Goods     *int     `json:"goods,omitempty"`
}

// Overrides of a template.
const (
	// UntypedAllowed lets untyped variables take any text in environment test.
	UntypedAllowed = "untyped_allowed"
	// PreferenceUncheckedAllowed lets a promotional template go without a look at preference and consent, which are not
	// known here yet: for demonstrations. Each message that goes by it carries the warning PREFERENCE_UNCHECKED. A registry
	// file can set it; the API cannot.
	PreferenceUncheckedAllowed = "preference_unchecked_allowed"
)

// Key names the object.
func (o *Object) Key() Key { return Key{o.Kind, o.ID} }

// CTAID is the id the registry gives a call to action: the same entity, type and value always have the same.
func CTAID(entity, kind, value string) string {
	sum := md5.Sum([]byte(entity + "\n" + kind + "\n" + value)) // a name, not a protection
	return hex.EncodeToString(sum[:])
}

// Settle fills in what has a default, so that equal registrations are equal as data.
func (o *Object) Settle() {
	if o.Status == "" {
		o.Status = "active"
	}
	for operator, status := range o.Operators {
		if status == "" {
			o.Operators = maps.Clone(o.Operators)
			o.Operators[operator] = "active"
		}
	}
	switch o.Kind {
	case CTAs:
		o.ID = CTAID(o.Entity, o.Type, o.Value)
	case Headers:
		if o.Type == "" {
			o.Type = "other"
		}
	case Templates:
		o.Revision = max(o.Revision, 1)
	case Entities:
		if len(o.Chain) > 0 && o.ChainStatus == "" {
			o.ChainStatus = "active"
		}
	}
}

// Rows are one tenant's registry as data, or what of it has changed.
type Rows struct {
	Version int64 // grows with every change
	Objects []Object
}

// Names names every object of the rows, as templates/1107160000000000011.
func (r *Rows) Names() []string {
	names := make([]string, len(r.Objects))
	for i := range r.Objects {
		names[i] = r.Objects[i].Key().String()
	}
	return names
}

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Kind.Rank(), b.Kind.Rank()), cmp.Compare(a.ID, b.ID))
}

// WithStatus is the object with another status, portal-wide or at one operator.
func (o Object) WithStatus(operator, status string) Object {
	if operator == "" {
		o.Status = status
		return o
	}
	o.Operators = maps.Clone(o.Operators)
	if o.Operators == nil {
		o.Operators = map[string]string{}
	}
	o.Operators[operator] = status
	return o
}
