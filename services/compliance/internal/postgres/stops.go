package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// EventStopsChanged tells replicas to follow a tenant's kill switches.
const EventStopsChanged = "onlinesms.compliance.v1.SendingStopsChanged"

// Stops implements registry.Source.
func (s *Store) Stops(ctx context.Context, tenant uuid.UUID) (all registry.Stops, err error) {
	err = s.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `SELECT coalesce((SELECT version FROM registry_stop_versions), 0)`).Scan(&all.Version)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT scope, object_id AS object, reason, actor, stop_time AS since FROM registry_stops ORDER BY 1, 2`)
		if err != nil {
			return err
		}
		all.Stops, err = pgx.CollectRows(rows, pgx.RowToStructByName[registry.Stop])
		return err
	})
	return all, err
}

// Stop puts a kill switch on; it answers the one in force, of an earlier call when it was on already.
func (s *Store) Stop(ctx context.Context, tenant uuid.UUID, stop registry.Stop) (registry.Stop, error) {
	stop.Since = s.now()
	err := s.changeStops(ctx, tenant, stop, true, func(tx pgx.Tx) (bool, error) {
		tag, err := tx.Exec(ctx, `INSERT INTO registry_stops (tenant_id, scope, object_id, reason, actor, stop_time)
			VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`, tenant, stop.Scope, stop.Object, stop.Reason, stop.Actor, stop.Since)
		if err != nil || tag.RowsAffected() > 0 {
			return true, err
		}
		return false, tx.QueryRow(ctx, `SELECT reason, actor, stop_time FROM registry_stops WHERE tenant_id = $1 AND scope = $2 AND object_id = $3`,
			tenant, stop.Scope, stop.Object).Scan(&stop.Reason, &stop.Actor, &stop.Since)
	})
	return stop, err
}

// Resume takes a kill switch off; errs.NotFound when it is not on.
func (s *Store) Resume(ctx context.Context, tenant uuid.UUID, stop registry.Stop) error {
	return s.changeStops(ctx, tenant, stop, false, func(tx pgx.Tx) (bool, error) {
		tag, err := tx.Exec(ctx, `DELETE FROM registry_stops WHERE tenant_id = $1 AND scope = $2 AND object_id = $3`, tenant, stop.Scope, stop.Object)
		if err == nil && tag.RowsAffected() == 0 {
			err = errs.E(errs.NotFound, "STOP_NOT_FOUND", "No such stop is in force.", nil)
		}
		return true, err
	})
}

// changeStops makes a change with its version and its announcement.
func (s *Store) changeStops(ctx context.Context, tenant uuid.UUID, stop registry.Stop, on bool, change func(pgx.Tx) (bool, error)) error {
	var announced []eventbus.Parcel
	err := postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		announced = nil
		id := s.newID()
		p := &compliancev1.SendingStopParcel{ParcelId: id[:], TenantId: tenant[:], CorrelationId: id[:], Actor: stop.Actor,
			Scope: string(stop.Scope), ObjectId: stop.Object, Reason: stop.Reason, Stopped: on}
		err := tx.QueryRow(ctx, `INSERT INTO registry_stop_versions AS v (tenant_id, version) VALUES ($1, 1)
			ON CONFLICT (tenant_id) DO UPDATE SET version = v.version + 1 RETURNING version`, tenant).Scan(&p.Version)
		if err != nil {
			return err
		}
		if changed, err := change(tx); err != nil || !changed {
			return err
		}
		parcel, err := control(EventStopsChanged, id, tenant, 1, p)
		announced = append(announced, parcel)
		if err != nil {
			return err
		}
		return outbox.Append(ctx, tx, announced...)
	})
	if err == nil {
		s.publish(announced...)
	}
	return err
}
