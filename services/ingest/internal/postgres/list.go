package postgres

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// Bounds of one page: what it reads ends there, be the page short or empty.
const (
	scanParcels = 2000  // whose standings it looks at
	scanStep    = 100   // of them in one statement
	openEntries = 20000 // messages in the parcels it opens for header, template and reference: some 3 MB
)

// List answers a page; see message.Page.
func (s *Store) List(ctx context.Context, q message.Query) (page message.Page, err error) {
	err = s.db.InTenant(ctx, q.Tenant, func(tx pgx.Tx) error {
		scan := scanner{tx: tx, query: &q}
		if err := scan.run(ctx); err != nil {
			return err
		}
		page = scan.page
		return addressAll(ctx, tx, page.Messages)
	})
	return page, err
}

// addressAll adds what stands in the messages' parcels.
func addressAll(ctx context.Context, tx pgx.Tx, messages []message.Summary) error {
	if len(messages) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, len(messages))
	for i := range messages {
		ids[i] = message.ParcelOf(messages[i].ID)
	}
	stored, err := payloads(ctx, tx, slices.Compact(ids)...) // those of one parcel stand together
	if err != nil {
		return err
	}
	for i := range messages {
		m, err := stored.message(messages[i].ID)
		if err != nil {
			return err
		}
		address(&messages[i], m)
	}
	return nil
}

// scanner fills a page from the newest message down.
type scanner struct {
	tx    pgx.Tx
	query *message.Query
	page  message.Page // Next is where the scan stands
	full  bool
	open  uuid.UUID // parcel of the last message taken
	opens int       // messages in the parcels of the page
}

// standingRow is an accepted parcel with its standings; nil when no message of it is wanted.
type standingRow struct {
	id        uuid.UUID
	lane      string
	accept    time.Time
	standings message.Standings
}

func (s *scanner) run(ctx context.Context) error {
	s.page.Next = message.FirstAt(s.query.End)
	if b := s.query.Before; b != uuid.Nil && bytes.Compare(b[:], s.page.Next[:]) < 0 {
		s.page.Next = b
	}
	step := s.byParcel
	if s.query.Reference != "" {
		step = s.byReference
	}
	for scanned := 0; scanned < scanParcels && !s.full; scanned += scanStep {
		next, err := step(ctx)
		if err != nil {
			return err
		}
		if !s.full {
			s.page.Next = next
		}
		if next == uuid.Nil {
			return nil
		}
	}
	return nil
}

// window are the first six arguments of a step: whose messages, from which id, below which id, and their days.
func (s *scanner) window() []any {
	from := message.FirstAt(s.query.Start)
	return []any{planEachTime, s.query.Tenant, s.query.Env, from, s.page.Next, postgres.Day(from), postgres.Day(s.page.Next)}
}

// byParcel looks at the next parcels and answers where to go on; uuid.Nil at the end.
func (s *scanner) byParcel(ctx context.Context) (next uuid.UUID, err error) {
	rows, err := s.tx.Query(ctx, `SELECT parcel_id, lane, accept_time, CASE WHEN states & $7 <> 0 THEN standings END
		FROM accepted_parcels WHERE tenant_id = $1 AND env = $2 AND parcel_id >= $3 AND parcel_id < $4 AND day >= $5 AND day <= $6
		ORDER BY parcel_id DESC LIMIT $8`, append(s.window(), int64(message.SetOf(s.query.State)), scanStep)...)
	if err != nil {
		return next, err
	}
	found, err := pgx.CollectRows(rows, scanStanding)
	for i := range found {
		p := &found[i]
		for at := s.below(p); at > 0 && !s.full; at-- {
			s.take(p, message.IDAt(p.id, at-1))
		}
	}
	if len(found) == scanStep {
		next = found[scanStep-1].id
	}
	return next, err
}

// below is how many of p's messages are still to be looked at, from the first.
func (s *scanner) below(p *standingRow) int {
	if message.ParcelOf(s.page.Next) == p.id {
		return min(message.IndexOf(s.page.Next), p.standings.Len())
	}
	return p.standings.Len()
}

// byReference looks at the next messages that have the reference.
func (s *scanner) byReference(ctx context.Context) (next uuid.UUID, err error) {
	rows, err := s.tx.Query(ctx, `SELECT message_id FROM message_references WHERE tenant_id = $1 AND env = $2
		AND message_id >= $3 AND message_id < $4 AND day >= $5 AND day <= $6 AND client_reference = $7
		ORDER BY message_id DESC LIMIT $8`, append(s.window(), s.query.Reference, scanStep)...)
	if err != nil {
		return next, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil || len(ids) == 0 {
		return next, err
	}
	parcels, err := s.parcelsOf(ctx, ids)
	for _, id := range ids {
		if p, ok := parcels[message.ParcelOf(id)]; ok && !s.full {
			s.take(&p, id)
		}
	}
	if len(ids) == scanStep {
		next = ids[scanStep-1]
	}
	return next, err
}

func (s *scanner) parcelsOf(ctx context.Context, messages []uuid.UUID) (map[uuid.UUID]standingRow, error) {
	ids, days := make([]uuid.UUID, len(messages)), make([]time.Time, len(messages))
	for i, id := range messages {
		ids[i], days[i] = message.ParcelOf(id), postgres.Day(id)
	}
	rows, err := s.tx.Query(ctx, `SELECT parcel_id, lane, accept_time, standings FROM accepted_parcels
		WHERE tenant_id = $1 AND env = $2 AND parcel_id = ANY ($3::uuid[]) AND day = ANY ($4::date[])`,
		planEachTime, s.query.Tenant, s.query.Env, slices.Compact(ids), slices.Compact(days))
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, scanStanding)
	byID := make(map[uuid.UUID]standingRow, len(found))
	for _, p := range found {
		byID[p.id] = p
	}
	return byID, err
}

func scanStanding(row pgx.CollectableRow) (p standingRow, err error) {
	var standings []byte
	err = row.Scan(&p.id, &p.lane, &p.accept, &standings)
	p.accept, p.standings = p.accept.UTC(), standings
	return p, err
}

// take puts the message with id, of parcel p, on the page if it is wanted. The first one that has no room ends the page.
func (s *scanner) take(p *standingRow, id uuid.UUID) {
	standing := p.standings.At(message.IndexOf(id))
	if s.query.State != 0 && standing.State != s.query.State {
		return
	}
	if s.open != p.id {
		s.open = p.id
		s.opens += p.standings.Len()
	}
	if n := len(s.page.Messages); n == s.query.Limit || n > 0 && s.opens > openEntries {
		s.page.Next, s.full = s.page.Messages[n-1].ID, true
		return
	}
	s.page.Messages = append(s.page.Messages, message.Summary{ID: id, Lane: p.lane, Accept: p.accept, Standing: standing})
}
