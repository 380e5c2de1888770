package postgres

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
)

// Evidence answers what is known of messages to a recipient that were cleared within a span of time, the earliest first, at
// most limit. Messages have no index by recipient: it would be a row a message on the hot path, for a question asked once a
// complaint. So the tenant's cleared parcels of those days are searched for the recipient's hash where they lie, in the
// database; nothing but the parcels that hold it leaves it.
func (s *Store) Evidence(ctx context.Context, at consent.Place, recipient [16]byte, from, until time.Time, limit int) (all []screening.Evidence, err error) {
	err = s.db.InTenant(ctx, at.Tenant, func(tx pgx.Tx) error {
		all, err = clearedTo(ctx, tx, at, recipient[:], from, until, limit)
		for i := range all {
			recorded, err := decisions(ctx, tx, at.Tenant, at.Env, all[i].Message)
			if err != nil {
				return err
			}
			for _, r := range recorded {
				all[i].Decisions = append(all[i].Decisions, r.Decided)
			}
		}
		return err
	})
	for i := range all {
		e := &all[i]
		if err == nil {
			e.Wishes, err = s.WishesOf(ctx, at, recipient, e.Entity, "", e.Cleared)
		}
		if err == nil {
			e.Revision, err = s.revisionAt(ctx, at.Tenant, e.Template, e.Cleared)
		}
	}
	return all, err
}

func clearedTo(ctx context.Context, tx pgx.Tx, at consent.Place, recipient []byte, from, until time.Time, limit int) (all []screening.Evidence, err error) {
	// A parcel's partition is that of its id's UTC day; it is minted when it is cleared.
	days := []time.Time{from.UTC().Truncate(24 * time.Hour), until.UTC().Truncate(24 * time.Hour)}
	rows, err := tx.Query(ctx, `SELECT payload FROM parcels WHERE tenant_id = $1 AND day = ANY ($2::date[])
		AND subject LIKE 'onlinesms.compliance.v1.MessagesCleared.' || $3 || '.%' AND position($4::bytea IN payload) > 0
		ORDER BY parcel_id LIMIT $5`, at.Tenant, days, at.Env, recipient, limit)
	if err != nil {
		return nil, err
	}
	var payload []byte
	_, err = pgx.ForEachRow(rows, []any{&payload}, func() error {
		var p compliancev1.ClearedParcel
		if err := proto.Unmarshal(payload, &p); err != nil {
			return err
		}
		cleared := time.UnixMicro(p.GetDecideTimeUs())
		if cleared.Before(from) || !cleared.Before(until) {
			return nil
		}
		for _, m := range p.GetMessages() {
			if id, err := uuid.FromBytes(m.GetMessageId()); err == nil && bytes.Equal(m.GetRecipientIndex(), recipient) && len(all) < limit {
				all = append(all, screening.Evidence{Message: id, Entity: m.GetEntityId(), Header: m.GetHeader(), Template: m.GetTemplateId(), Cleared: cleared})
			}
		}
		return nil
	})
	return all, err
}

// revisionAt is the body a template had at a time; the first one has been in force since before it was registered here.
func (s *Store) revisionAt(ctx context.Context, tenant uuid.UUID, template string, at time.Time) (registry.Revision, error) {
	all, err := s.Revisions(ctx, tenant, template)
	if err != nil || len(all) == 0 {
		return registry.Revision{}, err
	}
	i := slices.IndexFunc(all, func(r registry.Revision) bool { return !r.From.After(at) })
	if i < 0 {
		i = len(all) - 1
	}
	return all[i], nil
}
