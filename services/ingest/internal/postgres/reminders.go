package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// warnKeys is how many keys one call of WarnKeys takes; a parcel holds as many entries.
const warnKeys = 500

// warned is a key that passed a threshold, as the statement answers it.
type warned struct {
	KID    string
	Tenant uuid.UUID
	Env    string
	Name   string
	Expire time.Time
	Days   int32
}

// WarnKeys appends an event for each key that passed a threshold; see tenant.ReminderStore.
func (s *Store) WarnKeys(ctx context.Context, thresholds []int) (all []tenant.Expiring, err error) {
	var parcels []eventbus.Parcel
	err = postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `UPDATE api_keys k SET warned = d.days FROM (
				SELECT kid, (SELECT min(t) FROM unnest($2::int[]) t WHERE a.expire_time <= $1::timestamptz + t * interval '1 day') AS days
				FROM api_keys a WHERE status = 'active' AND successor IS NULL AND expire_time > $1
					AND expire_time <= $1::timestamptz + (SELECT max(t) FROM unnest($2::int[]) t) * interval '1 day'
				ORDER BY kid LIMIT $3 FOR UPDATE SKIP LOCKED) d
			WHERE k.kid = d.kid AND d.days < k.warned
			RETURNING k.kid, k.tenant_id, k.env, k.name, k.expire_time, d.days`, s.now(), thresholds, warnKeys)
		if err != nil {
			return err
		}
		keys, err := pgx.CollectRows(rows, pgx.RowToStructByPos[warned])
		if err != nil {
			return err
		}
		all = all[:0]
		for _, k := range keys {
			all = append(all, tenant.Expiring{KID: k.KID, Days: int(k.Days)})
		}
		if parcels, err = expiringParcels(keys); err != nil {
			return err
		}
		return outbox.Append(ctx, tx, parcels...)
	})
	if err != nil {
		return nil, err
	}
	s.publish(parcels...)
	return all, nil
}

// expiringParcels makes a parcel for each tenant and environment.
func expiringParcels(keys []warned) (parcels []eventbus.Parcel, err error) {
	slices.SortFunc(keys, func(a, b warned) int {
		return cmp.Or(cmp.Compare(a.Tenant.String(), b.Tenant.String()), cmp.Compare(a.Env, b.Env), cmp.Compare(a.KID, b.KID))
	})
	for len(keys) > 0 {
		first := keys[0]
		n := slices.IndexFunc(keys, func(k warned) bool { return k.Tenant != first.Tenant || k.Env != first.Env })
		if n < 0 {
			n = len(keys)
		}
		p, err := expiringParcel(keys[:n])
		if err != nil {
			return nil, err
		}
		parcels, keys = append(parcels, p), keys[n:]
	}
	return parcels, nil
}

func expiringParcel(keys []warned) (eventbus.Parcel, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return eventbus.Parcel{}, err
	}
	entries := make([]*ingestv1.ExpiringKey, len(keys))
	for i, k := range keys {
		entries[i] = &ingestv1.ExpiringKey{KeyId: k.KID, Name: k.Name, ExpireTimeUs: k.Expire.UnixMicro(), Days: k.Days}
	}
	payload, err := proto.Marshal(&ingestv1.ExpiringParcel{ParcelId: id[:], TenantId: keys[0].Tenant[:], CorrelationId: id[:], Keys: entries})
	return eventbus.Parcel{
		ID: id, Tenant: keys[0].Tenant, Subject: eventbus.Subject(eventKeysExpiring, keys[0].Env, eventbus.LaneControl),
		Entries: len(keys), Payload: payload,
	}, err
}
