package tenant

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Use is the last use of a key.
type Use struct {
	KID     string
	Time    time.Time // to the minute
	Address netip.Addr
}

// UseStore keeps last uses.
type UseStore interface {
	// RecordUses stores uses, sorted by kid; a later one that is there stays.
	RecordUses(ctx context.Context, uses []Use) error
}

// Uses remembers when and from where keys were last used, to be written together once a minute: never a write a call.
type Uses struct {
	mu    sync.RWMutex
	since map[string]Use // since the last Flush
}

// Note notes a use; within one minute and address it costs a look.
func (u *Uses) Note(kid string, from netip.Addr, now time.Time) {
	minute := now.Truncate(time.Minute)
	u.mu.RLock()
	last, ok := u.since[kid]
	u.mu.RUnlock()
	if ok && last.Address == from && !last.Time.Before(minute) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.since == nil {
		u.since = map[string]Use{}
	}
	u.since[kid] = Use{KID: kid, Time: minute, Address: from}
}

// Flush writes what was noted since the last time; on an error it is kept for the next.
func (u *Uses) Flush(ctx context.Context, s UseStore) error {
	u.mu.Lock()
	uses := u.since
	u.since = nil
	u.mu.Unlock()
	if len(uses) == 0 {
		return nil
	}
	sorted := slices.SortedFunc(maps.Values(uses), func(a, b Use) int { return strings.Compare(a.KID, b.KID) })
	err := s.RecordUses(ctx, sorted)
	if err != nil {
		u.mu.Lock()
		defer u.mu.Unlock()
		maps.Copy(uses, u.since) // newer ones win
		u.since = uses
	}
	return err
}
