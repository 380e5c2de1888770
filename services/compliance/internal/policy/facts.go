package policy

import "time"

// Facts are what is known of one message when it is decided. They hold neither text nor number.
type Facts struct {
	Unreadable bool // the sealed content cannot be opened, for good
	Mobile     bool // the recipient is an Indian mobile number in E.164

	Stopped string // scope of the kill switch that is on: tenant, entity, header or template; empty when none is

	Entity   Entity
	Chain    Status // of the entity's chain of telemarketers
	Header   Header
	Template Template
	Text     []Reason // what comparing text and template found; only with a known template

	Schedule time.Time // not before; zero for at once
	Expire   time.Time // not after; zero for never
}

// Entity is the principal entity a message names.
type Entity struct {
	ID     string
	Status Status
}

// Header is the header a message names.
type Header struct {
	Text     string
	Status   Status
	Kind     Kind
	OfEntity bool // registered to the entity the message names
}

// Template is the content template a message names.
type Template struct {
	ID       string
	Status   Status
	Category Category
	Goods    int  // category of goods 0-8 as in a promotional header's first digit; -1 when not registered
	OfEntity bool // registered to the entity the message names
	OfHeader bool // linked to the header the message names
	Untyped  bool // it has an untyped variable that no override permits
	Unlisted bool // its fixed text has a call to action that is not whitelisted
}

// Outcome is what is to happen with a message.
type Outcome uint8

// The outcomes.
const (
	Refused Outcome = iota // the zero value denies
	Cleared
	Held
)

// String is the outcome as the API shows it.
func (o Outcome) String() string { return [...]string{"REFUSED", "CLEARED", "HELD"}[o] }

// Decision is the answer of Evaluate.
type Decision struct {
	Outcome Outcome
	Reasons []Reason  // the deciding one first; empty when cleared
	Due     time.Time // when a held message is decided anew
}
