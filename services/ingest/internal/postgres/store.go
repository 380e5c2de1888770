// Package postgres keeps tenants, keys, messages and what happened to them in ingest's database. Lists and look-ups of
// a tenant run in his own role under row-level security; accepting and recording run in batches over all tenants.
package postgres

import (
	"embed"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Source is the tables of this package.
var Source = postgres.Source{Name: "ingest", FS: migrations}

// Publisher takes committed parcels to the bus; it never blocks.
type Publisher interface {
	Publish(parcels ...eventbus.Parcel)
}

// Store is ingest's database.
type Store struct {
	db        *postgres.DB
	publisher Publisher // nil where nothing is accepted
	now       func() time.Time
}

// NewStore makes a store over db that hands what it has committed to publisher.
func NewStore(db *postgres.DB, publisher Publisher, now func() time.Time) *Store {
	return &Store{db: db, publisher: publisher, now: now}
}
