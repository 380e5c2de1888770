package postgres

import (
	"bytes"
	"cmp"
	"context"
	"errors"
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
	return s.commit(ctx, func(tx pgx.Tx) (*news, error) {
		results, err := unfenced(ctx, tx, replica, report.Results)
		if err != nil {
			return nil, err
		}
		n := &news{newID: s.newID}
		receipts, err := s.writeResults(ctx, tx, replica, results, report.Receipts)
		if err != nil {
			return nil, err
		}
		for i := range results {
			n.result(&results[i])
		}
		return n, s.join(ctx, tx, receipts, n)
	})
}

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
func (s *Store) writeResults(ctx context.Context, tx pgx.Tx, replica uuid.UUID, results []delivery.Result,
	receipts []delivery.Receipt) ([]delivery.Receipt, error) {
	if len(results) == 0 {
		return receipts, nil
	}
	var b pgx.Batch
	subs := submissionsOf(results)
	queueSubmissions(&b, subs)
	queueMarks(&b, results, s.newID())
	queueDone(&b, replica, results)
	ids := idsByRoute(subs)
	since := dayOf(s.now()).AddDate(0, 0, -parkedDays)
	for _, route := range slices.Sorted(keys(ids)) {
		b.Queue(unpark, route, ids[route], since)
	}
	answers := tx.SendBatch(ctx, &b)
	for range b.Len() - len(ids) {
		if _, err := answers.Exec(); err != nil {
			return nil, errors.Join(err, answers.Close())
		}
	}
	joined := slices.Clone(receipts)
	for range ids {
		rows, err := answers.Query()
		if err != nil {
			return nil, errors.Join(err, answers.Close())
		}
		found, err := pgx.CollectRows(rows, scanParked)
		if err != nil {
			return nil, errors.Join(err, answers.Close())
		}
		joined = append(joined, found...)
	}
	return joined, answers.Close()
}

// parkedDays is how many days back a parked receipt is looked for when its submission is recorded: it came before the
// answer, so today or just before midnight.
const parkedDays = 1

const parkedColumns = `route, operator_id, state, pdu_sha256, code, reason, done_at, received_at`

const unpark = `DELETE FROM parked_receipts WHERE route = $1 AND operator_id = ANY ($2) AND day >= $3 RETURNING ` + parkedColumns

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
	day       time.Time
	route, id string
	tenant    uuid.UUID
	message   uuid.UUID
	round     uint32
	segment   int
	segments  int
	env       string
	lane      delivery.Lane
	encoding  string
	submitted time.Time
}

// submissionsOf lists the new segments of results in the order of their key.
func submissionsOf(results []delivery.Result) []submission {
	subs := make([]submission, 0, len(results))
	for i := range results {
		r := &results[i]
		for _, a := range r.Accepted {
			m := r.Message
			subs = append(subs, submission{
				day: dayOf(r.At), route: m.Parcel.Route, id: a.OperatorID, tenant: m.Parcel.Tenant, message: m.ID,
				round: m.Round, segment: a.Segment, segments: m.Segments(), env: m.Parcel.Env, lane: m.Parcel.Lane,
				encoding: m.Text.Alphabet.String(), submitted: r.At,
			})
		}
	}
	slices.SortFunc(subs, func(a, b submission) int {
		return cmp.Or(cmp.Compare(a.route, b.route), cmp.Compare(a.id, b.id), bytes.Compare(a.message[:], b.message[:]), a.segment-b.segment)
	})
	return subs
}

func queueSubmissions(b *pgx.Batch, subs []submission) {
	n := len(subs)
	if n == 0 {
		return
	}
	days, routes, ids := make([]time.Time, n), make([]string, n), make([]string, n)
	tenants, messages, rounds := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]int32, n)
	segment, segments, lanes := make([]int16, n), make([]int16, n), make([]int16, n)
	envs, encodings, times := make([]string, n), make([]string, n), make([]time.Time, n)
	for i := range subs {
		s := &subs[i]
		days[i], routes[i], ids[i], tenants[i], messages[i] = s.day, s.route, s.id, s.tenant, s.message
		rounds[i], segment[i], segments[i], lanes[i] = int32(s.round), int16(s.segment), int16(s.segments), int16(s.lane)
		envs[i], encodings[i], times[i] = s.env, s.encoding, s.submitted
	}
	b.Queue(`INSERT INTO submissions (day, route, operator_id, tenant_id, message_id, round, segment, segments, env, lane, encoding, submitted_at)
		SELECT * FROM unnest($1::date[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::int[], $7::smallint[], $8::smallint[],
			$9::text[], $10::smallint[], $11::text[], $12::timestamptz[])`,
		days, routes, ids, tenants, messages, rounds, segment, segments, envs, lanes, encodings, times)
}

func idsByRoute(subs []submission) map[string][]string {
	ids := map[string][]string{}
	for i := range subs {
		ids[subs[i].route] = append(ids[subs[i].route], subs[i].id)
	}
	return ids
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
func queueDone(b *pgx.Batch, replica uuid.UUID, results []delivery.Result) {
	byDay := map[time.Time][]uuid.UUID{}
	for i := range results {
		if results[i].Done {
			p := results[i].Message.Parcel
			byDay[postgres.Day(p.ID)] = append(byDay[postgres.Day(p.ID)], p.ID)
		}
	}
	for day, ids := range byDay {
		slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
		b.Queue(`DELETE FROM queue WHERE day = $1 AND parcel_id = ANY ($2) AND owner = $3`, day, ids, replica)
	}
}

// keys yields a map's keys.
func keys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
