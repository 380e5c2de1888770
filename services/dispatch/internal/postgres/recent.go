package postgres

import (
	"sync"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
)

// generation is how many submissions each of the two generations of recent holds: some seconds of full load, which is
// what most receipts take, in 20 MiB.
const generation = 50_000

// recent remembers what this process has committed to submissions, so that most receipts need no look-up. It is never
// wrong, only incomplete: the table has everything.
type recent struct {
	mu       sync.Mutex
	new, old map[address]submission
}

// add remembers committed submissions.
func (r *recent) add(subs []submission) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.new == nil || len(r.new) >= generation {
		r.old, r.new = r.new, make(map[address]submission, generation)
	}
	for i := range subs {
		r.new[subs[i].address] = subs[i]
	}
}

// find answers the submissions of receipts that are remembered or among own, which the transaction has just written,
// and the receipts whose submission must be looked up.
func (r *recent) find(receipts []delivery.Receipt, own []submission) (known map[address]submission, missing []delivery.Receipt) {
	written := make(map[address]submission, len(own))
	for i := range own {
		if u, ok := written[own[i].address]; !ok || !own[i].submitted.Before(u.submitted) {
			written[own[i].address] = own[i]
		}
	}
	known = make(map[address]submission, len(receipts))
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range receipts {
		key := address{receipts[i].Route, receipts[i].OperatorID}
		u, ok := written[key]
		if !ok {
			u, ok = r.new[key]
		}
		if !ok {
			u, ok = r.old[key]
		}
		if ok {
			known[key] = u
			continue
		}
		missing = append(missing, receipts[i])
	}
	return known, missing
}
