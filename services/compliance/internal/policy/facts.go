package policy

import (
	"time"

	"github.com/onlinesms/onlinesms/services/compliance/internal/complaint"
)

// Facts are what is known of one message when it is decided. They hold neither text nor number. The zero value of a fact
// is the one that denies, or for what only narrows (stops, doubts, bounds in time) that there is none.
type Facts struct {
	Unreadable    bool // the sealed content cannot be opened, for good
	Mobile        bool // the recipient is an Indian mobile number in E.164
	SeriesUnknown bool // its series is not known to be given to mobile services
	Stops         Stops

	Route     Route
	Entity    Entity
	Chain     Chain
	Header    Header
	Template  Template
	Requested Category // what the caller takes the template for; NoCategory when not said
	Text      []Reason // what comparing text and template found, only with a known template, and what the tenant's content policy blocks

	Transaction time.Time // when the customer began the transaction; zero when not said
	Consent     Consent
	Preference  Preference
	BlockedBy   string // the part of the preference that blocks, as reasons name it; empty when not known

	ConsentRequired bool               // the tenant's choice: promotion needs consent, whatever the registered preference
	OptedOut        bool               // of promotion of the header, the entity or the tenant
	Suppressed      bool               // the tenant's list forbids messages like this one to the recipient
	Complaints      complaint.Standing // of the entity, by complaints of ten days

	BandOn     bool // the subscriber has switched the time band of now on
	ClockDoubt bool // the machine's clock may be off by more than a second

	Schedule time.Time // not before; zero for at once
	Expire   time.Time // not after; zero for never
}

// Route is what is known of the route the message would take; the zero value of one that nothing is known of.
type Route struct {
	Operator     string // as metadata name it
	Telemarketer string // 19 digits: who submits on it (TM-DF); empty when any may
	AlphaPromo   bool   // the operator has confirmed promotional templates on headers of letters
	SixOnly      bool   // the operator takes headers of exactly six letters
}

// Entity is the principal entity a message names.
type Entity struct {
	ID         string
	Status     Status
	AtOperator Status // with the route's operator; Unknown where nothing is known of that
}

// Chain is the entity's chain of telemarketers.
type Chain struct {
	Status       Status // Unknown when none is approved
	AtOperator   Status // with the route's operator; Unknown where nothing is known of that
	Telemarketer Status // the worst of its telemarketers; Unknown when one is not registered
	Last         string // id of the last one, the delivering telemarketer (TM-DF)
	Differs      bool   // the portal shows another hash than the one computed
}

// Header is the header a message names.
type Header struct {
	Text       string
	Status     Status
	AtOperator Status // with the route's operator; Unknown where nothing is known of that
	Kind       Kind
	OfEntity   bool      // registered to the entity the message names
	From       time.Time // valid from then on; zero without such a bound
	Until      time.Time // suspended by validity from then on; zero without such a bound
}

// Template is the content template a message names.
type Template struct {
	ID                  string
	Status              Status
	AtOperator          Status // with the route's operator; Unknown where nothing is known of that
	Category            Category
	Goods               int       // category of goods 0-8 as in a promotional header's first digit; -1 when not registered
	OfEntity            bool      // registered to the entity the message names
	OfHeader            bool      // linked to the header the message names
	Headers             int       // how many headers it is linked to
	Untyped             bool      // it has an untyped variable that no override permits
	Unlisted            bool      // its fixed text has a call to action that is not whitelisted
	OptOut              Answer    // it has an element by which the recipient can opt out
	PreferenceUnchecked bool      // an override lets it go without a look at preference and consent
	From                time.Time // valid from then on; zero without such a bound
	Until               time.Time // suspended by validity from then on; zero without such a bound
}

// Outcome is what is to happen with a message.
type Outcome uint8

// The outcomes. A message that expired is refused for MessageExpired.
const (
	Refused Outcome = iota // the zero value denies
	Cleared
	Held
)

// String is the outcome as the API shows it.
func (o Outcome) String() string { return [...]string{"REFUSED", "CLEARED", "HELD"}[o] }

// Decision is the answer of Evaluate.
type Decision struct {
	Outcome  Outcome
	Reasons  []Reason  // the deciding one first; empty when cleared
	Due      time.Time // when a held message is decided anew
	Warnings Warnings  // doubts that decide nothing
	Checked  Checks    // the checks that were made; the others had nothing to go by, or do not concern the category
	// TextAt and TextCount say which of the Reasons came from the facts' Text, so that these can be told from a record.
	TextAt, TextCount uint16
}

// Same tells whether two messages have the same facts in all that does not belong to one message alone: text, expiry and
// schedule.
func (f *Facts) Same(o *Facts) bool {
	return f.Template == o.Template && f.Header == o.Header && f.Entity == o.Entity && f.Chain == o.Chain && f.Route == o.Route &&
		f.Unreadable == o.Unreadable && f.Mobile == o.Mobile && f.SeriesUnknown == o.SeriesUnknown && f.Stops == o.Stops &&
		f.Requested == o.Requested && f.Transaction.Equal(o.Transaction) && f.Consent == o.Consent &&
		f.Preference == o.Preference && f.BlockedBy == o.BlockedBy && f.BandOn == o.BandOn && f.ClockDoubt == o.ClockDoubt &&
		f.ConsentRequired == o.ConsentRequired && f.OptedOut == o.OptedOut && f.Suppressed == o.Suppressed && f.Complaints == o.Complaints
}
