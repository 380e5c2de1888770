package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// eventReminders tells what a tenant should do for its registry.
const eventReminders = "onlinesms.compliance.v1.RegistryRemindersRaised"

// maxReminders of a parcel.
const maxReminders = 500

// Remind raises the reminders of a tenant that have not been raised before; it answers how many.
func (s *Store) Remind(ctx context.Context, tenant uuid.UUID, all []registry.Reminder) (int, error) {
	var parcels []eventbus.Parcel
	var fresh []registry.Reminder
	err := postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) (err error) {
		if fresh, err = newReminders(ctx, tx, tenant, all); err != nil {
			return err
		}
		if parcels, err = s.reminderParcels(tenant, fresh); err != nil {
			return err
		}
		return outbox.Append(ctx, tx, parcels...)
	})
	if err != nil {
		return 0, err
	}
	s.publish(parcels...)
	return len(fresh), nil
}

func newReminders(ctx context.Context, tx pgx.Tx, tenant uuid.UUID, all []registry.Reminder) (fresh []registry.Reminder, err error) {
	n := len(all)
	kinds, ids, reasons, due := make([]string, n), make([]string, n), make([]string, n), make([]time.Time, n)
	type place struct {
		registry.Key
		reason string
	}
	details := make(map[place]registry.Reminder, n)
	for i, r := range all {
		kinds[i], ids[i], reasons[i], due[i] = string(r.Kind), r.ID, r.Reason, r.Due
		details[place{r.Key, r.Reason}] = r
	}
	rows, err := tx.Query(ctx, `INSERT INTO registry_reminders (tenant_id, kind, object_id, reason, due_time)
		SELECT $1, u.* FROM unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[]) u ORDER BY 2, 3, 4, 5
		ON CONFLICT DO NOTHING RETURNING kind, object_id, reason`, tenant, kinds, ids, reasons, due)
	if err != nil {
		return nil, err
	}
	var p place
	_, err = pgx.ForEachRow(rows, []any{&p.Kind, &p.ID, &p.reason}, func() error {
		fresh = append(fresh, details[p])
		return nil
	})
	return fresh, err
}

func (s *Store) reminderParcels(tenant uuid.UUID, all []registry.Reminder) (parcels []eventbus.Parcel, err error) {
	for start := 0; start < len(all); start += maxReminders {
		part := all[start:min(start+maxReminders, len(all))]
		id := s.newID()
		p := &compliancev1.RegistryReminderParcel{ParcelId: id[:], TenantId: tenant[:], CorrelationId: id[:]}
		for _, r := range part {
			p.Reminders = append(p.Reminders, &compliancev1.RegistryReminder{Reason: r.Reason, Object: r.String(), DueTimeUs: r.Due.UnixMicro(), Detail: r.Detail})
		}
		parcel, err := control(eventReminders, id, tenant, len(part), p)
		if err != nil {
			return nil, err
		}
		parcels = append(parcels, parcel)
	}
	return parcels, nil
}

// MarkUsed notes the last days of use, as many objects at once as there are.
func (s *Store) MarkUsed(ctx context.Context, tenant uuid.UUID, used []registry.Used) error {
	n := len(used)
	kinds, ids, days := make([]string, n), make([]string, n), make([]time.Time, n)
	for i, u := range used {
		kinds[i], ids[i], days[i] = string(u.Kind), u.ID, u.Day
	}
	_, err := s.db.Worker.Exec(ctx, `INSERT INTO registry_uses AS old (tenant_id, kind, object_id, last_use)
		SELECT $1, u.* FROM unnest($2::text[], $3::text[], $4::date[]) u ORDER BY 2, 3
		ON CONFLICT (tenant_id, kind, object_id) DO UPDATE SET last_use = excluded.last_use WHERE old.last_use < excluded.last_use`,
		tenant, kinds, ids, days)
	return postgres.Map(err)
}
