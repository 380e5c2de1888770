package screening

import (
	"cmp"
	"slices"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

// samples is how many message ids a simulation names for each thing it counts.
const samples = 10

// Tally counts messages and names some of them.
type Tally struct {
	Count   int64
	Samples []uuid.UUID
}

func (t *Tally) add(message uuid.UUID) {
	if t.Count++; len(t.Samples) < samples {
		t.Samples = append(t.Samples, message)
	}
}

// Change is what another pack makes of decisions: the outcome before and after, and the reason that decides after, or, for
// what is cleared after, that decided before.
type Change struct {
	From, To policy.Outcome
	Reason   string
	Tally
}

// Simulation counts what another pack would change. The zero value, with a pack, is ready.
type Simulation struct {
	Pack       *policy.Pack
	Same       int64 // decisions that stay as they are
	Reasoned   int64 // of those: with other reasons or another due time
	Unrecorded int64 // decisions without recorded facts: nothing is said of them
	changes    map[changed]*Tally
}

type changed struct {
	from, to policy.Outcome
	reason   string
}

// Add decides a recorded decision anew.
func (s *Simulation) Add(r *Recorded) {
	if r.Facts == nil {
		s.Unrecorded++
		return
	}
	d := r.Replay(s.Pack)
	if d.Outcome == r.Outcome {
		if s.Same++; len(d.Reasons) > 0 && len(r.Differences(&d)) > 0 {
			s.Reasoned++
		}
		return
	}
	why := d.Reasons
	if d.Outcome == policy.Cleared {
		why = r.Reasons
	}
	key := changed{from: r.Outcome, to: d.Outcome}
	if len(why) > 0 {
		key.reason = why[0].Code
	}
	if s.changes == nil {
		s.changes = map[changed]*Tally{}
	}
	if s.changes[key] == nil {
		s.changes[key] = &Tally{}
	}
	s.changes[key].add(r.Message)
}

// Decided is how many decisions were looked at.
func (s *Simulation) Decided() int64 {
	n := s.Same + s.Unrecorded
	for _, t := range s.changes {
		n += t.Count
	}
	return n
}

// Changes are what would change, the most frequent first.
func (s *Simulation) Changes() []Change {
	var all []Change
	for key, tally := range s.changes {
		all = append(all, Change{key.from, key.to, key.reason, *tally})
	}
	slices.SortFunc(all, func(a, b Change) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Reason, b.Reason))
	})
	return all
}
