package message

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

const (
	// flushPatience is how long a flush may take before its callers are told that the outcome is not known.
	flushPatience = 15 * time.Second
	// parcelBytes keeps a parcel well below the bus's 1 MiB message, also once compliance has rendered texts into it.
	parcelBytes = 192 << 10
)

// Flush is what one transaction stores.
type Flush struct {
	Lane    string
	Time    time.Time // of acceptance, microseconds
	Parcels []Parcel
	Keys    []KeyRow
}

// Parcel is 1..500 messages of one tenant and environment; entry i has index i.
type Parcel struct {
	ID      uuid.UUID
	Tenant  uuid.UUID
	Env     string
	Trace   string // of the first request in it
	Entries []Entry

	size int // bytes of sealed content
}

func (p *Parcel) full() bool { return len(p.Entries) == MaxParcel || p.size >= parcelBytes }

// Entry is a message with what was sealed of it.
type Entry struct {
	ID             uuid.UUID
	Message        *Message
	Content        []byte
	RecipientIndex []byte
}

// KeyRow is an idempotency key with what it will answer.
type KeyRow struct {
	Key    Key
	Taken  Taken
	Expire time.Time
}

// flush stores a batch and finishes every submission in it.
func (a *Accepter) flush(lane string, batch []*submission) {
	// Not any caller's context: the batch is of many.
	ctx, cancel := context.WithTimeout(context.Background(), flushPatience)
	defer cancel()
	batch = a.answerKnown(ctx, batch)
	for len(batch) > 0 {
		receipts, err := a.store(ctx, lane, batch)
		if err == nil {
			finishAll(batch, receipts)
			return
		}
		if taken, ok := errors.AsType[*KeyTakenError](err); ok && len(taken.Keys) > 0 {
			// Another replica was faster. Nothing is stored yet: answer those keys, store the rest.
			before := len(batch)
			if batch = a.answerKnown(ctx, batch); len(batch) < before {
				continue
			}
		}
		a.isolate(lane, batch, err)
		return
	}
}

// isolate tells everybody of err, or, where one request may have spoilt it for the others, flushes each by itself.
func (a *Accepter) isolate(lane string, batch []*submission, err error) {
	kind := errs.KindOf(err)
	if len(batch) > 1 && kind != errs.Unavailable && kind != errs.Exhausted {
		for _, s := range batch {
			a.flush(lane, []*submission{s})
		}
		return
	}
	for _, s := range batch {
		s.finish(Answer{}, err)
	}
}

// answerKnown finishes the submissions whose keys are taken and gives the others.
func (a *Accepter) answerKnown(ctx context.Context, batch []*submission) []*submission {
	var keys []Key
	for _, s := range batch {
		if s.key != nil {
			keys = append(keys, *s.key)
		}
	}
	if len(keys) == 0 {
		return batch
	}
	known, err := a.Store.Known(ctx, keys)
	if err != nil {
		for _, s := range batch {
			s.finish(Answer{}, err)
		}
		return nil
	}
	rest := batch[:0]
	for _, s := range batch {
		taken, ok := Taken{}, false
		if s.key != nil {
			taken, ok = known[*s.key]
		}
		if !ok {
			rest = append(rest, s)
			continue
		}
		receipts, err := ParseAnswer(taken.Answer)
		if err != nil {
			s.finish(Answer{}, err)
			continue
		}
		s.finish(replay(taken.Request, s.request, receipts))
	}
	return rest
}

// replay answers a repeated key: with the first answer, or with a conflict when the request is another.
func replay(first, now [16]byte, receipts []Receipt) (Answer, error) {
	if first != now {
		return Answer{}, errs.E(errs.Exists, "IDEMPOTENCY_KEY_REUSED",
			"this idempotency key came with another request within 24 hours; use a new key for a new request", nil)
	}
	return Answer{Receipts: receipts, Replay: true}, nil
}

func inProgress(cause error) error {
	return errs.E(errs.Unavailable, "IDEMPOTENCY_IN_PROGRESS", "a request with this key is still being accepted; repeat it later", cause)
}

// store gives ids, seals and commits a batch, and gives the receipts of each of its submissions.
func (a *Accepter) store(ctx context.Context, lane string, batch []*submission) ([][]Receipt, error) {
	f := Flush{Lane: lane, Time: a.Now().Truncate(time.Microsecond)}
	receipts, err := a.fill(ctx, &f, batch)
	if err != nil {
		return nil, err
	}
	for i, s := range batch {
		if s.key != nil {
			taken := Taken{Request: s.request, Answer: AppendAnswer(nil, receipts[i])}
			f.Keys = append(f.Keys, KeyRow{Key: *s.key, Taken: taken, Expire: f.Time.Add(IdempotencyTTL)})
		}
	}
	return receipts, a.Store.Accept(ctx, f)
}

// fill puts the messages of batch into parcels of their tenant and environment, those of one request side by side.
func (a *Accepter) fill(ctx context.Context, f *Flush, batch []*submission) ([][]Receipt, error) {
	type owner struct {
		tenant uuid.UUID
		env    string
	}
	open := map[owner]int{} // index of the owner's parcel that has room, in f.Parcels
	receipts := make([][]Receipt, len(batch))
	for i, s := range batch {
		receipts[i] = make([]Receipt, 0, len(s.messages))
		for j := range s.messages {
			at, ok := open[owner{s.tenant, s.env}]
			if !ok || f.Parcels[at].full() {
				id, err := a.IDs.Parcel()
				if err != nil {
					return nil, err
				}
				at = len(f.Parcels)
				room := make([]Entry, 0, min(len(s.messages)-j, MaxParcel))
				f.Parcels = append(f.Parcels, Parcel{ID: id, Tenant: s.tenant, Env: s.env, Trace: s.trace, Entries: room})
				open[owner{s.tenant, s.env}] = at
			}
			receipt, err := a.put(ctx, &f.Parcels[at], &s.messages[j])
			if err != nil {
				return nil, err
			}
			receipts[i] = append(receipts[i], receipt)
		}
	}
	return receipts, nil
}

// put seals m as the parcel's next entry.
func (a *Accepter) put(ctx context.Context, p *Parcel, m *Message) (Receipt, error) {
	id := IDAt(p.ID, len(p.Entries))
	content, index, err := a.Vault.Seal(ctx, Place{p.Env, p.Tenant, id}, m)
	if err != nil {
		return Receipt{}, err
	}
	p.size += len(content)
	p.Entries = append(p.Entries, Entry{ID: id, Message: m, Content: content, RecipientIndex: index})
	if m.Refusal != nil {
		return Receipt{ID: id, State: StateRefused, Reasons: []Reason{*m.Refusal}}, nil
	}
	return Receipt{ID: id, State: StateAccepted}, nil
}

func finishAll(batch []*submission, receipts [][]Receipt) {
	for i, s := range batch {
		s.finish(Answer{Receipts: receipts[i]}, nil)
	}
}
