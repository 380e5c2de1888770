// Package ledgertest holds the ledger's store in memory and the tests every store must pass.
package ledgertest

import (
	"context"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/audit/internal/ledger"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

type logKey struct {
	tenant uuid.UUID
	env    string
}

// Store keeps entries in memory.
type Store struct {
	mu   sync.Mutex
	logs map[logKey][]ledger.Stored // guarded by mu
	seen map[uuid.UUID]bool         // guarded by mu
	fail error                      // guarded by mu
}

// NewStore makes an empty store.
func NewStore() *Store {
	return &Store{logs: map[logKey][]ledger.Stored{}, seen: map[uuid.UUID]bool{}}
}

// Fail makes every Append return err until Fail(nil).
func (s *Store) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// Append implements ledger.Store.
func (s *Store) Append(_ context.Context, records []ledger.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	for _, r := range records {
		if s.seen[r.EventID] {
			continue
		}
		s.seen[r.EventID] = true
		key := logKey{r.Tenant, r.Env}
		s.logs[key] = append(s.logs[key], ledger.Stored{
			Record: r, Index: int64(len(s.logs[key])), MessageCount: int32(r.Count()),
		})
	}
	return nil
}

// List answers like the database does.
func (s *Store) List(_ context.Context, q ledger.Query) ([]ledger.Stored, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []ledger.Stored
	for _, e := range s.logs[logKey{q.Tenant, q.Env}] {
		if len(found) < q.Limit && matches(&e, q) {
			found = append(found, e)
		}
	}
	return found, nil
}

func matches(e *ledger.Stored, q ledger.Query) bool {
	if e.Index <= q.After || q.Action != "" && e.Action != q.Action {
		return false
	}
	if q.Actor != "" && e.Actor != q.Actor || q.Outcome != "" && e.Outcome != q.Outcome {
		return false
	}
	if !q.Start.IsZero() && e.ReceivedAt.Before(q.Start) || !q.End.IsZero() && !e.ReceivedAt.Before(q.End) {
		return false
	}
	return q.Parcel == uuid.Nil || slices.ContainsFunc(e.Messages, func(g ledger.MessageGroup) bool {
		return g.Parcel == q.Parcel && (q.Index == nil || slices.Contains(g.Indexes, *q.Index))
	})
}

// Get answers like the database does.
func (s *Store) Get(_ context.Context, tenant uuid.UUID, env string, index int64) (ledger.Stored, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := s.logs[logKey{tenant, env}]
	if index < 0 || index >= int64(len(log)) {
		return ledger.Stored{}, errs.E(errs.NotFound, "AUDIT_EVENT_NOT_FOUND", "the tenant's log has no entry at this index", nil)
	}
	return log[index], nil
}
