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

// Intend implements delivery.Intents. Fence, leases and intents go in one round trip; only when a lease turns out lost
// is it done again without that lease's intents.
func (s *Store) Intend(ctx context.Context, replica uuid.UUID, intents []delivery.Intent) ([]bool, error) {
	allowed := make([]bool, len(intents))
	for i := range allowed {
		allowed[i] = true
	}
	for {
		err := s.inTx(ctx, func(tx pgx.Tx) error { return intend(ctx, tx, replica, intents, allowed) })
		if !errors.Is(err, errLeaseLost) {
			return allowed, err
		}
	}
}

// errLeaseLost rolls back; allowed has been corrected.
var errLeaseLost = errors.New("a lease is not held any more")

func intend(ctx context.Context, tx pgx.Tx, replica uuid.UUID, intents []delivery.Intent, allowed []bool) error {
	rows := intentRows(intents, allowed)
	var b pgx.Batch
	b.Queue(lockReplica, replica)
	b.Queue(`SELECT route, bind_no, epoch FROM bind_leases WHERE holder = $1 ORDER BY route, bind_no FOR SHARE`, replica)
	b.Queue(`INSERT INTO intents (day, parcel_id, intent_id, tenant_id, route, bind_no, epoch, indexes)
		SELECT * FROM unnest($1::date[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::int[], $7::bigint[], $8::bytea[])
		ON CONFLICT DO NOTHING`,
		rows.days, rows.parcels, rows.ids, rows.tenants, rows.routes, rows.binds, rows.epochs, rows.indexes)
	results := tx.SendBatch(ctx, &b)
	held, err := readFence(results)
	if err == nil {
		_, err = results.Exec()
	}
	if err := errors.Join(err, results.Close()); err != nil {
		return err
	}
	lost := false
	for i := range intents {
		if allowed[i] && !slices.Contains(held, intents[i].Bind) {
			allowed[i], lost = false, true
		}
	}
	if lost {
		return errLeaseLost
	}
	return nil
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

func intentRows(intents []delivery.Intent, allowed []bool) intentColumns {
	var rows []intentRow
	for i := range intents {
		if allowed[i] {
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
