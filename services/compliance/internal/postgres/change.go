package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// EventRegistryChanged tells replicas to follow a tenant's registry, and the audit log who changed what.
const EventRegistryChanged = "onlinesms.compliance.v1.RegistryChanged"

// What a RegistryChanged tells at most: names of objects, and objects before and after.
const (
	maxObjects = 1000
	maxChanges = 20
)

// Change changes a tenant's registry: plan is given the objects of keys as they stand and says what they become. Changes,
// the next version and the event that announces them, with their author, are one transaction; when plan fails or answers
// no changes nothing is written. It answers the registry's version.
func (s *Store) Change(ctx context.Context, tenant uuid.UUID, author registry.Author, keys []registry.Key, plan registry.Planned) (version int64, err error) {
	var announced []eventbus.Parcel
	err = postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		announced = nil
		if err := announceChange(ctx, tx, tenant); err != nil {
			return err
		}
		if version, err = lockRegistry(ctx, tx, tenant); err != nil {
			return err
		}
		kinds, ids := columnsOf(keys)
		found, err := queryObjects(ctx, tx, `o.tenant_id = $1 AND (o.kind, o.object_id) IN (SELECT * FROM unnest($2::text[], $3::text[]))`,
			tenant, kinds, ids)
		if err != nil {
			return err
		}
		known := byKey(found)
		changes, err := plan(func(k registry.Key) *registry.Object { return known[k] })
		if err != nil || len(changes) == 0 {
			return err
		}
		version++
		announced, err = s.apply(ctx, tx, tenant, author, version, changes, nil, func(int) error { return nil })
		return err
	})
	if err != nil {
		return 0, err
	}
	s.publish(announced...)
	return version, nil
}

func columnsOf(keys []registry.Key) (kinds, ids []string) {
	kinds, ids = make([]string, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		kinds[i], ids[i] = string(k.Kind), k.ID
	}
	return kinds, ids
}

// lockRegistry takes a tenant's registry for this transaction and answers its version: changes of one tenant follow one
// another, and replicas see their versions in order.
func lockRegistry(ctx context.Context, tx pgx.Tx, tenant uuid.UUID) (version int64, err error) {
	err = tx.QueryRow(ctx, `INSERT INTO registry_versions AS v (tenant_id, version) VALUES ($1, 0)
		ON CONFLICT (tenant_id) DO UPDATE SET version = v.version RETURNING version`, tenant).Scan(&version)
	return version, err
}

// apply writes changes as a version with what announces them. summary stands for them in the audit log where they are
// many. written is told how many are written, between statements; its error ends the work.
func (s *Store) apply(ctx context.Context, tx pgx.Tx, tenant uuid.UUID, author registry.Author, version int64, changes []registry.Change,
	summary *compliancev1.RegistryChange, written func(int) error) ([]eventbus.Parcel, error) {
	now := s.now()
	if err := writeObjects(ctx, tx, tenant, version, now, changes, written); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, `UPDATE registry_versions SET version = $2, change_time = $3 WHERE tenant_id = $1`, tenant, version, now); err != nil {
		return nil, err
	}
	parcel, err := s.announcement(tenant, author, version, changes, summary)
	if err != nil {
		return nil, err
	}
	alarms, err := s.differingChains(tenant, changes, now)
	if err != nil {
		return nil, err
	}
	announced := append([]eventbus.Parcel{parcel}, alarms...)
	return announced, outbox.Append(ctx, tx, announced...)
}

// announcement is the parcel of RegistryChanged. A registry has no environment; live stands for both.
func (s *Store) announcement(tenant uuid.UUID, author registry.Author, version int64, changes []registry.Change, summary *compliancev1.RegistryChange) (eventbus.Parcel, error) {
	id := s.newID()
	p := &compliancev1.RegistryChangeParcel{ParcelId: id[:], TenantId: tenant[:], CorrelationId: id[:], Version: version,
		Actor: author.Actor, Action: author.Action, Reason: author.Reason}
	if len(changes) <= maxObjects {
		for i := range changes {
			p.Objects = append(p.Objects, changes[i].After.Key().String())
		}
	}
	if summary != nil {
		p.Changes = append(p.Changes, summary)
	}
	if len(changes) <= maxChanges {
		for i := range changes {
			c, err := encodeChange(&changes[i])
			if err != nil {
				return eventbus.Parcel{}, err
			}
			p.Changes = append(p.Changes, c)
		}
	}
	return control(EventRegistryChanged, id, tenant, 1, p)
}

func encodeChange(c *registry.Change) (*compliancev1.RegistryChange, error) {
	after, err := json.Marshal(masked(&c.After))
	if err != nil {
		return nil, err
	}
	out := &compliancev1.RegistryChange{Object: c.After.Key().String(), After: string(after)}
	if c.Before != nil {
		before, err := json.Marshal(masked(c.Before))
		if err != nil {
			return nil, err
		}
		out.Before = string(before)
	}
	return out, nil
}

// masked is an object without a number or address in clear: events hold none.
func masked(o *registry.Object) *registry.Object {
	if o.Kind != registry.CTAs || o.Type != "number" && o.Type != "email" {
		return o
	}
	m := *o
	m.Value = "***"
	return &m
}

// control makes a parcel of a control event.
func control(event string, id, tenant uuid.UUID, entries int, m proto.Message) (eventbus.Parcel, error) {
	payload, err := proto.Marshal(m)
	return eventbus.Parcel{ID: id, Tenant: tenant, Entries: entries, Payload: payload,
		Subject: eventbus.Subject(event, principal.Live, eventbus.LaneControl)}, err
}

// Import puts objects into a tenant's registry over what is there, in one transaction: what make up and the import
// command do. It answers the version, the same as before when nothing is new.
func (s *Store) Import(ctx context.Context, tenant uuid.UUID, author registry.Author, objects []registry.Object) (int64, error) {
	keys := make([]registry.Key, 0, len(objects))
	for i := range objects {
		keys = append(keys, registry.References(&objects[i])...)
	}
	return s.Change(ctx, tenant, author, keys, func(known registry.View) ([]registry.Change, error) {
		changes, _, problems := registry.Plan(known, objects)
		return changes, registry.Refusal(problems, objects)
	})
}

// differingChains raises the alarm where a chain's hash is not the portal's.
func (s *Store) differingChains(tenant uuid.UUID, changes []registry.Change, now time.Time) ([]eventbus.Parcel, error) {
	var all []registry.Reminder
	for i := range changes {
		if r, differs := registry.ChainDiffers(&changes[i].After, now); differs {
			all = append(all, r)
		}
	}
	return s.reminderParcels(tenant, all)
}
