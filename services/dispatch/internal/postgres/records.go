package postgres

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// Record implements delivery.Records.
func (s *Store) Record(ctx context.Context, replica uuid.UUID, report delivery.Report) error {
	subs := submissionsOf(report.Results) // an id means an intent: they count whatever the fence says
	err := s.commit(ctx, func(tx pgx.Tx) (*news, error) {
		fresh, err := outbox.Claim(ctx, tx, recordMark, []uuid.UUID{report.ID})
		if err != nil || !fresh[report.ID] {
			return &news{}, err
		}
		results, err := unfenced(ctx, tx, replica, report.Results)
		if err != nil {
			return nil, err
		}
		if results, err = withdrawn(ctx, tx, results); err != nil {
			return nil, err
		}
		counted := report
		counted.Results = results
		receipts, err := s.writeResults(ctx, tx, replica, counted, subs)
		if err != nil {
			return nil, err
		}
		n := &news{newID: s.newID}
		for i := range results {
			n.result(&results[i])
		}
		return n, s.join(ctx, tx, receipts, subs, n)
	})
	if err == nil {
		s.recent.add(subs)
	}
	return err
}

// recordMark names the inbox entries of reports: what keeps a report from being recorded twice.
const recordMark = "dispatch.record"

// commit runs fn, appends the events it found to the outbox, commits and publishes them.
func (s *Store) commit(ctx context.Context, fn func(pgx.Tx) (*news, error)) error {
	var parcels []eventbus.Parcel
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		n, err := fn(tx)
		if err != nil {
			return err
		}
		if parcels, err = n.parcels(); err != nil {
			return err
		}
		return outbox.Append(ctx, tx, parcels...)
	})
	if err == nil && len(parcels) > 0 {
		s.publish(parcels...)
	}
	return err
}

// unfenced answers the results that count: all, unless the replica was taken over; then only those an intent backs.
func unfenced(ctx context.Context, tx pgx.Tx, replica uuid.UUID, results []delivery.Result) ([]delivery.Result, error) {
	backed := func(r delivery.Result) bool { return r.Intent }
	if !slices.ContainsFunc(results, func(r delivery.Result) bool { return !r.Intent }) {
		return results, nil
	}
	err := fence(ctx, tx, replica)
	if !errors.Is(err, delivery.ErrFenced) {
		return results, err
	}
	kept := make([]delivery.Result, 0, len(results))
	for _, r := range results {
		if backed(r) {
			kept = append(kept, r)
		}
	}
	return kept, nil
}

// writeResults writes submissions and results and deletes finished queue rows, in one round trip. It answers the
// receipts to join: those given, and those parked for submissions that are new.
func (s *Store) writeResults(ctx context.Context, tx pgx.Tx, replica uuid.UUID, report delivery.Report, subs []submission) ([]delivery.Receipt, error) {
	results, receipts := report.Results, report.Receipts
	if len(results)+len(report.Closed) == 0 {
		return receipts, nil
	}
	var b pgx.Batch
	queueSubmissions(&b, subs)
	queueMarks(&b, results, report.ID)
	queueDone(&b, replica, results, report.Closed)
	b.Queue(`SELECT EXISTS (SELECT FROM parked_receipts WHERE received_at > $1)`, s.now().Add(-parkedFor))
	answers := tx.SendBatch(ctx, &b)
	for range b.Len() - 1 {
		if _, err := answers.Exec(); err != nil {
			return nil, errors.Join(err, answers.Close())
		}
	}
	var parked bool
	err := answers.QueryRow().Scan(&parked)
	if err := errors.Join(err, answers.Close()); err != nil || !parked || len(subs) == 0 {
		return receipts, err
	}
	found, err := s.unpark(ctx, tx, subs)
	return append(slices.Clone(receipts), found...), err
}

// parkedFor is how old a receipt may be that came before its answer: answers are matched for ten minutes.
const parkedFor = 15 * time.Minute

// unpark takes out the parked receipts of new submissions.
func (s *Store) unpark(ctx context.Context, tx pgx.Tx, subs []submission) ([]delivery.Receipt, error) {
	ids := map[string][]string{}
	for i := range subs {
		ids[subs[i].route] = append(ids[subs[i].route], subs[i].id)
	}
	var found []delivery.Receipt
	for _, route := range slices.Sorted(maps.Keys(ids)) {
		rows, err := tx.Query(ctx, `DELETE FROM parked_receipts WHERE route = $1 AND operator_id = ANY ($2) AND day >= $3
			RETURNING `+parkedColumns, route, ids[route], dayOf(s.now().Add(-parkedFor)))
		if err != nil {
			return nil, err
		}
		list, err := pgx.CollectRows(rows, scanParked)
		if err != nil {
			return nil, err
		}
		found = append(found, list...)
	}
	return found, nil
}

const parkedColumns = `route, operator_id, state, pdu_sha256, code, reason, done_at, received_at`

func scanParked(row pgx.CollectableRow) (r delivery.Receipt, err error) {
	var state int16
	var hash []byte
	err = row.Scan(&r.Route, &r.OperatorID, &state, &hash, &r.Code, &r.Reason, &r.Done, &r.Received)
	r.State = delivery.State(state)
	copy(r.Hash[:], hash)
	return r, err
}

// submission is a row of submissions.
type submission struct {
	address
	env       string
	tenant    uuid.UUID
	message   uuid.UUID
	round     uint32
	segment   int
	segments  int
	lane      delivery.Lane
	coding    byte
	submitted time.Time
	day       time.Time
}

// address is what a receipt and a submission have in common.
type address struct{ route, id string }

// submissionsOf lists the new segments of results, by route.
func submissionsOf(results []delivery.Result) []submission {
	subs := make([]submission, 0, len(results))
	for i := range results {
		r := &results[i]
		for _, a := range r.Accepted {
			m := r.Message
			subs = append(subs, submission{
				address: address{m.Parcel.Route, a.OperatorID}, env: m.Parcel.Env, tenant: m.Parcel.Tenant, message: m.ID,
				round: m.Round, segment: a.Segment, segments: m.Segments(), lane: m.Parcel.Lane, coding: m.Text.DataCoding,
				submitted: r.At, day: dayOf(r.At),
			})
		}
	}
	slices.SortStableFunc(subs, func(a, b submission) int {
		return cmp.Or(cmp.Compare(a.route, b.route), a.submitted.Compare(b.submitted))
	})
	return subs
}

// queueSubmissions writes one statement a route: what its rows share is sent once.
func queueSubmissions(b *pgx.Batch, subs []submission) {
	for len(subs) > 0 {
		n := 1
		for n < len(subs) && subs[n].route == subs[0].route && subs[n].day.Equal(subs[0].day) {
			n++
		}
		queueRouteSubmissions(b, subs[:n])
		subs = subs[n:]
	}
}

func queueRouteSubmissions(b *pgx.Batch, subs []submission) {
	n := len(subs)
	ids, tenants, messages, rounds := make([]string, n), make([]uuid.UUID, n), make([]uuid.UUID, n), make([]int32, n)
	segment, segments, lanes, codings := make([]int16, n), make([]int16, n), make([]int16, n), make([]int16, n)
	for i := range subs {
		s := &subs[i]
		ids[i], tenants[i], messages[i], rounds[i] = s.id, s.tenant, s.message, int32(s.round)
		segment[i], segments[i], lanes[i], codings[i] = int16(s.segment), int16(s.segments), int16(s.lane), int16(s.coding)
	}
	first := &subs[0]
	b.Queue(`INSERT INTO submissions (day, route, env, submitted_at, operator_id, tenant_id, message_id, round, segment, segments, lane, data_coding)
		SELECT $1::date, $2::text, $3::text, $4::timestamptz, u.*
		FROM unnest($5::text[], $6::uuid[], $7::uuid[], $8::int[], $9::smallint[], $10::smallint[], $11::smallint[], $12::smallint[]) u`,
		first.day, first.route, first.env, first.submitted, ids, tenants, messages, rounds, segment, segments, lanes, codings)
}

// markKey groups what a transaction knows about a parcel.
type markKey struct {
	parcel *delivery.Parcel
	kind   delivery.Kind
}

// queueMarks writes results of parcels that stay in the queue; finished ones need none.
func queueMarks(b *pgx.Batch, results []delivery.Result, record uuid.UUID) {
	done := map[*delivery.Parcel]bool{}
	for i := range results {
		if results[i].Done {
			done[results[i].Message.Parcel] = true
		}
	}
	indexes := map[markKey][]uint16{}
	var order []markKey
	for i := range results {
		r := &results[i]
		key := markKey{r.Message.Parcel, r.Kind}
		if done[key.parcel] || r.Late {
			continue
		}
		if indexes[key] == nil {
			order = append(order, key)
		}
		indexes[key] = append(indexes[key], r.Message.Index)
	}
	if len(order) == 0 {
		return
	}
	slices.SortFunc(order, func(x, y markKey) int {
		return cmp.Or(bytes.Compare(x.parcel.ID[:], y.parcel.ID[:]), cmp.Compare(x.kind, y.kind))
	})
	n := len(order)
	days, parcels, tenants := make([]time.Time, n), make([]uuid.UUID, n), make([]uuid.UUID, n)
	kinds, packed := make([]int16, n), make([][]byte, n)
	for i, key := range order {
		days[i], parcels[i], tenants[i] = postgres.Day(key.parcel.ID), key.parcel.ID, key.parcel.Tenant
		kinds[i], packed[i] = int16(key.kind), packIndexes(indexes[key])
	}
	b.Queue(`INSERT INTO results (day, parcel_id, record_id, kind, tenant_id, indexes)
		SELECT day, parcel_id, $1, kind, tenant_id, indexes
		FROM unnest($2::date[], $3::uuid[], $4::smallint[], $5::uuid[], $6::bytea[]) AS u (day, parcel_id, kind, tenant_id, indexes)`,
		record, days, parcels, kinds, tenants, packed)
}

// queueDone deletes the queue rows of finished parcels, by day so that each statement looks into one partition's key.
// A row that another replica has taken over stays: it decides.
func queueDone(b *pgx.Batch, replica uuid.UUID, results []delivery.Result, closed []*delivery.Parcel) {
	byDay := map[time.Time][]uuid.UUID{}
	add := func(p *delivery.Parcel) { byDay[postgres.Day(p.ID)] = append(byDay[postgres.Day(p.ID)], p.ID) }
	for i := range results {
		if results[i].Done {
			add(results[i].Message.Parcel)
		}
	}
	for _, p := range closed {
		add(p)
	}
	for day, ids := range byDay {
		slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
		b.Queue(`DELETE FROM queue WHERE day = $1 AND parcel_id = ANY ($2) AND owner = $3`, day, ids, replica)
	}
}
