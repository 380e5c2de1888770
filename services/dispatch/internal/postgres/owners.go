package postgres

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// ownerEvery is how often a header's use is written down: an answer within a tenant's first hour finds it, and a full
// load costs a statement an hour and header.
const ownerEvery = time.Hour

// ownerKey is who used a header.
type ownerKey struct {
	env, header string
	tenant      uuid.UUID
}

// owners remembers which uses of headers are written down.
type owners struct {
	mu      sync.Mutex
	written map[ownerKey]time.Time
}

// fresh answers the uses among messages that are not written down lately, sorted.
func (o *owners) fresh(results []delivery.Result, now time.Time) []ownerKey {
	o.mu.Lock()
	defer o.mu.Unlock()
	found := map[ownerKey]bool{}
	var last *delivery.Message
	for i := range results {
		m := results[i].Message
		if len(results[i].Accepted) == 0 && results[i].Kind != delivery.Unknown ||
			last != nil && last.Parcel == m.Parcel && last.Header == m.Header {
			continue
		}
		last = m
		key := ownerKey{m.Parcel.Env, strings.ToUpper(m.Header), m.Parcel.Tenant}
		if m.Header != "" && now.Sub(o.written[key]) >= ownerEvery {
			found[key] = true
		}
	}
	list := make([]ownerKey, 0, len(found))
	for key := range found {
		list = append(list, key)
	}
	slices.SortFunc(list, func(a, b ownerKey) int {
		return cmp.Or(cmp.Compare(a.env, b.env), cmp.Compare(a.header, b.header), slices.Compare(a.tenant[:], b.tenant[:]))
	})
	return list
}

// own notes that messages went out by their tenants' headers.
func (s *Store) own(ctx context.Context, results []delivery.Result) error {
	now := s.now()
	list := s.owners.fresh(results, now)
	if len(list) == 0 {
		return nil
	}
	envs, headers, tenants := make([]string, len(list)), make([]string, len(list)), make([]uuid.UUID, len(list))
	for i, key := range list {
		envs[i], headers[i], tenants[i] = key.env, key.header, key.tenant
	}
	_, err := s.pool.Exec(ctx, `INSERT INTO header_owners (env, header, tenant_id, last_time)
		SELECT u.*, $4 FROM unnest($1::text[], $2::text[], $3::uuid[]) u
		ON CONFLICT (env, header, tenant_id) DO UPDATE SET last_time = greatest(header_owners.last_time, excluded.last_time)`,
		envs, headers, tenants, now)
	if err != nil {
		return postgres.Map(err)
	}
	s.owners.mu.Lock()
	defer s.owners.mu.Unlock()
	if s.owners.written == nil || len(s.owners.written) > 100_000 {
		s.owners.written = map[ownerKey]time.Time{}
	}
	for _, key := range list {
		s.owners.written[key] = now
	}
	return nil
}
