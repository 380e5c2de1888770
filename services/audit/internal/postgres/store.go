// Package postgres keeps the ledger's entries.
package postgres

import (
	"cmp"
	"context"
	"embed"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/audit/internal/ledger"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Sources are the migrations this service runs, in order.
var Sources = []postgres.Source{outbox.Source, {Name: "audit", FS: migrations}}

// Consumer is the name under which parcels are marked as taken.
const Consumer = "audit"

// Store implements ledger.Store and the queries of the API.
type Store struct {
	db *postgres.DB
}

// NewStore makes a store on an open database.
func NewStore(db *postgres.DB) *Store { return &Store{db: db} }

// Append implements ledger.Store.
func (s *Store) Append(ctx context.Context, records []ledger.Record) error {
	return postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		fresh, err := claim(ctx, tx, records)
		if err != nil || len(fresh) == 0 {
			return err
		}
		indexes, err := extend(ctx, tx, fresh)
		if err != nil {
			return err
		}
		return insert(ctx, tx, fresh, indexes)
	})
}

// claim gives the records whose parcel no transaction has taken yet, each once.
func claim(ctx context.Context, tx pgx.Tx, records []ledger.Record) ([]ledger.Record, error) {
	ids := make([]uuid.UUID, len(records))
	for i := range records {
		ids[i] = records[i].EventID
	}
	fresh, err := outbox.Claim(ctx, tx, Consumer, ids)
	if err != nil {
		return nil, err
	}
	kept := make([]ledger.Record, 0, len(fresh))
	for _, r := range records {
		if fresh[r.EventID] {
			kept = append(kept, r)
			fresh[r.EventID] = false // the same parcel may stand twice in one gathering
		}
	}
	return kept, nil
}

const extendSQL = `
insert into tenant_heads as h (tenant_id, env, size)
select * from unnest($1::uuid[], $2::text[], $3::bigint[])
on conflict (tenant_id, env) do update set size = h.size + excluded.size
returning tenant_id, env, size`

// log names one contiguous sequence of entries.
type log struct {
	tenant uuid.UUID
	env    string
}

// extend takes the next indices of each log, logs in sorted order so that two writers never deadlock, and gives each
// record its own.
func extend(ctx context.Context, tx pgx.Tx, records []ledger.Record) ([]int64, error) {
	counts := map[log]int64{}
	for i := range records {
		counts[log{records[i].Tenant, records[i].Env}]++
	}
	logs := slices.SortedFunc(maps.Keys(counts), func(a, b log) int {
		return cmp.Or(slices.Compare(a.tenant[:], b.tenant[:]), cmp.Compare(a.env, b.env))
	})
	tenants, envs, sizes := make([]uuid.UUID, len(logs)), make([]string, len(logs)), make([]int64, len(logs))
	for i, l := range logs {
		tenants[i], envs[i], sizes[i] = l.tenant, l.env, counts[l]
	}
	rows, err := tx.Query(ctx, extendSQL, tenants, envs, sizes)
	if err != nil {
		return nil, err
	}
	next := make(map[log]int64, len(logs))
	var l log
	var size int64
	if _, err := pgx.ForEachRow(rows, []any{&l.tenant, &l.env, &size}, func() error {
		next[l] = size - counts[l]
		return nil
	}); err != nil {
		return nil, err
	}
	indexes := make([]int64, len(records))
	for i := range records {
		l := log{records[i].Tenant, records[i].Env}
		indexes[i] = next[l]
		next[l]++
	}
	return indexes, nil
}

// day is the partition of a record: the UTC day of its receipt.
func day(r *ledger.Record) time.Time {
	y, m, d := r.ReceivedAt.UTC().Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}
