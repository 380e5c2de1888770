// Package postgres keeps what dispatch knows: replicas and leases, the queue, intents, results, submissions and
// receipts. It implements the stores delivery declares, and writes the events of a transaction into its outbox.
package postgres

import (
	"context"
	"embed"
	"encoding/binary"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/route"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Source is dispatch's own tables; they stand beside outbox.Source.
var Source = postgres.Source{Name: "dispatch", FS: migrations}

// Store is delivery's Queue, Intents, Records and Leases on the worker pool.
type Store struct {
	pool    *pgxpool.Pool
	publish func(...eventbus.Parcel)
	newID   func() uuid.UUID
	now     func() time.Time
	recent  recent
	owners  owners
	breaker *route.Breaker // nil: nobody is told of refusals
	// recipient is a number's keyed hash in an environment; see delivery.Config.
	recipient func(env, number string) [16]byte
}

var (
	_ delivery.Queue   = (*Store)(nil)
	_ delivery.Intents = (*Store)(nil)
	_ delivery.Records = (*Store)(nil)
	_ delivery.Leases  = (*Store)(nil)
)

// New makes a store. publish is called after each commit with the parcels it holds; newID makes UUIDv7;
// recipient is delivery.Config's.
func New(pool *pgxpool.Pool, publish func(...eventbus.Parcel), recipient func(env, number string) [16]byte, newID func() uuid.UUID, now func() time.Time) *Store {
	return &Store{pool: pool, publish: publish, recipient: recipient, newID: newID, now: now}
}

// Tell has refusals by receipts counted by a breaker. Call it before the store is used.
func (s *Store) Tell(b *route.Breaker) { s.breaker = b }

// inTx runs fn in a worker transaction.
func (s *Store) inTx(ctx context.Context, fn func(pgx.Tx) error) error {
	return postgres.InTx(ctx, s.pool, fn)
}

// lockReplica makes the transaction exclude a take-over of the replica; delivery.ErrFenced when there was one. KEY
// SHARE lets renewals pass and stops only the take-over's DELETE.
const lockReplica = `SELECT true FROM replicas WHERE replica = $1 FOR KEY SHARE`

func fence(ctx context.Context, tx pgx.Tx, replica uuid.UUID) error {
	var alive bool
	err := tx.QueryRow(ctx, lockReplica, replica).Scan(&alive)
	if errors.Is(err, pgx.ErrNoRows) {
		return delivery.ErrFenced
	}
	return err
}

// packIndexes writes positions as 16 bits each, big endian; unpackIndexes reads them.
func packIndexes(list []uint16) []byte {
	b := make([]byte, 0, 2*len(list))
	for _, i := range list {
		b = binary.BigEndian.AppendUint16(b, i)
	}
	return b
}

func unpackIndexes(b []byte) []uint16 {
	list := make([]uint16, 0, len(b)/2)
	for ; len(b) >= 2; b = b[2:] {
		list = append(list, binary.BigEndian.Uint16(b))
	}
	return list
}

// dayOf is a time's UTC day.
func dayOf(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
