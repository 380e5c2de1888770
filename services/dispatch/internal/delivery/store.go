package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
)

// ErrFenced says that this replica was taken over: nothing it does without an intent counts any more.
var ErrFenced = errors.New("delivery: this replica was taken over by another")

// Errors of all stores have the kinds of services/internal/errs. Every method is one transaction, may be called again
// after any error, and then does nothing twice.

// Queue keeps what replicas have taken.
type Queue interface {
	// Enqueue makes parcels durable, owned by the replica unless they are HandedOver, and answers those that are new; the
	// others were taken before. ErrFenced when the replica was taken over.
	Enqueue(ctx context.Context, replica uuid.UUID, parcels []*Parcel) (fresh []*Parcel, err error)
	// Claim makes the replica own up to limit parcels that nobody owns, oldest first: those of the routes given, and of
	// any route those that have waited for an owner longer than orphaned.
	Claim(ctx context.Context, replica uuid.UUID, routes []string, orphaned time.Duration, limit int) ([]Claimed, error)
	// Stray disowns the replica's parcels that were taken longer than age ago and are not known: those of an Enqueue or
	// Claim whose commit took place although its caller was told an error.
	Stray(ctx context.Context, replica uuid.UUID, age time.Duration, known func(uuid.UUID) bool) (disowned int, err error)
}

// Claimed is a parcel with what stands about its messages. Messages is empty: the payload is not decoded.
type Claimed struct {
	Parcel           *Parcel
	Intents, Results []Mark
}

// Intents commits intents under the fence.
type Intents interface {
	// Intend commits the intents whose bind this replica still holds in the same epoch, without the messages that were
	// withdrawn, and answers each. ErrFenced when the replica was taken over: then none is.
	Intend(ctx context.Context, replica uuid.UUID, intents []Intent) ([]Answer, error)
}

// Answer says what became of an intent.
type Answer struct {
	Allowed   bool       // it stands; else the bind is not held any more
	Cancelled []*Message // its messages that were withdrawn: it does not name them
}

// Cancellation withdraws a cleared message.
type Cancellation struct {
	Message, Parcel uuid.UUID // Parcel: the cleared one it went out in
	Tenant          uuid.UUID
	Correlation     uuid.UUID
	Env             string
	Lane            Lane
	Round           uint32
}

// Records keeps what became of messages.
type Records interface {
	// Record makes results and receipts durable together with the events they cause, joins receipts with submissions in
	// any order, and deletes the queue rows of results that are Done. Results without an intent are left out when the
	// replica was taken over. Nothing in report is changed.
	Record(ctx context.Context, replica uuid.UUID, report Report) error
	// Sweep joins parked receipts whose submission another transaction has recorded since, and answers how many.
	Sweep(ctx context.Context) (joined int, err error)
}

// Report is what one transaction records. ID is its own: a report that was committed although its caller was told an
// error is known by it when it comes again.
type Report struct {
	ID       uuid.UUID
	Results  []Result
	Receipts []Receipt
	Closed   []*Parcel // claimed parcels that turned out to have nothing open: their queue rows go
}

// Leases says who may use which bind.
type Leases interface {
	// Join makes a replica known, alive for ttl, and the routes' binds with it.
	Join(ctx context.Context, replica uuid.UUID, ttl time.Duration, binds map[string]int) error
	// Beat renews the replica for ttl, takes over those whose time is over, and answers what stands now. ErrFenced when
	// this replica was taken over.
	Beat(ctx context.Context, replica uuid.UUID, ttl time.Duration) (Standing, error)
	// Acquire takes up to n binds of a route that nobody holds, each in a new epoch.
	Acquire(ctx context.Context, replica uuid.UUID, route string, n int) ([]Bind, error)
	// Yield gives back binds that are unbound, if they are still held in their epochs.
	Yield(ctx context.Context, replica uuid.UUID, binds []Bind) error
	// Leave gives back everything the replica holds and forgets it.
	Leave(ctx context.Context, replica uuid.UUID) error
}

// Standing is how replicas and binds stand.
type Standing struct {
	Replicas int            // alive, this one among them
	Free     map[string]int // binds nobody holds, by route
}
