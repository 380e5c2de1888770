package registry

import (
	"slices"
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
)

// Standing is whether an object may be used, ready for decisions.
type Standing struct {
	Status      policy.Status            // portal-wide
	Operators   map[string]policy.Status // with single operators, where it differs; nil for none
	From, Until time.Time                // validity; zero: no bound
}

// With is the status with one operator, at any time; Unknown where it does not differ from the portal-wide one.
func (s *Standing) With(operator string, _ time.Time) policy.Status { return s.Operators[operator] }

// Entity is a principal entity, ready for decisions.
type Entity struct {
	ID string
	Standing
	Chain     Chain
	Whitelist *template.Whitelist

	chain   []string                // ids of its telemarketers
	ctas    map[string]template.CTA // active ones by id
	withCTA map[string]struct{}     // templates whose own text has a call to action
}

// Header is a header, ready for decisions.
type Header struct {
	Text   string
	Entity string
	Kind   policy.Kind
	Standing
	*Use
}

// Template is a content template, ready for decisions.
type Template struct {
	ID       string
	Portal   string // whose syntax the body has; empty: what any portal writes
	Entity   string // the same string as its owner's ID
	Headers  []string
	link     word // of the first of Headers
	Category policy.Category
	Standing
	Goods      int // -1 when not registered
	Parsed     *template.Template
	UntypedMax int           // above 0: the override untyped_allowed with its limit
	Named      bool          // its variables have names of their own
	Unchecked  bool          // the override preference_unchecked_allowed
	Unlisted   bool          // its own text has a call to action that is not whitelisted
	OptOut     policy.Answer // whether the recipient is told how to opt out
	*Use
}

// Linked tells whether the template may go out under header.
func (t *Template) Linked(header string) bool {
	return t.link != 0 && t.link == wordOf(header) || len(t.Headers) > 1 && slices.Contains(t.Headers, header)
}

// Snapshot is one version of one tenant's registry. It is immutable; the next version shares with it what has not
// changed.
type Snapshot struct {
	version       int64
	telemarketers map[string]Link
	entities      shards[Entity]
	headers       shards[Header]
	templates     shards[Template]
	finder        *finder

	stopsVersion int64
	stops        map[stopKey]Stop
}

// Version is the version of the rows it was made from.
func (s *Snapshot) Version() int64 { return s.version }

// Entity is the entity with this id, nil when there is none.
func (s *Snapshot) Entity(id string) *Entity { return s.entities.get(id) }

// Header is the header with exactly this text, nil when there is none.
func (s *Snapshot) Header(text string) *Header { return s.headers.get(text) }

// Template is the template with this id, nil when there is none.
func (s *Snapshot) Template(id string) *Template { return s.templates.get(id) }

// NewSnapshot builds a snapshot. The error joins one for every row that is wrong; such a row is left out, everything
// else is there, so that a bad row cannot stop a tenant's traffic.
func NewSnapshot(rows Rows) (*Snapshot, error) { return empty.Apply(rows) }

var empty = &Snapshot{finder: &finder{}}
