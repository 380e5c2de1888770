package postgres

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/inbound"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// InboundReader reads what handsets sent to a tenant, and keeps its keywords. Reads see the rows of their tenant only.
type InboundReader struct {
	db *postgres.DB
}

// NewInboundReader makes a reader.
func NewInboundReader(db *postgres.DB) *InboundReader { return &InboundReader{db} }

const inboundColumns = `inbound_id, tenant_id, env, route, address, recipient_index, received_at, parts, incomplete, keyword, action,
	pdu_sha256, sealed`

func scanInbound(row pgx.CollectableRow) (m inbound.Message, err error) {
	var sender, hash []byte
	err = row.Scan(&m.ID, &m.Tenant, &m.Env, &m.Route, &m.To, &sender, &m.Received, &m.Parts, &m.Incomplete, &m.Keyword, &m.Action,
		&hash, &m.Sealed)
	copy(m.Sender[:], sender)
	copy(m.Hash[:], hash)
	return m, err
}

// Get answers one message; errs.NotFound (INBOUND_NOT_FOUND) when it is not there or somebody else's.
func (r *InboundReader) Get(ctx context.Context, tenant uuid.UUID, env string, id uuid.UUID) (m inbound.Message, err error) {
	err = r.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+inboundColumns+` FROM inbound
			WHERE tenant_id = $1 AND env = $2 AND inbound_id = $3 AND day = $4`, tenant, env, id, postgres.Day(id))
		if err != nil {
			return err
		}
		m, err = pgx.CollectExactlyOneRow(rows, scanInbound)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return m, errs.E(errs.NotFound, "INBOUND_NOT_FOUND", "There is no inbound message with this id in this environment.", err)
	}
	return m, err
}

// List answers a page, the newest first.
func (r *InboundReader) List(ctx context.Context, q inbound.Query) (list []inbound.Message, err error) {
	var sender []byte
	if q.Sender != nil {
		sender = q.Sender[:]
	}
	before := q.Before
	if before == uuid.Nil {
		before = uuid.Max
	}
	err = r.db.InTenant(ctx, q.Tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+inboundColumns+` FROM inbound
			WHERE tenant_id = $1 AND env = $2 AND day BETWEEN $3 AND $4 AND inbound_id < $5 AND received_at >= $6 AND received_at < $7
				AND ($8::bytea IS NULL OR recipient_index = $8) AND ($9 = '' OR address = $9) AND ($10 = '' OR action = $10)
			ORDER BY inbound_id DESC LIMIT $11`,
			q.Tenant, q.Env, dayOf(q.Start), dayOf(q.End.Add(24*time.Hour)), before, q.Start, q.End, sender, q.To, string(q.Action), q.Limit)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, scanInbound)
		return err
	})
	return list, err
}

// Keywords implements inbound.Store.
func (s Inbound) Keywords(ctx context.Context, tenant inbound.Owner, env string) (map[string]inbound.Action, error) {
	rows, err := s.pool.Query(ctx, selectKeywords, tenant, env)
	if err != nil {
		return nil, postgres.Map(err)
	}
	words, err := readKeywords(rows)
	return words, postgres.Map(err)
}

const selectKeywords = `SELECT keyword, action FROM inbound_keywords WHERE tenant_id = $1 AND env = $2`

func readKeywords(rows pgx.Rows) (map[string]inbound.Action, error) {
	words := map[string]inbound.Action{}
	var word string
	var action inbound.Action
	_, err := pgx.ForEachRow(rows, []any{&word, &action}, func() error {
		words[word] = action
		return nil
	})
	return words, err
}

// Keywords answers a tenant's own words, in order.
func (r *InboundReader) Keywords(ctx context.Context, tenant uuid.UUID, env string) (list []inbound.Keyword, err error) {
	err = r.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, selectKeywords, tenant, env)
		if err != nil {
			return err
		}
		words, err := readKeywords(rows)
		list = list[:0]
		for _, word := range slices.Sorted(maps.Keys(words)) {
			list = append(list, inbound.Keyword{Word: word, Action: words[word]})
		}
		return err
	})
	return list, err
}

// SetKeywords replaces a tenant's own words.
func (r *InboundReader) SetKeywords(ctx context.Context, tenant uuid.UUID, env string, list []inbound.Keyword) error {
	words, actions := make([]string, len(list)), make([]string, len(list))
	for i, k := range list {
		words[i], actions[i] = k.Word, string(k.Action)
	}
	return postgres.InTx(ctx, r.db.Worker, func(tx pgx.Tx) error {
		// Two calls at once must not leave a mixture.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('inbound_keywords'), hashtext($1))`, tenant.String()+env); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM inbound_keywords WHERE tenant_id = $1 AND env = $2`, tenant, env); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO inbound_keywords (tenant_id, env, keyword, action)
			SELECT $1, $2, u.* FROM unnest($3::text[], $4::text[]) u`, tenant, env, words, actions)
		return err
	})
}
