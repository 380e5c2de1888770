// Package screeningtest has a screening.Store in memory and the tests every store must pass.
package screeningtest

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Outgoing is a published parcel as far as tests look at it.
type Outgoing struct {
	ID, Tenant, Cause uuid.UUID
	Env, Lane         string
	Outcome           policy.Outcome
	Messages          []OutgoingMessage
}

// OutgoingMessage is a message of an outgoing parcel.
type OutgoingMessage struct {
	ID      uuid.UUID
	Round   uint32
	Content string   // sealed; of cleared messages
	Codes   []string // of the reasons
}

// Store is a screening.Store in memory.
type Store struct {
	mu        sync.Mutex
	seen      map[uuid.UUID]bool
	holds     []*hold
	cleared   map[uuid.UUID]screening.Parcel
	decisions map[uuid.UUID][]screening.Decided // latest last
	outgoing  []Outgoing
}

type hold struct {
	due    time.Time
	taken  bool
	parcel screening.Parcel
}

// NewStore makes an empty store.
func NewStore() *Store {
	return &Store{seen: map[uuid.UUID]bool{}, cleared: map[uuid.UUID]screening.Parcel{},
		decisions: map[uuid.UUID][]screening.Decided{}}
}

// Record implements screening.Store.
func (s *Store) Record(_ context.Context, screened []screening.Screened) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := map[uuid.UUID]bool{}
	for _, p := range screened {
		if s.seen[p.ID] {
			known[p.ID] = true
		}
	}
	for _, p := range screened {
		if !known[p.ID] {
			s.seen[p.ID] = true
			s.write(p)
		}
	}
	return nil
}

func (s *Store) write(p screening.Screened) {
	for _, outcome := range []policy.Outcome{policy.Cleared, policy.Refused, policy.Held} {
		out := Outgoing{ID: uuid.Must(uuid.NewV7()), Tenant: p.Tenant, Cause: p.ID, Env: p.Env, Lane: p.Lane, Outcome: outcome}
		part := p.Parcel
		part.ID, part.Messages = out.ID, nil
		for i, v := range p.Verdicts {
			if v.Outcome != outcome {
				continue
			}
			m := p.Messages[i]
			m.Round = v.Round
			part.Messages = append(part.Messages, m)
			out.Messages = append(out.Messages, outgoing(m, v))
			s.decisions[m.ID] = append(s.decisions[m.ID], screening.Decided{Decision: v.Decision, Round: v.Round,
				Category: v.Category, Pack: p.Pack, At: p.At})
			if outcome == policy.Held {
				one := part
				one.Messages, one.Hold = []screening.Message{m}, uuid.New()
				s.holds = append(s.holds, &hold{due: v.Due, parcel: one})
			}
		}
		if len(out.Messages) > 0 {
			s.outgoing = append(s.outgoing, out)
			if outcome == policy.Cleared {
				s.cleared[out.ID] = part
			}
		}
	}
}

func outgoing(m screening.Message, v screening.Verdict) OutgoingMessage {
	o := OutgoingMessage{ID: m.ID, Round: v.Round}
	if v.Outcome == policy.Cleared {
		o.Content = string(m.Content)
	}
	for _, r := range v.Reasons {
		o.Codes = append(o.Codes, r.Code)
	}
	if v.Outcome == policy.Held {
		o.Codes = o.Codes[:1]
	}
	return o
}

// Release implements screening.Store.
func (s *Store) Release(ctx context.Context, lane string, now time.Time, messages int, screen screening.Screen) (int, error) {
	taken := s.take(lane, now, messages)
	defer s.give(taken)
	var parcels []screening.Parcel
	for _, h := range taken {
		parcels = append(parcels, h.parcel)
	}
	if len(parcels) == 0 {
		return 0, nil
	}
	screened, err := screen(ctx, parcels)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	released := 0
	for _, p := range screened {
		s.holds = slices.DeleteFunc(s.holds, func(h *hold) bool { return h.parcel.Hold == p.Hold })
		s.write(p)
		released += len(p.Messages)
	}
	for _, h := range taken {
		h.due = now.Add(screening.PutOff) // of those still there
	}
	return released, nil
}

func (s *Store) take(lane string, now time.Time, messages int) (taken []*hold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortStableFunc(s.holds, func(a, b *hold) int { return cmp.Compare(a.due.UnixNano(), b.due.UnixNano()) })
	due := map[uuid.UUID]int{} // holds of a tenant, each of one message
	for _, h := range s.holds {
		if h.waits(lane, now) {
			due[h.parcel.Tenant]++
		}
	}
	left := map[uuid.UUID]int{}
	for tenant := range due {
		left[tenant] = max(1, messages/len(due))
	}
	for _, everybody := range []bool{false, true} { // the shares first, then what they leave over
		for _, h := range s.holds {
			if h.waits(lane, now) && len(taken) < messages && (everybody || left[h.parcel.Tenant] > 0) {
				h.taken = true
				left[h.parcel.Tenant]--
				taken = append(taken, h)
			}
		}
	}
	return taken
}

func (h *hold) waits(lane string, now time.Time) bool {
	return h.parcel.Lane == lane && !h.taken && !h.due.After(now)
}

func (s *Store) give(taken []*hold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range taken {
		h.taken = false
	}
}

// Cleared implements screening.Store.
func (s *Store) Cleared(_ context.Context, ids []uuid.UUID) (map[uuid.UUID]screening.Parcel, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[uuid.UUID]screening.Parcel{}
	for _, id := range ids {
		p, ok := s.cleared[id]
		if !ok {
			return nil, errs.E(errs.NotFound, "PARCEL_NOT_FOUND", "a cleared parcel is not there", nil)
		}
		found[id] = p
	}
	return found, nil
}

// Outgoing answers what was published so far.
func (s *Store) Outgoing() []Outgoing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.outgoing)
}

// Decisions answers the decisions on a message, the latest first.
func (s *Store) Decisions(message uuid.UUID) []screening.Decided {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := slices.Clone(s.decisions[message])
	slices.Reverse(d)
	return d
}
