package postgres

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// consumer is our name in the inbox.
const consumer = "ingest"

// Record stores what events say of messages, in one transaction: the chunks of event parcels not seen before, and the
// standings they raise. Events may come in any order and any number of times.
func (s *Store) Record(ctx context.Context, chunks []message.Chunk) error {
	if len(chunks) == 0 {
		return nil
	}
	events := make([]uuid.UUID, len(chunks))
	for i, c := range chunks {
		events[i] = c.Event
	}
	return postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		fresh, err := outbox.Claim(ctx, tx, consumer, events)
		if err != nil || len(fresh) == 0 {
			return err
		}
		news := make([]message.Chunk, 0, len(chunks))
		for _, c := range chunks {
			if fresh[c.Event] {
				news = append(news, c)
			}
		}
		parcels, err := lock(ctx, tx, news)
		if err != nil {
			return err
		}
		return write(ctx, tx, news, parcels)
	})
}

// parcelKey is the key of accepted_parcels; the day follows from the id.
type parcelKey struct {
	tenant uuid.UUID
	env    string
	id     uuid.UUID
}

func keyOf(c *message.Chunk) parcelKey { return parcelKey{c.Tenant, c.Env, c.Parcel} }

func (k parcelKey) compare(o parcelKey) int {
	return cmp.Or(bytes.Compare(k.tenant[:], o.tenant[:]), cmp.Compare(k.env, o.env), bytes.Compare(k.id[:], o.id[:]))
}

// locked is an accepted parcel whose row this transaction holds.
type locked struct {
	byVariables bool
	standings   message.Standings
	raised      bool
}

// lock takes the rows of the parcels that chunks speak of, in the order of their keys: two batches never wait for each
// other in a circle.
func lock(ctx context.Context, tx pgx.Tx, chunks []message.Chunk) (map[parcelKey]*locked, error) {
	keys := make([]parcelKey, len(chunks))
	for i := range chunks {
		keys[i] = keyOf(&chunks[i])
	}
	slices.SortFunc(keys, parcelKey.compare)
	keys = slices.Compact(keys)
	c := keyColumnsOf(keys)
	rows, err := tx.Query(ctx, `SELECT p.* FROM unnest($1::date[], $2::uuid[], $3::text[], $4::uuid[]) AS u (day, tenant_id, env, parcel_id)
		CROSS JOIN LATERAL (SELECT a.tenant_id, a.env, a.parcel_id, a.by_variables, a.standings FROM accepted_parcels a
			WHERE a.day = u.day AND a.tenant_id = u.tenant_id AND a.env = u.env AND a.parcel_id = u.parcel_id
			LIMIT 1 FOR UPDATE) p`, c.days, c.tenants, c.envs, c.ids)
	if err != nil {
		return nil, err
	}
	found := make(map[parcelKey]*locked, len(keys))
	var key parcelKey
	var byVariables bool
	var standings []byte
	_, err = pgx.ForEachRow(rows, []any{&key.tenant, &key.env, &key.id, &byVariables, &standings}, func() error {
		found[key] = &locked{byVariables: byVariables, standings: bytes.Clone(standings)}
		return nil
	})
	return found, err
}

// write stores chunks and the standings they raise in parcels, in one round trip.
func write(ctx context.Context, tx pgx.Tx, chunks []message.Chunk, parcels map[parcelKey]*locked) error {
	keep := map[uuid.UUID]bool{}
	for i := range chunks {
		c := &chunks[i]
		p, ok := parcels[keyOf(c)]
		if !ok {
			continue // nothing we accepted: kept as it came, seen by nobody
		}
		for _, m := range c.Marks {
			p.raised = p.standings.Raise(m.Index, m.Standing) || p.raised
		}
		if p.byVariables {
			keep[c.Parcel] = true
		}
	}
	var batch pgx.Batch
	queueChunks(&batch, chunks, keep)
	queueStandings(&batch, parcels)
	return tx.SendBatch(ctx, &batch).Close()
}

func queueStandings(batch *pgx.Batch, parcels map[parcelKey]*locked) {
	var keys []parcelKey
	for key, p := range parcels {
		if p.raised {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return
	}
	states, standings := make([]int64, len(keys)), make([][]byte, len(keys))
	for i, key := range keys {
		s := parcels[key].standings
		states[i], standings[i] = int64(s.States()), s
	}
	c := keyColumnsOf(keys)
	batch.Queue(`SELECT ingest_set_standings($1, $2, $3, $4, $5, $6)`, c.days, c.tenants, c.envs, c.ids, states, standings)
}

// parcelKeys are keys by column.
type parcelKeys struct {
	days         []time.Time
	tenants, ids []uuid.UUID
	envs         []string
}

func keyColumnsOf(keys []parcelKey) (c parcelKeys) {
	for _, k := range keys {
		c.days, c.tenants = append(c.days, postgres.Day(k.id)), append(c.tenants, k.tenant)
		c.envs, c.ids = append(c.envs, k.env), append(c.ids, k.id)
	}
	return c
}
