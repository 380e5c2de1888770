package registry

import "github.com/onlinesms/onlinesms/services/compliance/internal/template"

// Rows are one tenant's registry as data. Words are those of registry files; NewSnapshot checks them.
type Rows struct {
	Version       int64 // grows with every change
	Telemarketers []TelemarketerRow
	Entities      []EntityRow
	Headers       []HeaderRow
	CTAs          []CTARow
	Templates     []TemplateRow
}

// TelemarketerRow is a registered intermediary (DLT rules 1.1).
type TelemarketerRow struct {
	ID     string // 19 digits
	Name   string
	Role   string // TM-AF or TM-DF
	Status string
}

// EntityRow is a principal entity with its chain.
type EntityRow struct {
	ID          string // 19 digits
	Name        string
	Status      string
	Chain       []string // telemarketer ids in order, TM-DF last; empty when no chain is approved
	ChainStatus string
}

// HeaderRow is a header (sender id).
type HeaderRow struct {
	Header string // the bare core, case-sensitive
	Entity string
	Kind   string // other or promotional
	Status string
}

// CTARow is a whitelisted call to action of an entity.
type CTARow struct {
	Entity string
	Kind   template.CTAKind
	Value  string
	Status string
}

// TemplateRow is a content template.
type TemplateRow struct {
	ID        string // 19 digits
	Entity    string
	Headers   []string // the headers it is linked to
	Category  string
	Status    string
	Body      string
	Variables []string // names for rendering by name; empty for var1, var2, …
	Overrides []string // untyped_allowed, preference_unchecked_allowed
	MaxLength int      // with untyped_allowed: UTF-16 units an untyped variable may have
	Goods     *int     // category of goods 0-8 (DLT rules 1.3), when registered
}

// Overrides of a template.
const (
	// UntypedAllowed lets untyped variables take any text in environment test.
	UntypedAllowed = "untyped_allowed"
	// PreferenceUncheckedAllowed lets a promotional template go without a look at preference and consent, which are not
	// known here yet: for demonstrations. Each message that goes by it carries the warning PREFERENCE_UNCHECKED.
	PreferenceUncheckedAllowed = "preference_unchecked_allowed"
)
