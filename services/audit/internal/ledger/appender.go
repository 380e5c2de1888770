package ledger

import (
	"context"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Record is an entry with its canonical bytes and their hash, ready to be given an index.
type Record struct {
	Entry
	Leaf []byte
	Hash tlog.Hash
}

// NewRecord derives leaf and hash. The times are cut to microseconds, what the store keeps.
func NewRecord(e Entry) Record {
	e.OccurredAt = e.OccurredAt.Truncate(time.Microsecond)
	e.ReceivedAt = e.ReceivedAt.Truncate(time.Microsecond)
	leaf := Leaf(make([]byte, 0, 1024), &e)
	return Record{Entry: e, Leaf: leaf, Hash: LeafHash(leaf)}
}

// Store keeps entries.
type Store interface {
	// Append stores, in one durable transaction, every record whose EventID is not yet there, each at the next index of
	// its tenant, in the order given. When it returns nil all of them are durable, old or new. Errors are
	// errs.Unavailable when the database is away.
	Append(ctx context.Context, records []Record) error
}

// maxTogether bounds one transaction: 2,000 entries are some 4 MB and 30 ms.
const maxTogether = 2000

// Appender lets many consumers share one commit: whoever comes while a transaction is under way goes into the next.
type Appender struct {
	store Store
	queue chan request
}

type request struct {
	records []Record
	done    chan<- error
}

// NewAppender makes an appender; it works while Run does.
func NewAppender(store Store) *Appender {
	return &Appender{store: store, queue: make(chan request, 64)}
}

// Append stores records and returns when they are durable.
func (a *Appender) Append(ctx context.Context, records []Record) error {
	done := make(chan error, 1)
	select {
	case a.queue <- request{records, done}:
	case <-ctx.Done():
		return stopping(ctx)
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return stopping(ctx)
	}
}

func stopping(ctx context.Context) error {
	return errs.E(errs.Unavailable, "STOPPING", "the ledger is stopping", ctx.Err())
}

// Run stores what is handed to Append until ctx ends.
func (a *Appender) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case first := <-a.queue:
			a.commit(ctx, a.gather(first))
		}
	}
}

// gather takes all that waits, without waiting for more.
func (a *Appender) gather(first request) []request {
	together, n := []request{first}, len(first.records)
	for n < maxTogether {
		select {
		case next := <-a.queue:
			together, n = append(together, next), n+len(next.records)
		default:
			return together
		}
	}
	return together
}

// commit stores a gathering; one that fails for its content is tried request by request, so that a bad one hurts only
// itself.
func (a *Appender) commit(ctx context.Context, together []request) {
	var records []Record
	for _, r := range together {
		records = append(records, r.records...)
	}
	err := a.store.Append(ctx, records)
	if err == nil || len(together) == 1 || errs.KindOf(err) == errs.Unavailable {
		for _, r := range together {
			r.done <- err
		}
		return
	}
	for _, r := range together {
		r.done <- a.store.Append(ctx, r.records)
	}
}
