package postgres

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/webhook"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

const deliveryColumns = `endpoint_id, event_id, event_type, message_id, state, attempts, http_status, error, create_time, attempt_time, due_at, body`

func scanDelivery(row pgx.CollectableRow) (d webhook.Delivery, err error) {
	var at *time.Time
	err = row.Scan(&d.Endpoint, &d.ID, &d.Type, &d.Message, &d.State, &d.Attempts, &d.Status, &d.Error, &d.Created, &at, &d.Due, &d.Body)
	if at != nil {
		d.Tried = *at
	}
	return d, err
}

// Deliveries answers a page of a tenant's log, newest event first.
func (w *Webhooks) Deliveries(ctx context.Context, q webhook.Search) (page []webhook.Delivery, err error) {
	sql, args := searchSQL(q)
	err = w.db.InTenant(ctx, q.Tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		page, err = pgx.CollectRows(rows, scanDelivery)
		return err
	})
	return page, err
}

// searchSQL bounds event ids by time: they begin with it, so the index serves the page from its end.
func searchSQL(q webhook.Search) (string, []any) {
	args := []any{q.Tenant, q.Env, q.Limit}
	where := ""
	and := func(condition string, value any) {
		args = append(args, value)
		where += " AND " + condition + " $" + strconv.Itoa(len(args))
	}
	if q.Endpoint != uuid.Nil {
		and("endpoint_id =", q.Endpoint)
	}
	if q.Message != uuid.Nil {
		and("message_id =", q.Message)
	}
	if q.Type != "" {
		and("event_type =", q.Type)
	}
	if q.State != nil {
		and("state =", *q.State)
	}
	if !q.Start.IsZero() {
		and("event_id >=", eventFloor(q.Start))
		and("day >=", dayOf(q.Start))
	}
	if !q.End.IsZero() {
		and("event_id <", eventFloor(q.End))
		and("day <=", dayOf(q.End))
	}
	if q.BeforeEvent != uuid.Nil {
		args = append(args, q.BeforeEvent, q.BeforeEndpoint)
		n := len(args)
		where += " AND (event_id, endpoint_id) < ($" + strconv.Itoa(n-1) + ", $" + strconv.Itoa(n) + ")"
	}
	return `SELECT ` + deliveryColumns + ` FROM webhook_deliveries WHERE tenant_id = $1 AND env = $2` + where +
		` ORDER BY event_id DESC, endpoint_id DESC LIMIT $3`, args
}

// eventFloor is the lowest event id of a time; see webhook.Event.
func eventFloor(t time.Time) (id uuid.UUID) {
	ms := max(0, t.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

var errNoDelivery = errs.E(errs.NotFound, "WEBHOOK_DELIVERY_NOT_FOUND", "There is no such delivery in this environment; they are kept for 30 days.", nil)

// Delivery answers one.
func (w *Webhooks) Delivery(ctx context.Context, at webhook.Place, event uuid.UUID) (d webhook.Delivery, err error) {
	err = w.db.InTenant(ctx, at.Tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+deliveryColumns+` FROM webhook_deliveries
			WHERE endpoint_id = $1 AND event_id = $2 AND day = $3 AND tenant_id = $4 AND env = $5`,
			at.Endpoint, event, postgres.Day(event), at.Tenant, at.Env)
		if err != nil {
			return err
		}
		d, err = pgx.CollectExactlyOneRow(rows, scanDelivery)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) || errs.KindOf(err) == errs.NotFound {
		return d, errNoDelivery
	}
	return d, err
}

// Again makes deliveries of one endpoint due: that of event, or those given by a span. It answers how many.
func (w *Webhooks) Again(ctx context.Context, at webhook.Place, r webhook.Replay) (n int, err error) {
	err = postgres.InTx(ctx, w.db.Worker, func(tx pgx.Tx) error {
		if _, err := endpoint(ctx, tx, at, " FOR KEY SHARE"); err != nil {
			return err
		}
		const reset = `UPDATE webhook_deliveries d SET state = 0, due_at = $4, replayed = d.attempts, create_time = $4 `
		now := w.now()
		if r.Event != uuid.Nil {
			tag, err := tx.Exec(ctx, reset+`WHERE endpoint_id = $1 AND tenant_id = $2 AND env = $3 AND event_id = $5 AND day = $6`,
				at.Endpoint, at.Tenant, at.Env, now, r.Event, postgres.Day(r.Event))
			if n = int(tag.RowsAffected()); err == nil && n == 0 {
				err = errNoDelivery
			}
			return err
		}
		tag, err := tx.Exec(ctx, reset+`FROM (SELECT day, event_id FROM webhook_deliveries
				WHERE endpoint_id = $1 AND tenant_id = $2 AND env = $3 AND state = $5 AND event_id >= $6 AND event_id < $7
					AND day BETWEEN $8 AND $9 ORDER BY event_id LIMIT $10 FOR UPDATE) s
			WHERE d.endpoint_id = $1 AND d.event_id = s.event_id AND d.day = s.day`,
			at.Endpoint, at.Tenant, at.Env, now, r.State, eventFloor(r.Start), eventFloor(r.End), dayOf(r.Start), dayOf(r.End), r.Limit)
		n = int(tag.RowsAffected())
		return err
	})
	return n, err
}

// Prune drops what is older than keep.
func (w *Webhooks) Prune(ctx context.Context, keep time.Duration) error {
	last := dayOf(w.now().Add(-keep))
	for back := range 8 { // days of a pruner that was away
		var dropped bool
		err := w.db.Worker.QueryRow(ctx, `SELECT onlinesms_drop_partition('webhook_deliveries', $1::date)`, last.AddDate(0, 0, -1-back)).Scan(&dropped)
		if err != nil {
			return postgres.Map(err)
		}
	}
	return nil
}
