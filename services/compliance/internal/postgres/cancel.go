package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// Cancel withdraws a message unless it is cleared or refused. Its row in cancellations is committed first: a decision
// that begins after that finds it (withdraw), and one that began before is waited for (isDecided).
func (s *Store) Cancel(ctx context.Context, tenant uuid.UUID, env, lane string, message uuid.UUID, now time.Time) (w screening.Withdrawal, err error) {
	accepted := screening.Accepted(message)
	if _, err = s.db.Worker.Exec(ctx, `INSERT INTO cancellations (day, tenant_id, env, accepted_id, message_id)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`, now.UTC(), tenant, env, accepted, message); err != nil {
		return w, postgres.Map(err)
	}
	what := screening.Screened{Parcel: screening.Parcel{ID: accepted, Tenant: tenant, Correlation: accepted, Env: env, Lane: lane}, At: now}
	var out []eventbus.Parcel
	err = postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		out = nil
		done, err := isDecided(ctx, tx, accepted)
		switch {
		case err != nil:
			return err
		case !done:
			w.Cancelled = true
			out, err = s.tell(ctx, tx, &what, []screening.Message{{ID: message}})
		default:
			w, out, err = s.cancelDecided(ctx, tx, &what, message)
		}
		if err != nil || len(out) == 0 {
			return err
		}
		return outbox.Append(ctx, tx, out...)
	})
	if err == nil {
		s.publish(out...)
	}
	return w, err
}

// isDecided tells whether an accepted parcel has been decided, having waited for whoever is just deciding it: claiming it
// in a savepoint does both, and going back leaves it to its consumer.
func isDecided(ctx context.Context, tx pgx.Tx, accepted uuid.UUID) (bool, error) {
	probe, err := tx.Begin(ctx)
	if err != nil {
		return false, err
	}
	fresh, err := outbox.Claim(ctx, probe, Consumer, []uuid.UUID{accepted})
	if err != nil {
		return false, err
	}
	return !fresh[accepted], probe.Rollback(ctx)
}

// cancelDecided withdraws a message that was decided: out of its hold. One that was released while we waited for its
// hold is what the release made of it.
func (s *Store) cancelDecided(ctx context.Context, tx pgx.Tx, what *screening.Screened, message uuid.UUID) (w screening.Withdrawal, out []eventbus.Parcel, err error) {
	holds, err := lockHolds(ctx, tx, `accepted_id = $1 AND tenant_id = $2 AND env = $3 ORDER BY hold_id FOR UPDATE`,
		what.ID, what.Tenant, what.Env)
	if err != nil {
		return w, nil, err
	}
	for i := range holds {
		if m := holds[i].take(func(m *screening.Message) bool { return m.ID == message }); len(m) > 0 {
			what.Lane, what.Trace = holds[i].lane, holds[i].trace
			if err = holds[i].store(ctx, tx, what.At); err != nil {
				return w, nil, err
			}
			out, err = s.cancelled(what, m)
			return screening.Withdrawal{Cancelled: true}, out, err
		}
	}
	found, err := decisions(ctx, tx, what.Tenant, what.Env, message)
	if err != nil || len(found) == 0 || found[0].Outcome == policy.Held { // it was taken out before
		return screening.Withdrawal{Cancelled: true}, nil, err
	}
	return screening.Withdrawal{Latest: found[0].Decided}, nil, nil
}

const (
	scheduledLimit = 10_000 // messages after which CancelScheduled stops
	scheduledPage  = 50     // holds, of up to 500 messages each, in a transaction
)

// CancelScheduled withdraws messages that wait for a schedule after now, the earliest first, until about 10,000 are
// withdrawn. It answers how many, and whether there may be more. After an error some may be.
func (s *Store) CancelScheduled(ctx context.Context, q screening.Scheduled, now time.Time) (cancelled int, more bool, err error) {
	after := cursor{at: now}
	for cancelled < scheduledLimit {
		n, last, err := s.cancelPage(ctx, &q, now, after)
		if err != nil {
			return cancelled, true, err
		}
		cancelled += n
		if last == (cursor{}) {
			return cancelled, false, nil
		}
		after = last
	}
	return cancelled, true, nil
}

// cursor is a place in the order of schedules.
type cursor struct {
	at   time.Time
	hold uuid.UUID
}

// cancelPage withdraws what matches in the holds after a place, and answers the last one's place; the zero one when
// there are none.
func (s *Store) cancelPage(ctx context.Context, q *screening.Scheduled, now time.Time, after cursor) (cancelled int, last cursor, err error) {
	var out []eventbus.Parcel
	err = postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		cancelled, last, out = 0, cursor{}, nil
		holds, err := lockHolds(ctx, tx, `tenant_id = $1 AND env = $2 AND (schedule_time, hold_id) > ($3, $4) AND schedule_time >= $5
			AND ($6::timestamptz IS NULL OR schedule_time < $6) ORDER BY schedule_time, hold_id LIMIT $7 FOR UPDATE`,
			q.Tenant, q.Env, after.at, after.hold, q.Start, nilIfZero(q.End), scheduledPage)
		for i := 0; err == nil && i < len(holds); i++ {
			var news []eventbus.Parcel
			last = cursor{*holds[i].scheduled, holds[i].id}
			taken := holds[i].take(func(m *screening.Message) bool { return matches(q, m, now) })
			if len(taken) == 0 {
				continue
			}
			news, err = s.cancelHeld(ctx, tx, &holds[i], q, taken, now)
			cancelled, out = cancelled+len(taken), append(out, news...)
		}
		if err != nil || len(out) == 0 {
			return err
		}
		return outbox.Append(ctx, tx, out...)
	})
	if err == nil {
		s.publish(out...)
	}
	return cancelled, last, err
}

// cancelHeld stores a hold without what was taken out of it, and makes the news.
func (s *Store) cancelHeld(ctx context.Context, tx pgx.Tx, h *locked, q *screening.Scheduled, taken []screening.Message, now time.Time) ([]eventbus.Parcel, error) {
	if err := h.store(ctx, tx, now); err != nil {
		return nil, err
	}
	return s.cancelled(&screening.Screened{At: now, Parcel: screening.Parcel{ID: h.parcel, Tenant: q.Tenant,
		Correlation: h.correlation, Env: q.Env, Lane: h.lane, Trace: h.trace}}, taken)
}

func matches(q *screening.Scheduled, m *screening.Message, now time.Time) bool {
	at := time.UnixMicro(m.Schedule)
	return m.Schedule != 0 && at.After(now) && !at.Before(q.Start) && (q.End.IsZero() || at.Before(q.End)) &&
		(q.Header == "" || q.Header == m.Header) && (q.TemplateID == "" || q.TemplateID == m.TemplateID)
}

func nilIfZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// withdraw takes out of records the messages that were withdrawn before they were decided, and adds their news where
// they have not been told.
func (s *Store) withdraw(ctx context.Context, tx pgx.Tx, records []record) ([]record, error) {
	accepted := make([]uuid.UUID, len(records))
	for i, r := range records {
		accepted[i] = r.decision.parcel
	}
	rows, err := tx.Query(ctx, `SELECT message_id FROM cancellations WHERE accepted_id = ANY ($1)`, accepted)
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil || len(ids) == 0 {
		return records, err
	}
	kept := make([]record, 0, len(records))
	for _, r := range records {
		r, err := s.without(ctx, tx, r, ids)
		if err != nil {
			return nil, err
		}
		kept = append(kept, r)
	}
	return kept, nil
}

// without makes a record anew without withdrawn messages.
func (s *Store) without(ctx context.Context, tx pgx.Tx, r record, withdrawn []uuid.UUID) (record, error) {
	rest := *r.screened
	rest.Messages, rest.Verdicts = nil, nil
	var gone []screening.Message
	for i, m := range r.screened.Messages {
		if slices.Contains(withdrawn, m.ID) {
			m.Round = r.screened.Verdicts[i].Round
			gone = append(gone, m)
			continue
		}
		rest.Messages, rest.Verdicts = append(rest.Messages, m), append(rest.Verdicts, r.screened.Verdicts[i])
	}
	if len(gone) == 0 {
		return r, nil
	}
	again := record{source: r.source, screened: &rest}
	if len(rest.Messages) > 0 {
		var err error
		if again, err = s.encode(&rest); err != nil {
			return r, err
		}
	}
	news, err := s.tell(ctx, tx, &rest, gone)
	again.outgoing = append(again.outgoing, news...)
	return again, err
}

// tell makes the news of those withdrawn messages that have not been told yet, and marks them.
func (s *Store) tell(ctx context.Context, tx pgx.Tx, of *screening.Screened, gone []screening.Message) ([]eventbus.Parcel, error) {
	ids := make([]uuid.UUID, len(gone))
	for i := range gone {
		ids[i] = gone[i].ID
	}
	rows, err := tx.Query(ctx, `UPDATE cancellations SET told = true WHERE accepted_id = $1 AND message_id = ANY ($2) AND NOT told
		RETURNING message_id`, screening.Accepted(ids[0]), ids)
	if err != nil {
		return nil, err
	}
	untold, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, err
	}
	return s.cancelled(of, slices.DeleteFunc(gone, func(m screening.Message) bool { return !slices.Contains(untold, m.ID) }))
}

// cancelled encodes the news of withdrawn messages; nothing for none.
func (s *Store) cancelled(of *screening.Screened, gone []screening.Message) ([]eventbus.Parcel, error) {
	if len(gone) == 0 {
		return nil, nil
	}
	id := s.newID()
	wire := &compliancev1.CancelledParcel{ParcelId: id[:], TenantId: of.Tenant[:], CorrelationId: of.Correlation[:],
		CausationId: of.ID[:], CancelTimeUs: of.At.UnixMicro()}
	for i := range gone {
		wire.Messages = append(wire.Messages, &compliancev1.CancelledMessage{MessageId: gone[i].ID[:], Round: gone[i].Round})
	}
	p, err := s.parcel(of, id, eventCancelled, len(gone), wire)
	return []eventbus.Parcel{p}, err
}
