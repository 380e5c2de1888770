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
// final states in them. Events may come in any order and any number of times.
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
		keep, err := variableParcels(ctx, tx, news)
		if err != nil {
			return err
		}
		if err := insertChunks(ctx, tx, news, keep); err != nil {
			return err
		}
		return finish(ctx, tx, news)
	})
}

// variableParcels finds, among the accepted parcels that chunks bring contents for, those whose contents are to be kept.
func variableParcels(ctx context.Context, tx pgx.Tx, chunks []message.Chunk) (map[uuid.UUID]bool, error) {
	var days []time.Time
	var tenants, ids []uuid.UUID
	for _, c := range chunks {
		if len(c.Rendered) > 0 {
			days, tenants, ids = append(days, postgres.Day(c.Parcel)), append(tenants, c.Tenant), append(ids, c.Parcel)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, `SELECT v.parcel_id FROM unnest($1::date[], $2::uuid[], $3::uuid[]) AS u (day, tenant_id, parcel_id)
		CROSS JOIN LATERAL (SELECT parcel_id FROM variable_parcels p WHERE p.day = u.day AND p.tenant_id = u.tenant_id
			AND p.parcel_id = u.parcel_id LIMIT 1) v`, days, tenants, ids)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	keep := make(map[uuid.UUID]bool, len(found))
	for _, id := range found {
		keep[id] = true
	}
	return keep, err
}

// insertChunks adds rows of message_events, in sorted order; with their contents for the parcels in keep.
func insertChunks(ctx context.Context, tx pgx.Tx, chunks []message.Chunk, keep map[uuid.UUID]bool) error {
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
	_, err := tx.Exec(ctx, `INSERT INTO message_events (day, tenant_id, parcel_id, event_id, pack, contents)
		SELECT * FROM unnest($1::date[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bytea[], $6::bytea[])`,
		days, tenants, parcels, events, packs, contents)
	return err
}

type finishing struct {
	message.Finish
	tenant uuid.UUID
	env    string
}

// finish sets the final states in chunks: for each message the highest, in sorted order, a statement for each day.
func finish(ctx context.Context, tx pgx.Tx, chunks []message.Chunk) error {
	var all []finishing
	for _, c := range chunks {
		for _, f := range c.Final {
			all = append(all, finishing{f, c.Tenant, c.Env})
		}
	}
	slices.SortFunc(all, func(a, b finishing) int {
		higher := 1
		if a.Standing.Above(b.Standing) {
			higher = -1
		}
		return cmp.Or(bytes.Compare(a.ID[:], b.ID[:]), higher)
	})
	all = slices.CompactFunc(all, func(a, b finishing) bool { return a.ID == b.ID }) // keeps the highest
	for len(all) > 0 {
		day := postgres.Day(all[0].ID)
		n := 1
		for n < len(all) && postgres.Day(all[n].ID).Equal(day) {
			n++
		}
		if err := finishDay(ctx, tx, day, all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

func finishDay(ctx context.Context, tx pgx.Tx, day time.Time, all []finishing) error {
	n := len(all)
	tenants, ids := make([]uuid.UUID, n), make([]uuid.UUID, n)
	envs, rounds, states := make([]string, n), make([]int32, n), make([]int16, n)
	for i, f := range all {
		tenants[i], ids[i], envs[i] = f.tenant, f.ID, f.env
		rounds[i], states[i] = int32(f.Standing.Round), int16(f.Standing.State)
	}
	_, err := tx.Exec(ctx, `SELECT ingest_finish($1, $2, $3, $4, $5, $6)`, day, tenants, envs, ids, rounds, states)
	return err
}
