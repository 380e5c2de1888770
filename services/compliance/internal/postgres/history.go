package postgres

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// Decisions answers every decision on a message of a tenant with what it was made from, the latest first; errs.NotFound
// when there is none for this tenant and environment.
func (s *Store) Decisions(ctx context.Context, tenant uuid.UUID, env string, message uuid.UUID) (found []screening.Recorded, err error) {
	err = s.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		found, err = decisions(ctx, tx, tenant, env, message)
		return err
	})
	if err == nil && len(found) == 0 {
		err = errs.E(errs.NotFound, "MESSAGE_NOT_FOUND", "No decision is recorded for this message id.", nil)
	}
	return found, err
}

// decisions reads every decision on a message, the latest first.
func decisions(ctx context.Context, tx pgx.Tx, tenant uuid.UUID, env string, message uuid.UUID) (found []screening.Recorded, err error) {
	accepted, index := screening.Accepted(message), screening.Index(message)
	rows, err := tx.Query(ctx, `SELECT decide_time, rule_pack, entries, cleared_id FROM decisions
		WHERE tenant_id = $1 AND day = $2 AND parcel_id = $3 AND env = $4 ORDER BY decision_id DESC`,
		tenant, postgres.Day(accepted), accepted, env)
	if err != nil {
		return nil, err
	}
	r := row{parcel: accepted, env: env}
	_, err = pgx.ForEachRow(rows, []any{&r.at, &r.pack, &r.entries, &r.cleared}, func() error {
		return r.each(func(at int, d *screening.Recorded) error {
			if at == index {
				d.Message, d.Digest = message, r.digest(tenant)
				found = append(found, *d)
			}
			return nil
		})
	})
	slices.SortStableFunc(found, func(a, b screening.Recorded) int { return int(b.Round) - int(a.Round) })
	return found, err
}

// historyPage is how many rows of decisions are read at once: some 25,000 messages at the most.
const historyPage = 50

// History gives the decisions on a tenant's messages accepted in [start, end) to visit, in the order of acceptance, until
// visit answers false. What visit is given is its own only until it returns. No transaction stays open meanwhile.
func (s *Store) History(ctx context.Context, tenant uuid.UUID, env string, start, end time.Time, visit func(*screening.Recorded) bool) error {
	after, decision := floor(start), uuid.Nil
	for more := true; more; {
		page, err := s.historyPage(ctx, tenant, env, after, decision, floor(end))
		if err != nil {
			return err
		}
		for i := range page {
			r := &page[i].row
			after, decision = r.parcel, page[i].id
			err := r.each(func(index int, d *screening.Recorded) error {
				d.Message = messageAt(r.parcel, index)
				if more = more && visit(d); !more {
					return nil
				}
				return ctx.Err()
			})
			if err != nil || !more {
				return err
			}
		}
		more = len(page) == historyPage
	}
	return nil
}

type historyRow struct {
	row
	id uuid.UUID
}

// historyPage reads rows after one, of days that the index names.
func (s *Store) historyPage(ctx context.Context, tenant uuid.UUID, env string, after, decision, end uuid.UUID) (page []historyRow, err error) {
	err = s.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT parcel_id, decision_id, decide_time, rule_pack, entries FROM decisions
			WHERE tenant_id = $1 AND day BETWEEN $2 AND $3 AND parcel_id < $6 AND (parcel_id, decision_id) > ($4, $5) AND env = $7
			ORDER BY day, parcel_id, decision_id LIMIT $8`,
			tenant, postgres.Day(after), postgres.Day(end), after, decision, end, env, historyPage)
		if err != nil {
			return err
		}
		page, err = pgx.CollectRows(rows, func(from pgx.CollectableRow) (historyRow, error) {
			r := historyRow{row: row{env: env}}
			err := from.Scan(&r.parcel, &r.id, &r.at, &r.pack, &r.entries)
			return r, err
		})
		return err
	})
	return page, err
}

// floor is the lowest UUIDv7 of a millisecond.
func floor(at time.Time) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:8], uint64(max(0, at.UnixMilli()))<<16|0x7000)
	id[8] = 0x80
	return id
}

// messageAt is the id of the message with an index in an accepted parcel.
func messageAt(parcel uuid.UUID, index int) uuid.UUID {
	parcel[14] |= byte(index >> 8)
	parcel[15] = byte(index)
	return parcel
}
