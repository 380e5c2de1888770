package postgres

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/complaint"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

const complaintColumns = `complaint_id, recipient, entity_id, header, reference, complain_time, state, create_time`

func scanComplaint(row pgx.CollectableRow) (c complaint.Complaint, err error) {
	var recipient []byte
	err = row.Scan(&c.ID, &recipient, &c.Entity, &c.Header, &c.Reference, &c.Time, &c.State, &c.Created)
	copy(c.Recipient[:], recipient)
	return c, err
}

// AddComplaints records complaints, each an opt-out of the entity's promotion as well; one whose reference is known for its
// entity says nothing new. It answers them as they
// stand, in order, and how many were new.
func (s *Store) AddComplaints(ctx context.Context, at consent.Place, author consent.Author, list []complaint.Complaint) (all []complaint.Complaint, added int, err error) {
	err = s.changeWishes(ctx, at, author, func(l *ledger) error {
		all, added, err = l.complain(ctx, list)
		return err
	})
	return all, added, err
}

func (l *ledger) complain(ctx context.Context, list []complaint.Complaint) (all []complaint.Complaint, added int, err error) {
	n := len(list)
	ids, recipients, times := make([]uuid.UUID, n), make([][]byte, n), make([]time.Time, n)
	entities, headers, references := make([]string, n), make([]string, n), make([]string, n)
	for i := range list {
		c := &list[i]
		ids[i], recipients[i], times[i] = l.s.newID(), c.Recipient[:], c.Time
		entities[i], headers[i], references[i] = c.Entity, c.Header, c.Reference
	}
	rows, err := l.Query(ctx, `INSERT INTO complaints (tenant_id, env, complaint_id, recipient, entity_id, header, reference, complain_time, state, create_time)
		SELECT $1, $2, u.*, 'RECORDED', $3 FROM unnest($4::uuid[], $5::bytea[], $6::text[], $7::text[], $8::text[], $9::timestamptz[]) u
		ON CONFLICT (tenant_id, env, entity_id, reference) DO NOTHING RETURNING `+complaintColumns,
		l.Tenant, l.Env, l.now, ids, recipients, entities, headers, references, times)
	if err != nil {
		return nil, 0, err
	}
	fresh, err := pgx.CollectRows(rows, scanComplaint)
	if err != nil {
		return nil, 0, err
	}
	if err := l.noteComplaints(ctx, fresh); err != nil {
		return nil, 0, err
	}
	for i := range fresh { // who complains wants no more of it
		o := consent.OptOut{Recipient: fresh[i].Recipient, Scope: consent.OfEntity, Object: fresh[i].Entity, Source: "complaint"}
		if _, _, err := l.optOut(ctx, o); err != nil {
			return nil, 0, err
		}
	}
	rows, err = l.Query(ctx, `SELECT `+complaintColumns+` FROM complaints JOIN unnest($3::text[], $4::text[]) WITH ORDINALITY q (entity_id, reference, n)
		USING (entity_id, reference) WHERE tenant_id = $1 AND env = $2 ORDER BY n`, l.Tenant, l.Env, entities, references)
	if err != nil {
		return nil, 0, err
	}
	all, err = pgx.CollectRows(rows, scanComplaint)
	return all, len(fresh), err
}

// noteComplaints will announce complaints with how their entities stand now.
func (l *ledger) noteComplaints(ctx context.Context, list []complaint.Complaint) error {
	counts := map[string]int{}
	for i := range list {
		c := &list[i]
		n, ok := counts[c.Entity]
		if !ok {
			var err error
			if n, err = complainants(ctx, l, l.Place, c.Entity, l.now); err != nil {
				return err
			}
			counts[c.Entity] = n
		}
		l.complaints = append(l.complaints, &compliancev1.ComplaintEntry{ComplaintId: slices.Clone(c.ID[:]), RecipientIndex: bytes.Clone(c.Recipient[:]),
			EntityId: c.Entity, Reference: c.Reference, State: string(c.State), Standing: complaint.Of(n).String(), Complainants: int32(n)})
	}
	return nil
}

// complainants counts who complained about an entity in the window.
func complainants(ctx context.Context, q postgres.Querier, at consent.Place, entity string, now time.Time) (n int, err error) {
	rows, err := q.Query(ctx, `SELECT count(DISTINCT recipient) FROM complaints WHERE tenant_id = $1 AND env = $2 AND entity_id = $3
		AND state <> 'REJECTED' AND complain_time > $4 AND complain_time <= $5`, at.Tenant, at.Env, entity, now.Add(-complaint.Window), now)
	if err != nil {
		return 0, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
}

// Complainants answers how many recipients complained about an entity in ten days.
func (s *Store) Complainants(ctx context.Context, at consent.Place, entity string) (n int, err error) {
	err = s.db.InTenant(ctx, at.Tenant, func(tx pgx.Tx) error {
		n, err = complainants(ctx, tx, at, entity, s.now())
		return err
	})
	return n, err
}

// Resolve says what became of a complaint; errs.NotFound when there is none of this place.
func (s *Store) Resolve(ctx context.Context, at consent.Place, author consent.Author, id uuid.UUID, state complaint.State) (c complaint.Complaint, err error) {
	err = s.changeWishes(ctx, at, author, func(l *ledger) error {
		rows, err := l.Query(ctx, `UPDATE complaints SET state = $4 WHERE tenant_id = $1 AND env = $2 AND complaint_id = $3 RETURNING `+complaintColumns,
			at.Tenant, at.Env, id, state)
		if err != nil {
			return err
		}
		if c, err = pgx.CollectExactlyOneRow(rows, scanComplaint); err != nil {
			return notThere(err, "COMPLAINT_NOT_FOUND", "There is no such complaint.")
		}
		return l.noteComplaints(ctx, []complaint.Complaint{c})
	})
	return c, err
}

// Complaints answers a page of complaints, the latest recorded first: those before an id (zero: from the start), about one
// entity or (empty) all.
func (s *Store) Complaints(ctx context.Context, at consent.Place, entity string, before uuid.UUID, limit int) (list []complaint.Complaint, err error) {
	err = s.db.InTenant(ctx, at.Tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+complaintColumns+` FROM complaints WHERE tenant_id = $1 AND env = $2 AND ($3 = '' OR entity_id = $3)
			AND ($4::uuid IS NULL OR complaint_id < $4) ORDER BY complaint_id DESC LIMIT $5`, at.Tenant, at.Env, entity, uuid.NullUUID{UUID: before, Valid: before != uuid.Nil}, limit)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, scanComplaint)
		return err
	})
	return list, err
}
