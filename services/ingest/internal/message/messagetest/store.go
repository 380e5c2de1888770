// Package messagetest has a store and a vault in memory for tests, and the suite that says what a store must do.
package messagetest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
)

// Store is a message.Store in memory. Its fields may be set before use.
type Store struct {
	Now    func() time.Time
	Before func(f message.Flush) error // called before each Accept; its error is the answer

	mu      sync.Mutex
	flushes []message.Flush
	keys    map[message.Key]message.KeyRow
}

// Known answers the keys that are taken and alive.
func (s *Store) Known(_ context.Context, keys []message.Key) (map[message.Key]message.Taken, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := map[message.Key]message.Taken{}
	for _, k := range keys {
		if row, ok := s.keys[k]; ok && row.Expire.After(s.Now()) {
			known[k] = row.Taken
		}
	}
	return known, nil
}

// Accept keeps f, all or nothing.
func (s *Store) Accept(_ context.Context, f message.Flush) error {
	if s.Before != nil {
		if err := s.Before(f); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var taken []message.Key
	for _, row := range f.Keys {
		if before, ok := s.keys[row.Key]; ok && before.Expire.After(s.Now()) {
			taken = append(taken, row.Key)
		}
	}
	if len(taken) > 0 {
		return &message.KeyTakenError{Keys: taken}
	}
	if s.keys == nil {
		s.keys = map[message.Key]message.KeyRow{}
	}
	for _, row := range f.Keys {
		s.keys[row.Key] = row
	}
	s.flushes = append(s.flushes, f)
	return nil
}

// Flushes are those accepted so far.
func (s *Store) Flushes() []message.Flush {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]message.Flush(nil), s.flushes...)
}

// Messages counts what was accepted so far.
func (s *Store) Messages() int {
	n := 0
	for _, f := range s.Flushes() {
		for _, p := range f.Parcels {
			n += len(p.Entries)
		}
	}
	return n
}

// Vault is a message.Vault that seals nothing; Err, when set, is what Prepare answers.
type Vault struct{ Err error }

// Prepare answers v.Err.
func (v Vault) Prepare(context.Context, string, uuid.UUID) error { return v.Err }

// Seal answers bytes of the size real ones have.
func (v Vault) Seal(_ context.Context, _ message.Place, m *message.Message) (content, index []byte, err error) {
	return make([]byte, 37+len(m.To)+len(m.Text)), make([]byte, 16), nil
}

// Hash is unkeyed here.
func (v Vault) Hash(env string, tenant uuid.UUID, value string) (h [16]byte, err error) {
	sum := sha256.Sum256([]byte(env + tenant.String() + value))
	return [16]byte(sum[:]), nil
}

// RunStoreTests checks what a message.Store must do beside storing: the life of idempotency keys. The store is to be
// empty and to use the clock now; count answers how many messages it holds.
func RunStoreTests(t *testing.T, s message.Store, now func() time.Time, count func(t *testing.T) int) {
	tenant, other := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	key := func(tenant uuid.UUID, env string, n byte) message.Key {
		return message.Key{Tenant: tenant, Env: env, Hash: [16]byte{n}}
	}
	row := func(k message.Key, ttl time.Duration) message.KeyRow {
		answer := message.AppendAnswer(nil, []message.Receipt{{ID: k.Tenant, State: message.StateAccepted}})
		return message.KeyRow{Key: k, Taken: message.Taken{Request: [16]byte{9}, Answer: answer}, Expire: now().Add(ttl)}
	}
	var minted uint16
	flush := func(rows ...message.KeyRow) message.Flush {
		minted++
		return NewFlush(now(), minted, tenant, rows...)
	}
	first := row(key(tenant, "live", 1), time.Hour)
	accept(t, s, flush(first, row(key(tenant, "live", 2), -time.Second)))
	if got := count(t); got != 2 {
		t.Fatalf("%d messages after the first flush, want 2", got)
	}

	known, err := s.Known(t.Context(), []message.Key{first.Key, key(tenant, "live", 2), key(tenant, "test", 1), key(other, "live", 1)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[message.Key]message.Taken{first.Key: first.Taken}, known); diff != "" {
		t.Errorf("known: %s", diff)
	}

	err = s.Accept(t.Context(), flush(row(key(tenant, "live", 3), time.Hour), first))
	if diff := cmp.Diff(error(&message.KeyTakenError{Keys: []message.Key{first.Key}}), err); diff != "" {
		t.Errorf("a taken key: %s", diff)
	}
	if got := count(t); got != 2 {
		t.Errorf("%d messages after a flush with a taken key, want 2: all or nothing", got)
	}
	// The same key of another environment or tenant is another key; an expired one is free again.
	accept(t, s, flush(row(key(tenant, "test", 1), time.Hour), row(key(other, "live", 1), time.Hour),
		row(key(tenant, "live", 2), time.Hour), row(key(tenant, "live", 3), time.Hour)))
	if got := count(t); got != 4 {
		t.Errorf("%d messages at the end, want 4", got)
	}
}

func accept(t *testing.T, s message.Store, f message.Flush) {
	t.Helper()
	if err := s.Accept(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// NewFlush makes a flush of one parcel with two messages, the second one hopeless. n makes its ids differ from others
// minted in the same millisecond.
func NewFlush(now time.Time, n uint16, tenant uuid.UUID, rows ...message.KeyRow) message.Flush {
	id := message.FirstAt(now)
	id[6], id[8] = 0x70, 0x80
	binary.BigEndian.PutUint16(id[9:], n)
	good := &message.Message{
		To: "+919876543210", EntityID: "1701158019811140068", Header: "ABCBNK", TemplateID: "1107160000000000011",
		Text: "hello", ClientReference: fmt.Sprintf("order-%d", n), Expire: now.Add(time.Hour),
	}
	bad := *good
	bad.Refusal = &message.Reason{Code: "RECIPIENT_INVALID", Detail: "not a mobile number"}
	p := message.Parcel{ID: id, Tenant: tenant, Env: "live", Entries: []message.Entry{
		{ID: message.IDAt(id, 0), Message: good, Content: []byte("sealed 0"), RecipientIndex: make([]byte, 16)},
		{ID: message.IDAt(id, 1), Message: &bad, Content: []byte("sealed 1"), RecipientIndex: make([]byte, 16)},
	}}
	return message.Flush{Lane: message.LaneBulk, Time: now.Truncate(time.Microsecond), Parcels: []message.Parcel{p}, Keys: rows}
}
