package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// scanRows bounds how many messages a list with a filter on state looks at; then the page ends, be it empty.
const scanRows = 2000

// planEachTime keeps no plan: one made while the day's partition was empty would read all of it later.
const planEachTime = pgx.QueryExecModeCacheDescribe

const summaryColumns = `message_id, lane, accept_time, header, template_id, client_reference,
	coalesce(final_round, 0), coalesce(final_state, 0)`

func scanSummary(row pgx.CollectableRow) (m message.Summary, err error) {
	var round int32
	err = row.Scan(&m.ID, &m.Lane, &m.Accept, &m.Header, &m.TemplateID, &m.ClientReference, &round, &m.Standing.State)
	m.Accept, m.Standing.Round = m.Accept.UTC(), uint32(round)
	return m, err
}

// Get answers one message of tenant in env; errs.NotFound (MESSAGE_NOT_FOUND) when it is not there, or somebody else's.
func (s *Store) Get(ctx context.Context, tenant uuid.UUID, env string, id uuid.UUID) (d message.Detail, err error) {
	err = s.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+summaryColumns+` FROM messages
			WHERE day = $1 AND tenant_id = $2 AND env = $3 AND message_id = $4`, planEachTime, postgres.Day(id), tenant, env, id)
		if err != nil {
			return err
		}
		if d.Summary, err = pgx.CollectExactlyOneRow(rows, scanSummary); err != nil {
			return err
		}
		if err := fromParcel(ctx, tx, &d); err != nil {
			return err
		}
		packs, err := packsOf(ctx, tx, tenant, []uuid.UUID{message.ParcelOf(id)})
		if err != nil {
			return err
		}
		if d.Rendered, err = rendered(ctx, tx, tenant, id); err != nil {
			return err
		}
		return eachEvent(packs, func(_ uuid.UUID, e message.Event) {
			if e.Index == message.IndexOf(id) {
				d.Events = append(d.Events, e)
			}
		})
	})
	if errs.KindOf(err) == errs.NotFound && err != nil {
		return d, errs.E(errs.NotFound, "MESSAGE_NOT_FOUND", "there is no message with this id in this environment", err)
	}
	if folded := message.Fold(slices.Values(d.Events)); folded.Above(d.Standing) {
		d.Standing = folded
	}
	return d, err
}

// rendered finds the content as it went out; of several rounds the last.
func rendered(ctx context.Context, tx pgx.Tx, tenant, id uuid.UUID) (content []byte, err error) {
	rows, err := tx.Query(ctx, `SELECT contents FROM message_events WHERE day = $1 AND tenant_id = $2 AND parcel_id = $3
		AND contents IS NOT NULL ORDER BY event_id`, planEachTime, postgres.Day(id), tenant, message.ParcelOf(id))
	if err != nil {
		return nil, err
	}
	packs, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	for _, p := range packs {
		found, damaged := message.FindContent(p, message.IndexOf(id))
		if err = errors.Join(err, damaged); found != nil {
			content = found
		}
	}
	return content, err
}

// fromParcel adds what stands in the accepted parcel.
func fromParcel(ctx context.Context, tx pgx.Tx, d *message.Detail) error {
	id, at := message.ParcelOf(d.ID), message.IndexOf(d.ID)
	stored, err := outbox.Load(ctx, tx, id)
	if err != nil {
		return err
	}
	var p ingestv1.AcceptedParcel
	for i := range stored {
		if err := proto.Unmarshal(stored[i].Payload, &p); err != nil {
			return err
		}
	}
	if at >= len(p.GetMessages()) {
		return fmt.Errorf("parcel %s has %d messages, none at %d", id, len(p.GetMessages()), at)
	}
	m := p.GetMessages()[at]
	d.EntityID, d.Content = m.GetEntityId(), m.GetContent()
	d.Expire = time.UnixMicro(m.GetExpireTimeUs()).UTC()
	if us := m.GetScheduleTimeUs(); us != 0 {
		d.Schedule = time.UnixMicro(us).UTC()
	}
	return nil
}

// List answers a page; see message.Page.
func (s *Store) List(ctx context.Context, q message.Query) (page message.Page, err error) {
	err = s.db.InTenant(ctx, q.Tenant, func(tx pgx.Tx) error {
		limit, exact := q.Limit+1, true // one more tells whether there is a next page
		if q.State != 0 && (q.State == message.StateDelivered || !q.State.Final()) {
			limit, exact = scanRows, false
		}
		sql, args := listSQL(&q, limit)
		rows, err := tx.Query(ctx, sql, append([]any{planEachTime}, args...)...)
		if err != nil {
			return err
		}
		found, err := pgx.CollectRows(rows, scanSummary)
		if err != nil {
			return err
		}
		if err := standings(ctx, tx, q.Tenant, found); err != nil {
			return err
		}
		page = cut(&q, found, limit, exact)
		return nil
	})
	return page, err
}

// listSQL writes the query. States stand in it as numbers, so that the planner sees which partial index holds them.
func listSQL(q *message.Query, limit int) (sql string, args []any) {
	before := message.FirstAt(q.End)
	if q.Before != uuid.Nil && q.Before.String() < before.String() {
		before = q.Before
	}
	where := []string{"tenant_id = $1", "env = $2", "message_id >= $3", "message_id < $4", "day >= $5", "day <= $6"}
	args = []any{q.Tenant, q.Env, message.FirstAt(q.Start), before, postgres.Day(message.FirstAt(q.Start)), postgres.Day(before)}
	if q.Reference != "" {
		args = append(args, q.Reference)
		where = append(where, "client_reference = $7", "client_reference <> ''")
	}
	switch {
	case q.State == 0 || q.State == message.StateDelivered: // most are delivered: read them in order
	case q.State.Final():
		where = append(where, fmt.Sprintf("final_state = %d", q.State))
	default:
		where = append(where, "final_state IS NULL")
	}
	return fmt.Sprintf("SELECT %s FROM messages WHERE %s ORDER BY message_id DESC LIMIT %d",
		summaryColumns, strings.Join(where, " AND "), limit), args
}

// standings folds the events of the messages that are not final.
func standings(ctx context.Context, tx pgx.Tx, tenant uuid.UUID, found []message.Summary) error {
	open := map[uuid.UUID]*message.Summary{}
	var parcels []uuid.UUID
	for i := range found {
		if m := &found[i]; m.Standing.State == 0 {
			m.Standing.State = message.StateAccepted
			open[m.ID] = m
			parcels = append(parcels, message.ParcelOf(m.ID))
		}
	}
	if len(open) == 0 {
		return nil
	}
	packs, err := packsOf(ctx, tx, tenant, slices.Compact(parcels)) // found is sorted, so equal ones stand together
	if err != nil {
		return err
	}
	return eachEvent(packs, func(parcel uuid.UUID, e message.Event) {
		m, ok := open[message.IDAt(parcel, e.Index)]
		if s := (message.Standing{Round: e.Round, State: e.Kind.State()}); ok && s.State != 0 && s.Above(m.Standing) {
			m.Standing = s
		}
	})
}

// cut makes the page of what was found: at most limit rows, all of the wanted state when exact.
func cut(q *message.Query, found []message.Summary, limit int, exact bool) (page message.Page) {
	for i, m := range found {
		if !exact && m.Standing.State != q.State {
			continue
		}
		page.Messages = append(page.Messages, m)
		if len(page.Messages) == q.Limit {
			if i+1 < len(found) || len(found) == limit {
				page.Next = m.ID
			}
			return page
		}
	}
	if len(found) == limit {
		page.Next = found[limit-1].ID
	}
	return page
}

type pack struct {
	parcel uuid.UUID
	bytes  []byte
}

// packsOf reads the events of accepted parcels.
func packsOf(ctx context.Context, tx pgx.Tx, tenant uuid.UUID, parcels []uuid.UUID) ([]pack, error) {
	days := make([]time.Time, len(parcels))
	for i, id := range parcels {
		days[i] = postgres.Day(id)
	}
	slices.SortFunc(days, time.Time.Compare)
	rows, err := tx.Query(ctx, `SELECT parcel_id, pack FROM message_events
		WHERE day = ANY ($1::date[]) AND tenant_id = $2 AND parcel_id = ANY ($3::uuid[]) ORDER BY event_id`,
		planEachTime, slices.Compact(days), tenant, parcels)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (p pack, err error) {
		err = row.Scan(&p.parcel, &p.bytes)
		return p, err
	})
}

func eachEvent(packs []pack, do func(parcel uuid.UUID, e message.Event)) error {
	for _, p := range packs {
		for e, err := range message.Events(p.bytes) {
			if err != nil {
				return err
			}
			do(p.parcel, e)
		}
	}
	return nil
}
