package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// planEachTime keeps no plan: one made while the day's partition was empty would read all of it later.
const planEachTime = pgx.QueryExecModeCacheDescribe

// Get answers one message of tenant in env; errs.NotFound (MESSAGE_NOT_FOUND) when it is not there, or somebody else's.
func (s *Store) Get(ctx context.Context, tenant uuid.UUID, env string, id uuid.UUID) (d message.Detail, err error) {
	d.ID = id
	err = s.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `SELECT lane, accept_time FROM accepted_parcels
			WHERE day = $1 AND tenant_id = $2 AND env = $3 AND parcel_id = $4 AND messages > $5`,
			planEachTime, postgres.Day(id), tenant, env, message.ParcelOf(id), message.IndexOf(id)).Scan(&d.Lane, &d.Accept)
		if err != nil {
			return err
		}
		if err := fromParcel(ctx, tx, &d); err != nil {
			return err
		}
		if d.Events, err = eventsOf(ctx, tx, tenant, id); err != nil {
			return err
		}
		d.Rendered, err = rendered(ctx, tx, tenant, id)
		return err
	})
	if errs.KindOf(err) == errs.NotFound && err != nil {
		return d, errs.E(errs.NotFound, "MESSAGE_NOT_FOUND", "there is no message with this id in this environment", err)
	}
	d.Accept, d.Standing = d.Accept.UTC(), message.Fold(slices.Values(d.Events))
	return d, err
}

// eventsOf reads the events of one message, in the order their parcels were made.
func eventsOf(ctx context.Context, tx pgx.Tx, tenant, id uuid.UUID) (events []message.Event, err error) {
	rows, err := tx.Query(ctx, `SELECT pack FROM message_events WHERE day = $1 AND tenant_id = $2 AND parcel_id = $3
		ORDER BY event_id`, planEachTime, postgres.Day(id), tenant, message.ParcelOf(id))
	if err != nil {
		return nil, err
	}
	packs, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	for _, p := range packs {
		for e, damaged := range message.Events(p) {
			if damaged != nil {
				return nil, damaged
			}
			if e.Index == message.IndexOf(id) {
				events = append(events, e)
			}
		}
	}
	return events, err
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
	stored, err := payloads(ctx, tx, message.ParcelOf(d.ID))
	if err != nil {
		return err
	}
	m, err := stored.message(d.ID)
	if err != nil {
		return err
	}
	address(&d.Summary, m)
	d.EntityID, d.Content = m.GetEntityId(), m.GetContent()
	d.Expire = time.UnixMicro(m.GetExpireTimeUs()).UTC()
	if us := m.GetScheduleTimeUs(); us != 0 {
		d.Schedule = time.UnixMicro(us).UTC()
	}
	return nil
}

// parcels are decoded accepted parcels by id.
type parcels map[uuid.UUID]*ingestv1.AcceptedParcel

func payloads(ctx context.Context, tx pgx.Tx, ids ...uuid.UUID) (parcels, error) {
	stored, err := outbox.Load(ctx, tx, ids...)
	if err != nil {
		return nil, err
	}
	decoded := make(parcels, len(stored))
	for i := range stored {
		p := &ingestv1.AcceptedParcel{}
		if err := proto.Unmarshal(stored[i].Payload, p); err != nil {
			return nil, fmt.Errorf("parcel %s: %w", stored[i].ID, err)
		}
		decoded[stored[i].ID] = p
	}
	return decoded, nil
}

// message is the one with id.
func (p parcels) message(id uuid.UUID) (*ingestv1.AcceptedMessage, error) {
	messages, at := p[message.ParcelOf(id)].GetMessages(), message.IndexOf(id)
	if at >= len(messages) {
		return nil, fmt.Errorf("parcel %s has %d messages, none at %d", message.ParcelOf(id), len(messages), at)
	}
	return messages[at], nil
}

func address(s *message.Summary, m *ingestv1.AcceptedMessage) {
	s.Header, s.TemplateID, s.ClientReference = m.GetHeader(), m.GetTemplateId(), m.GetClientReference()
}
