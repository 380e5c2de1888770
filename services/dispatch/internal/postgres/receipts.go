package postgres

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// matchDays is how many days back a receipt's submission is looked for: operators end a message after three at most.
const matchDays = 4

// matched is a receipt with the segment it speaks of.
type matched struct {
	receipt delivery.Receipt
	sub     submission
}

// join finds the submissions of receipts, keeps both kinds of receipts and tells n what they mean. Receipts that were
// kept before change nothing.
func (s *Store) join(ctx context.Context, tx pgx.Tx, receipts []delivery.Receipt, own []submission, n *news) error {
	if len(receipts) == 0 {
		return nil
	}
	known, missing := s.recent.find(receipts, own)
	if err := s.submissions(ctx, tx, missing, known); err != nil {
		return err
	}
	found, lone := pair(receipts, known)
	fresh, err := keep(ctx, tx, found, lone)
	if err != nil {
		return err
	}
	var several []matched
	for i := range fresh {
		s.weigh(&fresh[i])
		if fresh[i].sub.segments > 1 {
			several = append(several, fresh[i])
			continue
		}
		n.receipt(&fresh[i], fresh[i].receipt.State.Outcome())
	}
	return aggregate(ctx, tx, several, n)
}

// weigh tells the breaker of a receipt that says the operator refused its message. Of submits before this process's time
// the profile is not known, and they are few.
func (s *Store) weigh(m *matched) {
	if s.breaker != nil && m.receipt.Reason != "" && m.sub.profile.Route != "" {
		s.breaker.Refused(m.sub.profile, m.receipt.Reason, s.now())
	}
}

// submissions adds to known the segments of receipts that stand in the table; of an id that was used twice, the latest.
func (s *Store) submissions(ctx context.Context, tx pgx.Tx, receipts []delivery.Receipt, known map[address]submission) error {
	ids := map[string][]string{}
	for i := range receipts {
		ids[receipts[i].Route] = append(ids[receipts[i].Route], receipts[i].OperatorID)
	}
	since := dayOf(s.now()).AddDate(0, 0, -matchDays)
	for _, route := range slices.Sorted(maps.Keys(ids)) {
		slices.Sort(ids[route])
		rows, err := tx.Query(ctx, `SELECT route, operator_id, env, tenant_id, message_id, round, segment, segments, lane,
				data_coding, submitted_at, day, matched_by
			FROM submissions WHERE route = $1 AND operator_id = ANY ($2) AND day >= $3`, route, slices.Compact(ids[route]), since)
		if err != nil {
			return err
		}
		var u submission
		var lane, coding int16
		_, err = pgx.ForEachRow(rows, []any{&u.route, &u.id, &u.env, &u.tenant, &u.message, &u.round, &u.segment, &u.segments,
			&lane, &coding, &u.submitted, &u.day, &u.matchedBy}, func() error {
			u.lane, u.coding = delivery.Lane(lane), byte(coding)
			if old, ok := known[u.address]; !ok || old.submitted.Before(u.submitted) {
				known[u.address] = u
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pair splits receipts into those with a submission and those without, each once and in the order of its key.
func pair(receipts []delivery.Receipt, subs map[address]submission) (found []matched, lone []delivery.Receipt) {
	for _, r := range receipts {
		if u, ok := subs[address{r.Route, r.OperatorID}]; ok && r.OperatorID != "" {
			found = append(found, matched{r, u})
		} else {
			lone = append(lone, r)
		}
	}
	order := func(a, b matched) int {
		return cmp.Or(a.sub.day.Compare(b.sub.day), bytes.Compare(a.sub.tenant[:], b.sub.tenant[:]),
			bytes.Compare(a.sub.message[:], b.sub.message[:]), a.sub.segment-b.sub.segment, cmp.Compare(a.receipt.State, b.receipt.State))
	}
	slices.SortStableFunc(found, order)
	found = slices.CompactFunc(found, func(a, b matched) bool { return order(a, b) == 0 })
	slices.SortFunc(lone, func(a, b delivery.Receipt) int {
		return cmp.Or(cmp.Compare(a.Route, b.Route), cmp.Compare(a.OperatorID, b.OperatorID), cmp.Compare(a.State, b.State), bytes.Compare(a.Hash[:], b.Hash[:]))
	})
	return found, lone
}

// keep writes both kinds down and answers the matched ones that are new.
func keep(ctx context.Context, tx pgx.Tx, found []matched, lone []delivery.Receipt) ([]matched, error) {
	var b pgx.Batch
	statements := queueReceipts(&b, found)
	queueParked(&b, lone)
	answers := tx.SendBatch(ctx, &b)
	fresh := map[receiptKey]bool{}
	for range statements {
		rows, err := answers.Query()
		if err != nil {
			return nil, errors.Join(err, answers.Close())
		}
		var key receiptKey
		_, err = pgx.ForEachRow(rows, []any{&key.message, &key.segment, &key.state}, func() error {
			fresh[key] = true
			return nil
		})
		if err != nil {
			return nil, errors.Join(err, answers.Close())
		}
	}
	kept := slices.DeleteFunc(found, func(m matched) bool { return !fresh[m.key()] })
	return kept, answers.Close()
}

type receiptKey struct {
	message        uuid.UUID
	segment, state int16
}

func (m *matched) key() receiptKey {
	return receiptKey{m.sub.message, int16(m.sub.segment), int16(m.receipt.State)}
}

// queueReceipts writes one statement a day, which is one in all but around midnight.
func queueReceipts(b *pgx.Batch, list []matched) (statements int) {
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].sub.day.Equal(list[0].sub.day) {
			n++
		}
		queueDayReceipts(b, list[:n])
		list = list[n:]
		statements++
	}
	return statements
}

func queueDayReceipts(b *pgx.Batch, list []matched) {
	n := len(list)
	tenants, messages, segments, states := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]int16, n), make([]int16, n)
	codes, done, received, hashes := make([]string, n), make([]time.Time, n), make([]time.Time, n), make([][]byte, n)
	for i := range list {
		r, u := &list[i].receipt, &list[i].sub
		tenants[i], messages[i], segments[i], states[i] = u.tenant, u.message, int16(u.segment), int16(r.State)
		codes[i], done[i], received[i], hashes[i] = r.Code, r.Done, r.Received, r.Hash[:]
	}
	b.Queue(`INSERT INTO receipts (day, tenant_id, message_id, segment, state, code, done_at, received_at, pdu_sha256)
		SELECT $1::date, u.* FROM unnest($2::uuid[], $3::uuid[], $4::smallint[], $5::smallint[], $6::text[], $7::timestamptz[],
			$8::timestamptz[], $9::bytea[]) u ON CONFLICT DO NOTHING RETURNING message_id, segment, state`,
		list[0].sub.day, tenants, messages, segments, states, codes, done, received, hashes)
}

func queueParked(b *pgx.Batch, list []delivery.Receipt) {
	n := len(list)
	if n == 0 {
		return
	}
	days, routes, ids := make([]time.Time, n), make([]string, n), make([]string, n)
	states, hashes, codes := make([]int16, n), make([][]byte, n), make([]string, n)
	reasons, done, received := make([]string, n), make([]time.Time, n), make([]time.Time, n)
	headers, recipients, settled := make([]string, n), make([][]byte, n), make([]time.Time, n)
	for i := range list {
		r := &list[i]
		headers[i], recipients[i], settled[i] = r.Header, r.Recipient[:], r.Settled
		days[i], routes[i], ids[i] = dayOf(r.Received), r.Route, r.OperatorID
		states[i], hashes[i], codes[i] = int16(r.State), r.Hash[:], r.Code
		reasons[i], done[i], received[i] = r.Reason, r.Done, r.Received
	}
	b.Queue(`INSERT INTO parked_receipts (day, route, operator_id, state, pdu_sha256, code, reason, done_at, received_at, header,
			recipient_index, settled_at)
		SELECT * FROM unnest($1::date[], $2::text[], $3::text[], $4::smallint[], $5::bytea[], $6::text[], $7::text[],
			$8::timestamptz[], $9::timestamptz[], $10::text[], $11::bytea[], $12::timestamptz[]) ON CONFLICT DO NOTHING`,
		days, routes, ids, states, hashes, codes, reasons, done, received, headers, recipients, settled)
}

// aggregate joins the receipts of messages of several segments: an event only where these change what is known. Two
// replicas may hold receipts of one message, so each message is locked until the commit: the later one sees all.
func aggregate(ctx context.Context, tx pgx.Tx, fresh []matched, n *news) error {
	if len(fresh) == 0 {
		return nil
	}
	byMessage := map[uuid.UUID][]matched{}
	locks := make([]int64, 0, len(fresh))
	for _, m := range fresh {
		if byMessage[m.sub.message] == nil {
			locks = append(locks, int64(binary.BigEndian.Uint64(m.sub.message[8:])))
		}
		byMessage[m.sub.message] = append(byMessage[m.sub.message], m)
	}
	slices.Sort(locks)
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) AS u (k)`, locks); err != nil {
		return err
	}
	all, err := heardOf(ctx, tx, fresh)
	if err != nil {
		return err
	}
	for message, list := range byMessage {
		heard, segments := all[message], list[0].sub.segments
		now := delivery.Aggregate(segments, heard)
		before := delivery.Aggregate(segments, without(heard, list))
		if now != before {
			n.receipt(deciding(list, now), now)
		}
	}
	return nil
}

// heardOf loads every receipt of the messages; a message's segments may have been submitted on two days.
func heardOf(ctx context.Context, tx pgx.Tx, fresh []matched) (map[uuid.UUID][]delivery.Heard, error) {
	days := map[time.Time]bool{}
	var messages, tenants []uuid.UUID
	for _, m := range fresh {
		for d := -1; d <= 1; d++ {
			days[m.sub.day.AddDate(0, 0, d)] = true
		}
		messages, tenants = append(messages, m.sub.message), append(tenants, m.sub.tenant)
	}
	span := make([]time.Time, 0, len(days))
	for d := range days {
		span = append(span, d)
	}
	rows, err := tx.Query(ctx, `SELECT message_id, segment, state FROM receipts
		WHERE day = ANY ($1) AND tenant_id = ANY ($2) AND message_id = ANY ($3)`, span, tenants, messages)
	if err != nil {
		return nil, err
	}
	all := map[uuid.UUID][]delivery.Heard{}
	var key receiptKey
	_, err = pgx.ForEachRow(rows, []any{&key.message, &key.segment, &key.state}, func() error {
		all[key.message] = append(all[key.message], delivery.Heard{Segment: int(key.segment), State: delivery.State(key.state)})
		return nil
	})
	return all, err
}

func without(heard []delivery.Heard, fresh []matched) []delivery.Heard {
	return slices.DeleteFunc(slices.Clone(heard), func(h delivery.Heard) bool {
		return slices.ContainsFunc(fresh, func(m matched) bool {
			return m.sub.segment == h.Segment && m.receipt.State == h.State
		})
	})
}

// deciding is the receipt that stands behind an outcome: the latest of its kind among those that are new.
func deciding(list []matched, outcome delivery.Kind) *matched {
	best := &list[0]
	for i := range list {
		m := &list[i]
		if m.receipt.State.Outcome() == outcome && (best.receipt.State.Outcome() != outcome || m.receipt.Done.After(best.receipt.Done)) {
			best = m
		}
	}
	return best
}

// Parked answers receipts whose message is not known that came before a time, the newest first.
func (s *Store) Parked(ctx context.Context, before time.Time, limit int) ([]delivery.Receipt, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+parkedColumns+` FROM parked_receipts
		WHERE received_at < $1 AND day BETWEEN $2 AND $3 ORDER BY received_at DESC, pdu_sha256 LIMIT $4`,
		before, dayOf(before).AddDate(0, 0, -parkedDays), dayOf(before), limit)
	if err != nil {
		return nil, postgres.Map(err)
	}
	list, err := pgx.CollectRows(rows, scanParked)
	return list, postgres.Map(err)
}

// parkedDays is how far back a page of parked receipts reaches.
const parkedDays = 30

// sweepAge is how long a parked receipt is swept for: the race it settles lasts one transaction.
const sweepAge = 10 * time.Minute

// Sweep implements delivery.Records.
func (s *Store) Sweep(ctx context.Context) (joined int, err error) {
	var found bool
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM parked_receipts WHERE received_at > $1)`, s.now().Add(-sweepAge)).Scan(&found)
	if err != nil {
		return 0, postgres.Map(err)
	}
	if !found {
		return s.sweepDoubts(ctx)
	}
	err = s.commit(ctx, func(tx pgx.Tx) (*news, error) {
		rows, err := tx.Query(ctx, `DELETE FROM parked_receipts p USING (
				SELECT k.route, k.operator_id, k.state, k.pdu_sha256, k.day FROM parked_receipts k
				WHERE k.received_at > $1 AND k.operator_id <> '' AND EXISTS (
					SELECT FROM submissions s WHERE s.route = k.route AND s.operator_id = k.operator_id AND s.day >= $2)
				LIMIT 1000 FOR UPDATE OF k SKIP LOCKED) d
			WHERE (p.route, p.operator_id, p.state, p.pdu_sha256, p.day) = (d.route, d.operator_id, d.state, d.pdu_sha256, d.day)
			RETURNING p.route, p.operator_id, p.state, p.pdu_sha256, p.code, p.reason, p.done_at, p.received_at, p.header,
				p.recipient_index, p.settled_at`, s.now().Add(-sweepAge), dayOf(s.now()).AddDate(0, 0, -matchDays))
		if err != nil {
			return nil, err
		}
		receipts, err := pgx.CollectRows(rows, scanParked)
		if err != nil {
			return nil, err
		}
		joined = len(receipts)
		n := &news{newID: s.newID}
		return n, s.join(ctx, tx, receipts, nil, n)
	})
	if err != nil {
		return joined, err
	}
	more, err := s.sweepDoubts(ctx)
	return joined + more, err
}
