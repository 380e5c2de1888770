package postgres

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/inbound"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// Inbound is inbound.Store beside the Store whose outbox it shares.
type Inbound struct{ *Store }

var _ inbound.Store = Inbound{}

const (
	// sameWithin is how long a part with the same bytes is taken for the same: operators send again within minutes what was
	// not answered, and a recipient who writes STOP twice means it once.
	sameWithin = 2 * time.Minute
	// ownedFor is how long after its last submit a header still leads to its tenant.
	ownedFor = 90 * 24 * time.Hour
)

// Owners implements inbound.Store.
func (s Inbound) Owners(ctx context.Context, addresses []inbound.Address) (map[inbound.Address][]inbound.Owner, error) {
	envs, headers := make([]string, len(addresses)), make([]string, len(addresses))
	for i, a := range addresses {
		envs[i], headers[i] = a.Env, a.To
	}
	owners := map[inbound.Address][]inbound.Owner{}
	rows, err := s.pool.Query(ctx, `SELECT DISTINCT h.env, h.header, h.tenant_id, h.last_time
		FROM header_owners h JOIN unnest($1::text[], $2::text[]) AS u (env, header) USING (env, header)
		WHERE h.last_time > $3 ORDER BY h.last_time DESC, h.tenant_id`, envs, headers, s.now().Add(-ownedFor))
	if err != nil {
		return nil, postgres.Map(err)
	}
	var a inbound.Address
	var owner inbound.Owner
	var last time.Time
	_, err = pgx.ForEachRow(rows, []any{&a.Env, &a.To, &owner, &last}, func() error {
		owners[a] = append(owners[a], owner)
		return nil
	})
	return owners, postgres.Map(err)
}

// Receive implements inbound.Store. Parts of one group are kept by one transaction at a time: the one that keeps the last
// of them sees all.
func (s Inbound) Receive(ctx context.Context, parts []inbound.Stored, join inbound.Joiner) error {
	return s.commit(ctx, func(tx pgx.Tx) (*news, error) {
		n := &news{newID: s.newID}
		groups := map[[16]byte][]inbound.Stored{}
		for _, p := range parts {
			groups[p.Group] = append(groups[p.Group], p)
		}
		kept, err := s.lockGroups(ctx, tx, groups)
		if err != nil {
			return nil, err
		}
		for _, group := range slices.SortedFunc(keys(groups), compareGroups) {
			if err := s.receiveGroup(ctx, tx, kept[group], groups[group], join, n); err != nil {
				return nil, err
			}
		}
		return n, nil
	})
}

func keys(groups map[[16]byte][]inbound.Stored) func(func([16]byte) bool) {
	return func(yield func([16]byte) bool) {
		for g := range groups {
			if !yield(g) {
				return
			}
		}
	}
}

func compareGroups(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) }

// keptPart is a part that stands in the table.
type keptPart struct {
	inbound.Stored
	joined bool
}

// lockGroups locks groups until the commit and answers what stands of them.
func (s Inbound) lockGroups(ctx context.Context, tx pgx.Tx, groups map[[16]byte][]inbound.Stored) (map[[16]byte][]keptPart, error) {
	ids, locks := make([][]byte, 0, len(groups)), make([]int64, 0, len(groups))
	for g := range groups {
		ids, locks = append(ids, bytes.Clone(g[:])), append(locks, int64(binary.BigEndian.Uint64(g[:])))
	}
	slices.Sort(locks)
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) AS u (k)`, locks); err != nil {
		return nil, err
	}
	now := s.now()
	rows, err := tx.Query(ctx, `SELECT part_id, tenant_id, env, route, group_id, reference, total, seq, address, recipient_index,
			received_at, pdu_sha256, content_sha256, sealed
		FROM inbound_parts WHERE group_id = ANY ($1) AND day >= $2 AND (sealed IS NOT NULL OR received_at > $3)
		ORDER BY received_at, part_id`, ids, dayOf(now.Add(-24*time.Hour)), now.Add(-sameWithin))
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, scanPart)
	kept := map[[16]byte][]keptPart{}
	for _, p := range list {
		kept[p.Group] = append(kept[p.Group], p)
	}
	return kept, err
}

func scanPart(row pgx.CollectableRow) (p keptPart, err error) {
	var group, sender, hash, content []byte
	var reference int32
	var total, seq int16
	err = row.Scan(&p.ID, &p.Tenant, &p.Env, &p.Route, &group, &reference, &total, &seq, &p.To, &sender, &p.Received, &hash, &content, &p.Sealed)
	p.Concat.Ref, p.Concat.Total, p.Concat.Seq = uint16(reference), byte(total), byte(seq)
	copy(p.Group[:], group)
	copy(p.Sender[:], sender)
	copy(p.Hash[:], hash)
	copy(p.Content[:], content)
	p.joined = p.Sealed == nil
	return p, err
}

// receiveGroup keeps the new parts of one group and joins it when it is whole. A part that another one of the same place
// contradicts begins a new message: the sender has come round to the same reference.
func (s Inbound) receiveGroup(ctx context.Context, tx pgx.Tx, kept []keptPart, parts []inbound.Stored, join inbound.Joiner, n *news) error {
	var waiting []inbound.Stored
	seen := map[[32]byte]bool{}
	for _, k := range kept {
		if k.joined || s.now().Sub(k.Received) < sameWithin {
			seen[k.Content] = true
		}
		if !k.joined {
			waiting = append(waiting, k.Stored)
		}
	}
	for _, p := range parts {
		if seen[p.Content] {
			continue
		}
		seen[p.Content] = true
		if slices.ContainsFunc(waiting, func(w inbound.Stored) bool { return w.Concat.Seq == p.Concat.Seq && w.Content != p.Content }) {
			if err := s.finish(ctx, tx, waiting, true, join, n); err != nil {
				return err
			}
			waiting = nil
		}
		if slices.ContainsFunc(waiting, func(w inbound.Stored) bool { return w.Content == p.Content }) {
			continue
		}
		if err := insertPart(ctx, tx, &p); err != nil {
			return err
		}
		if waiting = append(waiting, p); len(waiting) < int(p.Concat.Total) {
			continue
		}
		if err := s.finish(ctx, tx, waiting, false, join, n); err != nil {
			return err
		}
		waiting = nil
	}
	return nil
}

func insertPart(ctx context.Context, tx pgx.Tx, p *inbound.Stored) error {
	_, err := tx.Exec(ctx, `INSERT INTO inbound_parts (day, part_id, tenant_id, env, route, group_id, reference, total, seq, address,
			recipient_index, received_at, pdu_sha256, content_sha256, sealed)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		dayOf(p.Received), p.ID, p.Tenant, p.Env, p.Route, p.Group[:], int32(p.Concat.Ref), int16(p.Concat.Total), int16(p.Concat.Seq),
		p.To, p.Sender[:], p.Received, p.Hash[:], p.Content[:], p.Sealed)
	return err
}

// finish makes one message of parts, keeps and tells it.
func (s Inbound) finish(ctx context.Context, tx pgx.Tx, parts []inbound.Stored, incomplete bool, join inbound.Joiner, n *news) error {
	slices.SortFunc(parts, func(a, b inbound.Stored) int { return cmp.Compare(a.Concat.Seq, b.Concat.Seq) })
	m, err := join(ctx, parts, incomplete)
	if err != nil {
		return err
	}
	ids := make([]uuid.UUID, len(parts))
	for i := range parts {
		ids[i] = parts[i].ID
	}
	var b pgx.Batch
	b.Queue(`UPDATE inbound_parts SET sealed = NULL WHERE part_id = ANY ($1) AND sealed IS NOT NULL`, ids)
	b.Queue(`INSERT INTO inbound (day, inbound_id, tenant_id, env, route, address, recipient_index, received_at, parts, incomplete,
			keyword, action, pdu_sha256, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		postgres.Day(m.ID), m.ID, m.Tenant, m.Env, m.Route, m.To, m.Sender[:], m.Received, int16(m.Parts), m.Incomplete,
		m.Keyword, string(m.Action), m.Hash[:], m.Sealed)
	if err := tx.SendBatch(ctx, &b).Close(); err != nil {
		return err
	}
	return n.inbound(&m)
}

// overdueLimit bounds the groups of one round.
const overdueLimit = 100

// Overdue implements inbound.Store.
func (s Inbound) Overdue(ctx context.Context, before time.Time, join inbound.Joiner) (joined int, err error) {
	rows, err := s.pool.Query(ctx, `SELECT group_id FROM inbound_parts WHERE sealed IS NOT NULL
		GROUP BY group_id HAVING max(received_at) < $1 LIMIT $2`, before, overdueLimit)
	if err != nil {
		return 0, postgres.Map(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return 0, postgres.Map(err)
	}
	for _, id := range ids {
		done, err := s.overdue(ctx, [16]byte(id), before, join)
		if err != nil {
			return joined, err
		}
		if done {
			joined++
		}
	}
	return joined, nil
}

// overdue joins what waits of one group, unless a part has come since.
func (s Inbound) overdue(ctx context.Context, group [16]byte, before time.Time, join inbound.Joiner) (done bool, err error) {
	err = s.commit(ctx, func(tx pgx.Tx) (*news, error) {
		n := &news{newID: s.newID}
		kept, err := s.lockGroups(ctx, tx, map[[16]byte][]inbound.Stored{group: nil})
		if err != nil {
			return nil, err
		}
		var waiting []inbound.Stored
		for _, k := range kept[group] {
			if !k.joined {
				waiting = append(waiting, k.Stored)
			}
			if !k.Received.Before(before) {
				return n, nil
			}
		}
		if done = len(waiting) > 0; !done {
			return n, nil
		}
		return n, s.finish(ctx, tx, waiting, true, join, n)
	})
	return done, err
}
