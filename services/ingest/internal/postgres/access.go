package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// EventAccessChanged is the event by which replicas learn that a key, user or tenant changed.
var EventAccessChanged = string((&ingestv1.AccessChanged{}).ProtoReflect().Descriptor().FullName())

var (
	eventKeysExpiring = string((&ingestv1.KeysExpiring{}).ProtoReflect().Descriptor().FullName())
	eventKeysExposed  = string((&ingestv1.KeysExposed{}).ProtoReflect().Descriptor().FullName())
)

// ChangeAccess runs change in a transaction with the call's record and the news of the change, and hands both to the
// publisher once they are committed. The news names what every replica is to look up anew; change may run again.
func (s *Store) ChangeAccess(ctx context.Context, tenant uuid.UUID, env string, news *ingestv1.AccessChange, change func(pgx.Tx) error) error {
	parcel, err := accessParcel(tenant, env, news)
	if err != nil {
		return err
	}
	err = postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		if err := outbox.Append(ctx, tx, parcel); err != nil {
			return err
		}
		return record.Append(ctx, tx)
	})
	if err != nil {
		return err
	}
	s.publish(parcel)
	record.Committed(ctx)
	return nil
}

func (s *Store) publish(parcels ...eventbus.Parcel) {
	if s.publisher != nil {
		s.publisher.Publish(parcels...)
	}
}

func accessParcel(tenant uuid.UUID, env string, news *ingestv1.AccessChange) (eventbus.Parcel, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return eventbus.Parcel{}, err
	}
	payload, err := proto.Marshal(&ingestv1.AccessParcel{
		ParcelId: id[:], TenantId: tenant[:], CorrelationId: id[:], Changes: []*ingestv1.AccessChange{news},
	})
	return eventbus.Parcel{
		ID: id, Tenant: tenant, Subject: eventbus.Subject(EventAccessChanged, env, eventbus.LaneControl), Entries: 1, Payload: payload,
	}, err
}
