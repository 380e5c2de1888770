package screening

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/template"
	"github.com/onlinesms/onlinesms/services/internal/msisdn"
)

// Parcel is messages of one accepted parcel that are decided together.
type Parcel struct {
	ID          uuid.UUID // the parcel these came in; cause of what goes out
	Tenant      uuid.UUID
	Correlation uuid.UUID
	Env, Lane   string
	Trace       string    // W3C traceparent; may be empty
	Hold        uuid.UUID // the hold they are released from; Nil for others
	Messages    []Message
}

// Message is one message to decide.
type Message struct {
	ID                           uuid.UUID // its last 10 bits are its index in its accepted parcel
	EntityID, Header, TemplateID string
	Content                      []byte // sealed
	RecipientIndex               []byte
	Expire, Schedule             int64 // Unix microseconds; a Schedule of 0 is at once
	Round                        uint32
}

// Accepted is the id of the accepted parcel a message belongs to: its own with the last 10 bits cleared.
func Accepted(message uuid.UUID) uuid.UUID {
	message[14] &^= 0x03
	message[15] = 0
	return message
}

// Index is a message's place in its accepted parcel, 0..499.
func Index(message uuid.UUID) int { return int(message[14]&0x03)<<8 | int(message[15]) }

// Content is what is sealed: number, text or values.
type Content struct {
	To, Text string
	Values   []template.Value
}

// Contents opens and closes sealed content.
type Contents interface {
	// Open reads m's content into c. errs.Invalid and errs.NotFound mean that it can never be read (damaged, erased); any
	// other error that it may later.
	Open(ctx context.Context, p *Parcel, m *Message, c *Content) error
	// Reseal seals c in m's place, with the key m's content was sealed with.
	Reseal(ctx context.Context, p *Parcel, m *Message, c *Content) ([]byte, error)
}

// Proofs answers what may make a promotional message lawful: the recipient's consent and registered preference. It is asked
// once a message, only of those that need an answer, and must not wait: what a pack needs is fetched before.
type Proofs interface {
	// Proof fills in Preference and BandOn of the facts on a message of a tenant to a number at a time, and Suppressed where a
	// set of numbers of the tenant's has the number. Where Wishes are asked as well, Consent is theirs to say.
	Proof(tenant uuid.UUID, m *Message, to msisdn.Number, at time.Time, f *policy.Facts)
}

// Registry answers what is registered for a tenant.
type Registry interface {
	Snapshot(tenant uuid.UUID) *registry.Snapshot
}

// Screened is a parcel with its decisions.
type Screened struct {
	Parcel
	Pack     string // version of the rule pack
	At       time.Time
	Run      uuid.UUID // the scrub run whose result was asked; Nil where none was
	Verdicts []Verdict // one a message
	// Facts are the distinct ones of the messages, without text, expiry and schedule, which are one message's own; empty for
	// what was not decided by facts.
	Facts []policy.Facts
	// Contents is a SHA-256 over ids and sealed contents as they came: what was decided, without keeping it.
	Contents [32]byte
}

// Verdict is the decision on one message with what goes out beside it.
type Verdict struct {
	policy.Decision
	Round     uint32
	Category  policy.Category
	ChainHash []byte          // when cleared: 32 bytes
	Findings  []policy.Reason // personal and secret data in the text that decide nothing
	Facts     int             // place of its facts in Screened.Facts, from 1; 0 when it was not decided by facts
}

// Decided is a recorded decision.
type Decided struct {
	policy.Decision
	Findings []policy.Reason // as in Verdict
	Round    uint32
	Category policy.Category
	Pack     string
	At       time.Time
	Run      uuid.UUID // the scrub run that was asked about recipients of its parcel; Nil for none
	Parcel   uuid.UUID // the one it went out in; only when cleared
}

// Withdrawal says how far a message had come when its sender withdrew it.
type Withdrawal struct {
	Cancelled bool    // it will not be sent
	Latest    Decided // else: CLEARED, and dispatch must be asked, or REFUSED
}

// Scheduled narrows down which scheduled messages of a tenant are withdrawn; empty fields match all.
type Scheduled struct {
	Tenant             uuid.UUID
	Env                string
	Header, TemplateID string
	Start, End         time.Time // of the schedule: at or after, before
}

// PutOff is how long a hold waits that could not be decided at its release.
const PutOff = time.Minute

// Store records. Every method is one transaction, after whose commit the outgoing parcels are published: for each
// parcel and outcome one, cleared, refused or held. Errors leave nothing behind.
type Store interface {
	// Record writes decisions, holds and outgoing parcels of those parcels whose ids have not been recorded before; the
	// others it passes over. Several parcels of one call may have the same id: they are recorded together.
	Record(ctx context.Context, screened []Screened) error
	// Release takes holds of a lane that are due at now, of about so many messages (at least one hold, if any is due),
	// passing over those another release has in hand: of every tenant its equal share, the longest due first, and what the
	// shares leave over of the longest due of all. It gives them to screen and records the
	// outcome as Record does, and the holds are gone. Those that screen leaves out stay, due again at PutOff after now. It
	// answers how many messages were released.
	Release(ctx context.Context, lane string, now time.Time, messages int, screen Screen) (int, error)
	// Cleared answers parcels cleared earlier, by id. errs.NotFound when one is not there.
	Cleared(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]Parcel, error)
}

// Screen decides parcels. It has no effect and may be called again.
type Screen func(ctx context.Context, parcels []Parcel) ([]Screened, error)
