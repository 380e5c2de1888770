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
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// columns are the rows of a flush beside its parcels: accepted_parcels, message_references, and the events of messages
// that are refused at once.
type columns struct {
	parcels    parcelColumns
	references referenceColumns
	refused    []message.Chunk
}

type parcelColumns struct {
	days, accepts []time.Time
	tenants, ids  []uuid.UUID
	envs, lanes   []string
	messages      []int32
	byVariables   []bool
	states        []int64
	standings     [][]byte
}

type referenceColumns struct {
	days             []time.Time
	tenants, ids     []uuid.UUID
	envs, references []string
}

func columnsOf(f *message.Flush) *columns {
	c := &columns{}
	for i := range f.Parcels {
		c.add(f, &f.Parcels[i])
	}
	return c
}

func (c *columns) add(f *message.Flush, p *message.Parcel) {
	byVariables, standings := false, message.NewStandings(len(p.Entries))
	refused := message.Chunk{Parcel: p.ID, Tenant: p.Tenant, Env: p.Env, Event: p.ID}
	for i := range p.Entries {
		e := &p.Entries[i]
		byVariables = byVariables || len(e.Message.Variables) > 0
		c.references.add(p, e)
		if e.Message.Refusal != nil {
			event := message.Event{Index: i, Kind: message.KindRefused, Time: f.Time, Reasons: []message.Reason{*e.Message.Refusal}}
			refused.Pack = message.AppendEvent(refused.Pack, &event)
			standings.Raise(i, message.Standing{State: message.StateRefused})
		}
	}
	if len(refused.Pack) > 0 {
		c.refused = append(c.refused, refused)
	}
	r := &c.parcels
	r.days, r.accepts = append(r.days, postgres.Day(p.ID)), append(r.accepts, f.Time)
	r.tenants, r.ids = append(r.tenants, p.Tenant), append(r.ids, p.ID)
	r.envs, r.lanes = append(r.envs, p.Env), append(r.lanes, f.Lane)
	r.messages, r.byVariables = append(r.messages, int32(len(p.Entries))), append(r.byVariables, byVariables)
	r.states, r.standings = append(r.states, int64(standings.States())), append(r.standings, standings)
}

func (c *referenceColumns) add(p *message.Parcel, e *message.Entry) {
	if e.Message.ClientReference == "" {
		return
	}
	c.days, c.tenants, c.ids = append(c.days, postgres.Day(e.ID)), append(c.tenants, p.Tenant), append(c.ids, e.ID)
	c.envs, c.references = append(c.envs, p.Env), append(c.references, e.Message.ClientReference)
}

// insert needs no order of keys: all are made of new ids.
func (c *columns) insert(ctx context.Context, tx pgx.Tx) error {
	var batch pgx.Batch
	p := &c.parcels
	batch.Queue(`INSERT INTO accepted_parcels
			(day, tenant_id, env, parcel_id, lane, accept_time, messages, by_variables, states, standings)
		SELECT * FROM unnest($1::date[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::timestamptz[], $7::int[], $8::boolean[],
			$9::bigint[], $10::bytea[])`,
		p.days, p.tenants, p.envs, p.ids, p.lanes, p.accepts, p.messages, p.byVariables, p.states, p.standings)
	if r := &c.references; len(r.ids) > 0 {
		batch.Queue(`INSERT INTO message_references (day, tenant_id, env, client_reference, message_id)
			SELECT * FROM unnest($1::date[], $2::uuid[], $3::text[], $4::text[], $5::uuid[])`,
			r.days, r.tenants, r.envs, r.references, r.ids)
	}
	if len(c.refused) > 0 {
		queueChunks(&batch, c.refused, nil)
	}
	return tx.SendBatch(ctx, &batch).Close()
}

// queueChunks adds rows of message_events, in sorted order; with their contents for the parcels in keep.
func queueChunks(batch *pgx.Batch, chunks []message.Chunk, keep map[uuid.UUID]bool) {
	n := len(chunks)
	days, packs, contents := make([]time.Time, n), make([][]byte, n), make([][]byte, n)
	tenants, parcels, events := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]uuid.UUID, n)
	slices.SortFunc(chunks, func(a, b message.Chunk) int {
		return cmp.Or(bytes.Compare(a.Tenant[:], b.Tenant[:]), bytes.Compare(a.Parcel[:], b.Parcel[:]), bytes.Compare(a.Event[:], b.Event[:]))
	})
	for i, c := range chunks {
		days[i], packs[i] = postgres.Day(c.Parcel), c.Pack
		tenants[i], parcels[i], events[i] = c.Tenant, c.Parcel, c.Event
		for j := 0; keep[c.Parcel] && j < len(c.Rendered); j++ {
			contents[i] = message.AppendContent(contents[i], c.Rendered[j])
		}
	}
	batch.Queue(`INSERT INTO message_events (day, tenant_id, parcel_id, event_id, pack, contents)
		SELECT * FROM unnest($1::date[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bytea[], $6::bytea[])`,
		days, tenants, parcels, events, packs, contents)
}
