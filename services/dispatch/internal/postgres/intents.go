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
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// Intend implements delivery.Intents. Fence, leases, withdrawals and intents go in one round trip; only when a lease
// turns out lost or a message withdrawn is it done again without them.
func (s *Store) Intend(ctx context.Context, replica uuid.UUID, intents []delivery.Intent) ([]delivery.Answer, error) {
	answers := make([]delivery.Answer, len(intents))
	for i := range answers {
		answers[i].Allowed = true
	}
	intents = slices.Clone(intents)
	for {
		err := s.inTx(ctx, func(tx pgx.Tx) error { return intend(ctx, tx, replica, intents, answers) })
		if !errors.Is(err, errIntendAgain) {
			return answers, err
		}
	}
}

// errIntendAgain rolls back; answers and intents have been corrected.
var errIntendAgain = errors.New("a lease is not held any more, or a message was withdrawn")

func intend(ctx context.Context, tx pgx.Tx, replica uuid.UUID, intents []delivery.Intent, answers []delivery.Answer) error {
	rows := intentRows(intents, answers)
	var b pgx.Batch
	b.Queue(lockReplica, replica)
	b.Queue(`SELECT route, bind_no, epoch FROM bind_leases WHERE holder = $1 ORDER BY route, bind_no FOR SHARE`, replica)
	b.Queue(`SELECT pg_advisory_xact_lock_shared($1)`, int64(cancelLock))
	b.Queue(`SELECT message_id FROM cancellations WHERE parcel_id = ANY ($1)`, rows.parcels)
	b.Queue(`INSERT INTO intents (day, parcel_id, intent_id, tenant_id, route, bind_no, epoch, indexes)
		SELECT * FROM unnest($1::date[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::int[], $7::bigint[], $8::bytea[])
		ON CONFLICT DO NOTHING`,
		rows.days, rows.parcels, rows.ids, rows.tenants, rows.routes, rows.binds, rows.epochs, rows.indexes)
	results := tx.SendBatch(ctx, &b)
	held, err := readFence(results)
	var withdrawn []uuid.UUID
	if err == nil {
		withdrawn, err = readWithdrawn(results)
	}
	if err == nil {
		_, err = results.Exec()
	}
	if err := errors.Join(err, results.Close()); err != nil {
		return err
	}
	again := false
	for i := range intents {
		if answers[i].Allowed && !slices.Contains(held, intents[i].Bind) {
			answers[i].Allowed, again = false, true
		}
		again = leaveOut(&intents[i], &answers[i], withdrawn) || again
	}
	if again {
		return errIntendAgain
	}
	return nil
}

// readWithdrawn reads the answers that follow the fence: which messages of the parcels were withdrawn.
func readWithdrawn(results pgx.BatchResults) ([]uuid.UUID, error) {
	if _, err := results.Exec(); err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}

// leaveOut takes withdrawn messages out of an intent and into its answer; false when it names none.
func leaveOut(intent *delivery.Intent, answer *delivery.Answer, withdrawn []uuid.UUID) bool {
	if len(withdrawn) == 0 {
		return false
	}
	kept := make([]*delivery.Message, 0, len(intent.Messages))
	for _, m := range intent.Messages {
		if slices.Contains(withdrawn, m.ID) {
			answer.Cancelled = append(answer.Cancelled, m)
		} else {
			kept = append(kept, m)
		}
	}
	found := len(kept) < len(intent.Messages)
	intent.Messages = kept
	return found
}

// readFence reads the first two answers of intend's batch: delivery.ErrFenced, or the binds held.
func readFence(results pgx.BatchResults) ([]delivery.Bind, error) {
	var alive bool
	if err := results.QueryRow().Scan(&alive); errors.Is(err, pgx.ErrNoRows) {
		return nil, delivery.ErrFenced
	} else if err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[delivery.Bind])
}

// intentColumns are intent rows by column: one row for each parcel an intent has messages of.
type intentColumns struct {
	days                  []time.Time
	parcels, ids, tenants []uuid.UUID
	routes                []string
	binds                 []int32
	epochs                []int64
	indexes               [][]byte
}

type intentRow struct {
	intent  *delivery.Intent
	parcel  *delivery.Parcel
	indexes []uint16
}

func intentRows(intents []delivery.Intent, answers []delivery.Answer) intentColumns {
	var rows []intentRow
	for i := range intents {
		if answers[i].Allowed {
			rows = appendParcels(rows, &intents[i])
		}
	}
	slices.SortFunc(rows, func(a, b intentRow) int {
		if c := bytes.Compare(a.parcel.ID[:], b.parcel.ID[:]); c != 0 {
			return c
		}
		return bytes.Compare(a.intent.ID[:], b.intent.ID[:])
	})
	n := len(rows)
	c := intentColumns{
		days: make([]time.Time, n), parcels: make([]uuid.UUID, n), ids: make([]uuid.UUID, n), tenants: make([]uuid.UUID, n),
		routes: make([]string, n), binds: make([]int32, n), epochs: make([]int64, n), indexes: make([][]byte, n),
	}
	for i, r := range rows {
		c.days[i], c.parcels[i], c.ids[i], c.tenants[i] = postgres.Day(r.parcel.ID), r.parcel.ID, r.intent.ID, r.parcel.Tenant
		c.routes[i], c.binds[i], c.epochs[i] = r.intent.Bind.Route, int32(r.intent.Bind.No), r.intent.Bind.Epoch
		c.indexes[i] = packIndexes(r.indexes)
	}
	return c
}

// appendParcels adds an intent's rows; messages of one parcel mostly stand together, but need not.
func appendParcels(rows []intentRow, intent *delivery.Intent) []intentRow {
	first := len(rows)
	for _, m := range intent.Messages {
		i := len(rows) - 1
		for i >= first && rows[i].parcel != m.Parcel {
			i--
		}
		if i < first {
			rows = append(rows, intentRow{intent: intent, parcel: m.Parcel})
			i = len(rows) - 1
		}
		rows[i].indexes = append(rows[i].indexes, m.Index)
	}
	return rows
}
