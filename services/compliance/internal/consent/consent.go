package consent

import (
	"time"

	"github.com/google/uuid"
)

// Kind is what an event of the ledger says.
type Kind string

// The kinds (lifecycle of a consent record, ISO/IEC TS 27560:2023).
const (
	Requested     Kind = "REQUESTED"
	Given         Kind = "GIVEN"
	Reaffirmed    Kind = "REAFFIRMED"
	Refused       Kind = "REFUSED"
	Revoked       Kind = "REVOKED"
	ContractEnded Kind = "CONTRACT_ENDED"
	Invalidated   Kind = "INVALIDATED"
)

// Basis is what a consent rests on.
type Basis string

// The bases.
const (
	Explicit    Basis = "explicit"
	Transaction Basis = "transaction"
	Inferred    Basis = "inferred"
)

// State is how a consent stands at a time.
type State string

// The states. None is no consent at all.
const (
	StateNone        State = ""
	StateRequested   State = "REQUESTED"
	StateValid       State = "VALID"
	StateExpired     State = "EXPIRED"
	StateRefused     State = "REFUSED"
	StateRevoked     State = "REVOKED"
	StateEnded       State = "ENDED"
	StateInvalidated State = "INVALIDATED"
)

// DefaultPurpose is that of a template for which nothing else is said, and of a consent that names none.
const DefaultPurpose = "promotion"

// Channel is the only channel there is.
const Channel = "sms"

// Key names a consent of a recipient. Contract is empty but for inferred ones.
type Key struct {
	Recipient [16]byte
	Entity    string
	Purpose   string
	Channel   string
	Basis     Basis
	Contract  string
}

// Grant is what is known of a consent that was given.
type Grant struct {
	Method         string    `json:"method,omitempty"`
	NoticeVersion  string    `json:"notice_version,omitempty"`
	NoticeLanguage string    `json:"notice_language,omitempty"`
	EvidenceSHA256 string    `json:"evidence_sha256,omitempty"`
	Registrar      string    `json:"registrar_reference,omitempty"`
	DataCategories []string  `json:"data_categories,omitempty"`
	Expires        time.Time `json:"-"` // zero: no end
}

// Author is who records something, why, and under which action the audit log keeps it.
type Author struct{ Actor, Action, Reason string }

// Event is an entry of the ledger.
type Event struct {
	ID      uuid.UUID // UUIDv7; names its receipt
	Consent uuid.UUID
	Key     Key
	Kind    Kind
	Grant   Grant // of GIVEN, REAFFIRMED and REQUESTED
	Occur   time.Time
	Record  time.Time
	Actor   string
	Source  string
	Reason  string
	Receipt []byte   // the document
	Hash    [32]byte // of it
}

// Record is a consent folded from its events.
type Record struct {
	ID      uuid.UUID
	Key     Key
	Last    Kind // empty: there is none
	Grant   Grant
	Granted time.Time // of the latest GIVEN or REAFFIRMED
	Ended   time.Time // of what ended it
	Hash    [32]byte  // of the latest receipt
}

// At is how the consent stands at a time.
func (r *Record) At(now time.Time) State {
	switch r.Last {
	case Requested:
		return StateRequested
	case Given, Reaffirmed:
		if !r.Grant.Expires.IsZero() && !now.Before(r.Grant.Expires) {
			return StateExpired
		}
		return StateValid
	case Refused:
		return StateRefused
	case Revoked:
		return StateRevoked
	case ContractEnded:
		return StateEnded
	case Invalidated:
		return StateInvalidated
	}
	return StateNone
}

// Apply folds an event in.
func (r *Record) Apply(e *Event) {
	r.ID, r.Key, r.Last, r.Hash = e.Consent, e.Key, e.Kind, e.Hash
	switch e.Kind {
	case Given, Reaffirmed:
		r.Grant, r.Granted, r.Ended = e.Grant, e.Occur, time.Time{}
	case Requested:
		r.Grant, r.Granted, r.Ended = e.Grant, time.Time{}, time.Time{}
	default:
		r.Ended = e.Occur
	}
}

// Fold makes the record of events of one consent, the oldest first.
func Fold(events []Event) (r Record) {
	for i := range events {
		r.Apply(&events[i])
	}
	return r
}
