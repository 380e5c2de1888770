package screening

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Returned is a parcel of messages that dispatch may not send now.
type Returned struct {
	ID          uuid.UUID
	Tenant      uuid.UUID
	Correlation uuid.UUID
	Env, Lane   string
	Trace       string
	Messages    []ReturnedMessage
}

// ReturnedMessage names a message, the cleared parcel it went out in, why it came back and when to try again.
type ReturnedMessage struct {
	ID, Cleared uuid.UUID
	Due         int64 // Unix microseconds
	Reason      policy.Reason
}

// Return holds messages that dispatch gave back until their due time, in the next round; those whose validity ends
// before are refused. errs.NotFound when a message's cleared parcel is not there.
func (s *Screener) Return(ctx context.Context, parcels []Returned) error {
	var ids []uuid.UUID
	for _, p := range parcels {
		for _, m := range p.Messages {
			ids = append(ids, m.Cleared)
		}
	}
	slices.SortFunc(ids, compare)
	cleared, err := s.cfg.Store.Cleared(ctx, slices.Compact(ids))
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	pack := s.cfg.Packs.At(now).Version
	seen := map[uuid.UUID]bool{}
	var screened []Screened
	for _, p := range parcels {
		if seen[p.ID] {
			continue
		}
		seen[p.ID] = true
		parts, err := p.holds(cleared, now, pack)
		if err != nil {
			return err
		}
		screened = append(screened, parts...)
	}
	return s.cfg.Store.Record(ctx, screened)
}

// holds makes one screened parcel for each accepted parcel the messages belong to.
func (p *Returned) holds(cleared map[uuid.UUID]Parcel, now time.Time, pack string) ([]Screened, error) {
	var parts []Screened
	part := map[uuid.UUID]int{}
	for _, r := range p.Messages {
		m, ok := find(cleared[r.Cleared], r.ID)
		if !ok || cleared[r.Cleared].Tenant != p.Tenant {
			return nil, errs.E(errs.Invalid, "RETURNED_UNKNOWN", fmt.Sprintf("message %s was not cleared in parcel %s", r.ID, r.Cleared), nil)
		}
		accepted := Accepted(r.ID)
		i, ok := part[accepted]
		if !ok {
			i, part[accepted] = len(parts), len(parts)
			parts = append(parts, Screened{Pack: pack, At: now, Parcel: Parcel{ID: p.ID, Tenant: p.Tenant,
				Correlation: p.Correlation, Env: p.Env, Lane: p.Lane, Trace: p.Trace}})
		}
		parts[i].Messages = append(parts[i].Messages, m)
		parts[i].Verdicts = append(parts[i].Verdicts, again(&m, r))
	}
	return parts, nil
}

// again is the verdict on a message that came back.
func again(m *Message, r ReturnedMessage) Verdict {
	due := time.UnixMicro(r.Due)
	v := Verdict{Round: m.Round + 1, Decision: policy.Decision{Outcome: policy.Held, Due: due, Reasons: []policy.Reason{r.Reason}}}
	if m.Expire != 0 && r.Due >= m.Expire {
		v.Decision = policy.Decision{Outcome: policy.Refused, Reasons: []policy.Reason{policy.R(policy.MessageExpired), r.Reason}}
	}
	return v
}

func find(p Parcel, id uuid.UUID) (Message, bool) {
	for _, m := range p.Messages {
		if m.ID == id {
			return m, true
		}
	}
	return Message{}, false
}

func compare(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }
