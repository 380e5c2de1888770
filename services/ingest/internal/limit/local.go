package limit

import (
	"sync"
	"time"
)

// localCells is how many things a Local keeps at most; beyond, those that have regained their burst are dropped.
const localCells = 100_000

// Local is one rate for each of many things, in this process only. It is safe for concurrent use.
type Local[K comparable] struct {
	rate Rate

	mu   sync.Mutex
	full map[K]int64
}

// NewLocal makes a Local; with the zero rate it refuses nothing.
func NewLocal[K comparable](rate Rate) *Local[K] {
	return &Local[K]{rate: rate, full: map[K]int64{}}
}

// Spend takes one unit of k; a wait above 0 refuses.
func (l *Local[K]) Spend(k K, at time.Time) (wait time.Duration) {
	if !l.rate.Limited() {
		return 0
	}
	now := at.UnixNano()
	l.mu.Lock()
	defer l.mu.Unlock()
	full, known := l.full[k]
	if !known && len(l.full) >= localCells {
		l.sweep(now)
	}
	full, wait = l.rate.Spend(full, now, 1)
	l.full[k] = full
	return wait
}

// sweep drops what has regained its burst, and where that is too little, anything.
func (l *Local[K]) sweep(now int64) {
	for k, full := range l.full {
		if full <= now {
			delete(l.full, k)
		}
	}
	for k := range l.full {
		if len(l.full) < localCells {
			return
		}
		delete(l.full, k)
	}
}
