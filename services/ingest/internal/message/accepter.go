package message

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// IdempotencyTTL is how long a key answers with its first answer.
const IdempotencyTTL = 24 * time.Hour

// MaxIdempotencyKey is the length of a key in bytes of printable ASCII.
const MaxIdempotencyKey = 255

// Store keeps accepted messages.
type Store interface {
	// Known answers what is stored for those of the keys that are taken and alive.
	Known(ctx context.Context, keys []Key) (map[Key]Taken, error)
	// Accept commits the whole flush in one transaction: parcels with their outbox rows, messages, keys. When it
	// returns nil all of it is durable and on its way to the bus. When one of the keys is taken by somebody else it
	// stores nothing and returns a *KeyTakenError. On any other error nothing is stored, or, after an Unavailable, it is
	// not known whether.
	Accept(ctx context.Context, f Flush) error
}

// Vault seals content and makes the keyed hashes that stand for what must not be stored in clear.
type Vault interface {
	// Prepare makes env's and tenant's data key of the day available, so that the Seal that follows waits for nothing.
	// Unavailable when the key's keeper is away.
	Prepare(ctx context.Context, env string, tenant uuid.UUID) error
	// Seal encrypts number, text and variables of m under the message's id, and gives the recipient's blind index.
	Seal(ctx context.Context, at Place, m *Message) (content, recipientIndex []byte, err error)
	// Hash is a keyed hash of value, per tenant: it cannot be searched without the key.
	Hash(env string, tenant uuid.UUID, value string) ([16]byte, error)
}

// Place is where a message belongs.
type Place struct {
	Env    string
	Tenant uuid.UUID
	ID     uuid.UUID
}

// Key is an idempotency key as it is stored: hashed, one namespace for each tenant and environment.
type Key struct {
	Tenant uuid.UUID
	Env    string
	Hash   [16]byte
}

// Taken is what a key holds: the hash of the request it came with, and the packed answer (ParseAnswer).
type Taken struct {
	Request [16]byte
	Answer  []byte
}

// KeyTakenError says that a key of a flush was taken meanwhile: by another replica.
type KeyTakenError struct{ Keys []Key }

// Error names the count only: keys are the callers'.
func (e *KeyTakenError) Error() string {
	return fmt.Sprintf("%d idempotency keys are taken", len(e.Keys))
}

// Request is one call of a sender.
type Request struct {
	Tenant         uuid.UUID
	Env            string
	Single         bool   // SendMessage; else a batch
	Lane           string // of a single message, whatever its template; empty to go by the template
	Drafts         []Draft
	IdempotencyKey string // empty for none
	Digest         string // of the call and its arguments; only read beside an IdempotencyKey
	Trace          string // W3C traceparent; may be empty
}

// Answer is what the sender is told, in the order of the drafts.
type Answer struct {
	Receipts []Receipt
	Replay   bool // the original answer of an earlier call with the same key
}

// Config joins an Accepter to its surroundings.
type Config struct {
	Store      Store
	Vault      Vault
	Categories *Categories
	Backlog    Backlog
	IDs        *IDs
	Now        func() time.Time
}

// Accepter accepts messages; see the package comment for what that promises.
type Accepter struct {
	Config
	lanes   map[string]*gatherer
	shares  map[string]*shares
	flights flights
}

// NewAccepter makes an Accepter. It needs no closing: a call returns when its flush has.
func NewAccepter(cfg Config) *Accepter {
	a := &Accepter{Config: cfg, lanes: map[string]*gatherer{}, shares: map[string]*shares{}}
	for _, lane := range Lanes {
		a.shares[lane] = &shares{}
		a.lanes[lane] = &gatherer{flush: func(batch []*submission) { a.flush(lane, batch) }}
	}
	return a
}

// Accept validates r and answers when it is durable. Errors: Invalid with violations for a malformed request, Exists
// for a key that came with another request before, Exhausted when the lane is overloaded, Unavailable when it could not
// be stored or when it is not known whether it was (repeat it under the same key).
func (a *Accepter) Accept(ctx context.Context, r Request) (Answer, error) {
	messages, err := a.validate(&r)
	if err != nil {
		return Answer{}, err
	}
	lane := LaneBulk
	switch {
	case r.Single && r.Lane != "":
		lane = r.Lane
	case r.Single:
		lane = a.Categories.Lane(ctx, r.Tenant, messages[0].TemplateID)
	}
	s := &submission{tenant: r.Tenant, env: r.Env, trace: r.Trace, messages: messages, done: make(chan struct{})}
	if r.IdempotencyKey == "" {
		return a.submit(ctx, lane, s)
	}
	if err := a.identify(&r, s); err != nil {
		return Answer{}, err
	}
	return a.flights.do(ctx, s, func() (Answer, error) { return a.submit(ctx, lane, s) })
}

func (a *Accepter) validate(r *Request) ([]Message, error) {
	var found []errs.Violation
	if n := len(r.Drafts); n == 0 || n > MaxBatch {
		found = append(found, errs.Violation{Field: "messages", Reason: "OUT_OF_RANGE", Detail: fmt.Sprintf("1 to %d messages", MaxBatch)})
		return nil, invalid(found)
	}
	if len(r.IdempotencyKey) > MaxIdempotencyKey || !printableASCII(r.IdempotencyKey) {
		found = append(found, errs.Violation{Field: "idempotency-key", Reason: "FORMAT", Detail: fmt.Sprintf("at most %d characters of printable ASCII", MaxIdempotencyKey)})
	}
	messages, now := make([]Message, len(r.Drafts)), a.Now()
	for i, d := range r.Drafts {
		path := ""
		if !r.Single {
			path = fmt.Sprintf("messages[%d].", i)
		}
		m, violations := New(d, path, now)
		messages[i], found = m, append(found, violations...)
		if len(found) >= maxViolations {
			break
		}
	}
	if len(found) > 0 {
		return nil, invalid(found)
	}
	return messages, nil
}

func invalid(found []errs.Violation) error {
	return &errs.Error{
		Kind: errs.Invalid, Reason: "REQUEST_INVALID",
		Message:    "the request is malformed and nothing was accepted; see the violations",
		Violations: found[:min(len(found), maxViolations)],
	}
}

// identify gives s its key and the hash of its request.
func (a *Accepter) identify(r *Request, s *submission) error {
	hash, err := a.Vault.Hash(r.Env, r.Tenant, "idempotency key "+r.IdempotencyKey)
	if err != nil {
		return err
	}
	s.key = &Key{Tenant: r.Tenant, Env: r.Env, Hash: hash}
	s.request, err = a.Vault.Hash(r.Env, r.Tenant, "request "+r.Digest)
	return err
}

// submit hands s to its lane and waits for the outcome.
func (a *Accepter) submit(ctx context.Context, lane string, s *submission) (Answer, error) {
	if err := a.shed(lane, s); err != nil {
		return Answer{}, err
	}
	if err := a.Vault.Prepare(ctx, s.env, s.tenant); err != nil {
		return Answer{}, err
	}
	if !a.lanes[lane].add(s) {
		return Answer{}, overloaded()
	}
	select {
	case <-s.done:
		return s.answer, s.err
	case <-ctx.Done():
		if s.withdraw() {
			return Answer{}, errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "the deadline passed before the request was taken; nothing was accepted", ctx.Err())
		}
	}
	<-s.done // taken: its outcome is near, and is the truth
	return s.answer, s.err
}
