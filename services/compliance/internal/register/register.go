// Package register is the preference register of a replica as screening and the API ask it: the file in force, where one
// can be used, and what operators answered lately.
package register

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

const (
	// remembered is how many numbers of an environment operators' answers are kept for, 8 bytes each.
	remembered = 1 << 20
	// Life is how long an operator's answer counts: preferences change by the day.
	Life = 24 * time.Hour
	// again is how far back answers are read again: ids of transactions that overlap are not committed in order.
	again = 30 * time.Second
	page  = 500
)

// Register is a replica's. It may be used from many goroutines; Take by one at a time.
type Register struct {
	*preference.Store
	answers map[string]*preference.Feedback // by environment

	cursor uuid.UUID // answers up to here were taken
	taken  map[uuid.UUID]bool
}

// Open opens the register in a directory of this process's own. A file that is damaged is discarded: there is no register
// then, promotion waits, and the file is fetched anew.
func Open(ctx context.Context, dir string) (*Register, error) {
	s, err := preference.Open(dir)
	var damaged *errs.Error
	if errors.As(err, &damaged) && damaged.Reason == "PREFERENCE_FILE_DAMAGED" {
		slog.ErrorContext(ctx, "the preference file is damaged and discarded; promotion waits until it was fetched again", slog.String("error", err.Error()))
		if err = preference.Discard(dir); err == nil {
			s, err = preference.Open(dir)
		}
	}
	if err != nil {
		return nil, err
	}
	return &Register{Store: s, taken: map[uuid.UUID]bool{}, answers: map[string]*preference.Feedback{
		"live": preference.NewFeedback(remembered, Life), "test": preference.NewFeedback(remembered, Life)}}, nil
}

// Answered implements screening.Preferences. A consent needs no forgetting: where one is valid the register is not asked.
func (r *Register) Answered(env string, n preference.Number, now time.Time) preference.Code {
	if f := r.answers[env]; f != nil {
		return f.Has(n, now)
	}
	return 0
}

// Answers is where answers are recorded, and the messages they are about.
type Answers interface {
	// Answers answers what was recorded after an answer's id, of messages since a time, in order, at most limit.
	Answers(ctx context.Context, after uuid.UUID, since time.Time, limit int) ([]screening.Answer, error)
	// Sealed answers a message as it went out; errs.NotFound when it is no longer there.
	Sealed(ctx context.Context, tenant uuid.UUID, env string, message uuid.UUID) (screening.Parcel, error)
}

// Take takes answers that were recorded, by any replica, since the last call: the number is opened here, and kept in
// memory only.
func (r *Register) Take(ctx context.Context, from Answers, contents screening.Contents, now time.Time) (taken int, err error) {
	for {
		answers, err := from.Answers(ctx, r.cursor, now.Add(-Life), page)
		if err != nil {
			return taken, err
		}
		fresh := 0
		for _, a := range answers {
			if r.taken[a.ID] {
				continue
			}
			if err := r.take(ctx, from, contents, a); err != nil {
				return taken, err
			}
			r.taken[a.ID], fresh = true, fresh+1
		}
		if taken += fresh; len(answers) > 0 {
			r.cursor = answers[len(answers)-1].ID
		}
		if len(answers) < page {
			r.cursor = before(r.cursor, again)
			r.prune()
			return taken, nil
		}
	}
}

// take resolves one answer. A message that can never be read is passed over.
func (r *Register) take(ctx context.Context, from Answers, contents screening.Contents, a screening.Answer) error {
	p, err := from.Sealed(ctx, a.Tenant, a.Env, a.Message)
	var c screening.Content
	if err == nil {
		err = contents.Open(ctx, &p, &p.Messages[0], &c)
	}
	if kind := errs.KindOf(err); err != nil && (kind == errs.NotFound || kind == errs.Invalid) {
		return nil
	}
	if err != nil {
		return err
	}
	if n, ok := preference.ParseNumber(c.To); ok && r.answers[a.Env] != nil {
		r.answers[a.Env].Put(n, a.Code, a.At)
	}
	return nil
}

// prune forgets which answers were taken before the cursor: they are not read again.
func (r *Register) prune() {
	for id := range r.taken {
		if id.String() <= r.cursor.String() {
			delete(r.taken, id)
		}
	}
}

// before is the smallest UUIDv7 of so long before another's time.
func before(id uuid.UUID, d time.Duration) (earlier uuid.UUID) {
	if id == uuid.Nil {
		return id
	}
	ms := uint64(id[0])<<40 | uint64(id[1])<<32 | uint64(id[2])<<24 | uint64(id[3])<<16 | uint64(id[4])<<8 | uint64(id[5])
	ms -= uint64(d.Milliseconds())
	for i := range 6 {
		earlier[i] = byte(ms >> (40 - 8*i))
	}
	return earlier
}
