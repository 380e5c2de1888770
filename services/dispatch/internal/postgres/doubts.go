package postgres

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/inbound"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// byRecipient says that a receipt with an unknown id was joined to the only segment in doubt.
const byRecipient = "recipient"

// queueDoubts writes down the segments whose answers are missing.
func (s *Store) queueDoubts(b *pgx.Batch, results []delivery.Result) {
	now := s.now()
	for i := range results {
		r := &results[i]
		if r.Kind != delivery.Unknown {
			continue
		}
		m := r.Message
		since := r.Since
		if since.IsZero() {
			since = time.Unix(0, 0) // a crash took it: any receipt may be its own
		}
		recipient := s.recipient(m.Parcel.Env, "+"+m.To)
		for _, segment := range r.Doubtful {
			b.Queue(`INSERT INTO doubts (day, message_id, segment, segments, tenant_id, cleared_id, env, route, header, recipient_index, round, lane,
					data_coding, submitted_at, recorded_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING`,
				dayOf(now), m.ID, int16(segment), int16(m.Segments()), m.Parcel.Tenant, m.Parcel.ID, m.Parcel.Env, routeOf(m), inbound.Header(m.Header),
				recipient[:], int32(m.Round), int16(m.Parcel.Lane), int16(m.Text.DataCoding), since, now)
		}
	}
}

// settleDoubts ends the doubt about segments whose answers came late.
func settleDoubts(ctx context.Context, tx pgx.Tx, results []delivery.Result) error {
	var whole, messages []uuid.UUID
	var segments []int16
	for i := range results {
		r := &results[i]
		if r.Kind == delivery.Submitted || r.Kind == delivery.Failed {
			whole = append(whole, r.Message.ID)
		}
		for _, a := range r.Accepted {
			messages, segments = append(messages, r.Message.ID), append(segments, int16(a.Segment))
		}
	}
	var b pgx.Batch
	b.Queue(`DELETE FROM doubts WHERE message_id = ANY ($1)`, whole)
	b.Queue(`DELETE FROM doubts d USING unnest($1::uuid[], $2::smallint[]) AS u (message, segment)
		WHERE d.message_id = u.message AND d.segment = u.segment`, messages, segments)
	return tx.SendBatch(ctx, &b).Close()
}

const (
	// doubtWindow is how long a receipt, or a doubt, is looked at for the other once both may be there. Older ones were
	// looked at then; a process that was away for longer leaves them parked and listed.
	doubtWindow = time.Hour
	doubtLimit  = 500 // joined in a sweep
)

// candidate is a receipt with an unknown id and the segment in doubt it may belong to.
type candidate struct {
	receipt delivery.Receipt
	sub     submission
}

// sweepDoubts joins receipts whose ids nobody knows with the only segment in doubt of their route, header and recipient,
// once no answer can come any more that names the id. It takes the segment and the receipt out of their tables, so that
// no other receipt can join it.
func (s *Store) sweepDoubts(ctx context.Context) (joined int, err error) {
	var found bool
	if err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM doubts)`).Scan(&found); err != nil || !found {
		return 0, postgres.Map(err)
	}
	err = s.commit(ctx, func(tx pgx.Tx) (*news, error) {
		n := &news{newID: s.newID}
		list, err := s.candidates(ctx, tx)
		if err != nil || len(list) == 0 {
			return n, err
		}
		taken, err := take(ctx, tx, list)
		if err != nil {
			return nil, err
		}
		var b pgx.Batch
		subs, receipts := make([]submission, len(taken)), make([]delivery.Receipt, len(taken))
		for i, c := range taken {
			subs[i], receipts[i] = c.sub, c.receipt
			queueRouteSubmissions(&b, subs[i:i+1])
		}
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return nil, err
		}
		joined = len(taken)
		return n, s.join(ctx, tx, receipts, subs, n)
	})
	return joined, err
}

// candidates finds receipts that are settled, each with its only doubt; of several receipts for one doubt the first.
func (s *Store) candidates(ctx context.Context, tx pgx.Tx) ([]candidate, error) {
	now := s.now()
	rows, err := tx.Query(ctx, `SELECT DISTINCT ON (d.message_id, d.segment)
			p.route, p.operator_id, p.state, p.pdu_sha256, p.code, p.reason, p.done_at, p.received_at, p.header, p.recipient_index, p.settled_at,
			d.message_id, d.segment, d.segments, d.tenant_id, d.env, d.round, d.lane, d.data_coding, greatest(d.submitted_at, p.received_at)
		FROM parked_receipts p JOIN doubts d ON (d.recipient_index, d.header, d.route) = (p.recipient_index, p.header, p.route)
		WHERE p.settled_at <= $1 AND (p.settled_at > $2 OR d.recorded_at > $2) AND p.operator_id <> '' AND p.header <> '' AND p.day >= $3
			AND d.submitted_at <= p.received_at
			AND (SELECT count(*) FROM doubts o WHERE (o.recipient_index, o.header, o.route) = (d.recipient_index, d.header, d.route)
				AND o.submitted_at <= p.received_at) = 1
		ORDER BY d.message_id, d.segment, p.received_at LIMIT $4`, now, now.Add(-doubtWindow), dayOf(now).AddDate(0, 0, -matchDays), doubtLimit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c candidate, err error) {
		var state, lane, coding int16
		var hash, recipient []byte
		r, u := &c.receipt, &c.sub
		err = row.Scan(&r.Route, &r.OperatorID, &state, &hash, &r.Code, &r.Reason, &r.Done, &r.Received, &r.Header, &recipient, &r.Settled,
			&u.message, &u.segment, &u.segments, &u.tenant, &u.env, &u.round, &lane, &coding, &u.submitted)
		r.State, u.lane, u.coding = delivery.State(state), delivery.Lane(lane), byte(coding)
		copy(r.Hash[:], hash)
		copy(r.Recipient[:], recipient)
		u.address, u.day, u.matchedBy = address{r.Route, r.OperatorID}, dayOf(u.submitted), byRecipient
		return c, err
	})
}

// take takes doubts and receipts out, and answers the pairs of which nobody else had taken a part.
func take(ctx context.Context, tx pgx.Tx, list []candidate) (taken []candidate, err error) {
	slices.SortFunc(list, func(a, b candidate) int { return bytes.Compare(a.sub.message[:], b.sub.message[:]) })
	for _, c := range list {
		err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return takeOne(ctx, tx, &c) })
		switch {
		case err == nil:
			taken = append(taken, c)
		case !errors.Is(err, errTaken):
			return nil, err
		}
	}
	return taken, nil
}

// errTaken rolls one pair back: a late answer or another replica was first.
var errTaken = errors.New("the doubt or the receipt is gone")

func takeOne(ctx context.Context, tx pgx.Tx, c *candidate) error {
	doubt, err := tx.Exec(ctx, `DELETE FROM doubts WHERE message_id = $1 AND segment = $2`, c.sub.message, c.sub.segment)
	if err != nil {
		return err
	}
	receipt, err := tx.Exec(ctx, `DELETE FROM parked_receipts WHERE operator_id = $1 AND route = $2 AND state = $3 AND pdu_sha256 = $4`,
		c.receipt.OperatorID, c.receipt.Route, int16(c.receipt.State), c.receipt.Hash[:])
	if err == nil && (doubt.RowsAffected() == 0 || receipt.RowsAffected() == 0) {
		return errTaken
	}
	return err
}
