package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

const (
	kindOptedOut = "OPTED_OUT"
	kindLifted   = "OPT_OUT_LIFTED"
)

// OptOut records an opt-out and revokes the consents it covers; it answers the one in force, of an earlier call when there
// was one, and how many consents were revoked.
func (s *Store) OptOut(ctx context.Context, at consent.Place, author consent.Author, o consent.OptOut) (in consent.OptOut, revoked int, err error) {
	err = s.changeWishes(ctx, at, author, func(l *ledger) error {
		in, revoked, err = l.optOut(ctx, o)
		return err
	})
	return in, revoked, err
}

// ReceiveOptOuts records the opt-outs of a parcel that reached dispatch, once; a parcel that was taken is passed over.
func (s *Store) ReceiveOptOuts(ctx context.Context, parcel uuid.UUID, at consent.Place, all []consent.OptOut) error {
	author := consent.Author{Actor: "service/dispatch", Action: "opt_out.receive"}
	return s.changeWishes(ctx, at, author, func(l *ledger) error {
		fresh, err := outbox.Claim(ctx, l.Tx, Consumer, []uuid.UUID{parcel})
		if err != nil || !fresh[parcel] {
			return err
		}
		for _, o := range all {
			if _, _, err := l.optOut(ctx, o); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l *ledger) optOut(ctx context.Context, o consent.OptOut) (in consent.OptOut, revoked int, err error) {
	o.ID, o.Since = l.s.newID(), l.now
	tag, err := l.Exec(ctx, `INSERT INTO opt_outs (tenant_id, env, recipient, opt_out_id, scope, object_id, source, actor, reason, since)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (tenant_id, env, recipient, scope, object_id) WHERE lift_time IS NULL DO NOTHING`,
		l.Tenant, l.Env, o.Recipient[:], o.ID, o.Scope, o.Object, o.Source, l.author.Actor, l.author.Reason, o.Since)
	if err != nil {
		return o, 0, err
	}
	if tag.RowsAffected() == 0 {
		all, err := optOuts(ctx, l, l.Place, o.Recipient[:])
		for _, known := range all {
			if known.Scope == o.Scope && known.Object == o.Object && known.Lifted.IsZero() {
				o = known
			}
		}
		return o, 0, err
	}
	l.note(o, kindOptedOut, o.Source)
	if o.Scope == consent.OfHeader {
		return o, 0, nil // consents are given to entities
	}
	w := consent.Wanted{Key: consent.Key{Recipient: o.Recipient}, Kind: consent.Revoked, Occur: l.now, Source: o.Source, Reason: "opt-out " + o.ID.String()}
	_, revoked, err = l.revoke(ctx, w, func(k consent.Key) bool {
		return o.Covers(k.Entity, "") && k.Basis != consent.Inferred
	}, false)
	return o, revoked, err
}

func (l *ledger) note(o consent.OptOut, kind, source string) {
	wish := &compliancev1.Wish{RecipientIndex: slices.Clone(o.Recipient[:]), Kind: kind, Scope: string(o.Scope), ObjectId: o.Object,
		Source: source, Restricts: kind == kindOptedOut}
	if o.Scope == consent.OfEntity {
		wish.EntityId = o.Object
	}
	l.wishes = append(l.wishes, wish)
}

// LiftOptOut takes an opt-out back; errs.NotFound when it is not in force.
func (s *Store) LiftOptOut(ctx context.Context, at consent.Place, author consent.Author, o consent.OptOut) error {
	return s.changeWishes(ctx, at, author, func(l *ledger) error {
		tag, err := l.Exec(ctx, `UPDATE opt_outs SET lift_time = $6 WHERE tenant_id = $1 AND env = $2 AND recipient = $3 AND scope = $4
			AND object_id = $5 AND lift_time IS NULL`, at.Tenant, at.Env, o.Recipient[:], o.Scope, o.Object, l.now)
		if err == nil && tag.RowsAffected() == 0 {
			err = errs.E(errs.NotFound, "OPT_OUT_NOT_FOUND", "No such opt-out is in force.", nil)
		}
		l.note(o, kindLifted, "api")
		return err
	})
}

// optIn lifts the opt-outs of an entity from before an explicit consent to it: who opts in again takes them back.
func (l *ledger) optIn(ctx context.Context, events []consent.Event) error {
	var recipients [][]byte
	var entities []string
	var occur []time.Time
	for i := range events {
		if e := &events[i]; (e.Kind == consent.Given || e.Kind == consent.Reaffirmed) && e.Key.Basis == consent.Explicit {
			recipients, entities, occur = append(recipients, e.Key.Recipient[:]), append(entities, e.Key.Entity), append(occur, e.Occur)
		}
	}
	if len(recipients) == 0 {
		return nil
	}
	rows, err := l.Query(ctx, `UPDATE opt_outs o SET lift_time = $3
		FROM (SELECT recipient, entity_id, max(occur) AS occur FROM unnest($4::bytea[], $5::text[], $6::timestamptz[]) u (recipient, entity_id, occur)
			GROUP BY 1, 2) u
		WHERE o.tenant_id = $1 AND o.env = $2 AND o.recipient = u.recipient AND o.scope = 'entity' AND o.object_id = u.entity_id
			AND o.lift_time IS NULL AND o.since <= u.occur
		RETURNING o.recipient, o.object_id`, l.Tenant, l.Env, l.now, recipients, entities, occur)
	if err != nil {
		return err
	}
	var recipient []byte
	o := consent.OptOut{Scope: consent.OfEntity}
	_, err = pgx.ForEachRow(rows, []any{&recipient, &o.Object}, func() error {
		copy(o.Recipient[:], recipient)
		l.note(o, kindLifted, "consent")
		return nil
	})
	return err
}

// optOuts reads every opt-out of a recipient, lifted ones too, the oldest first.
func optOuts(ctx context.Context, q postgres.Querier, at consent.Place, recipient []byte) ([]consent.OptOut, error) {
	rows, err := q.Query(ctx, `SELECT opt_out_id, recipient, scope, object_id, source, since, lift_time FROM opt_outs
		WHERE tenant_id = $1 AND env = $2 AND recipient = $3 ORDER BY opt_out_id`, at.Tenant, at.Env, recipient)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (o consent.OptOut, err error) {
		var index []byte
		var lifted *time.Time
		err = row.Scan(&o.ID, &index, &o.Scope, &o.Object, &o.Source, &o.Since, &lifted)
		copy(o.Recipient[:], index)
		o.Lifted = timeOf(lifted)
		return o, err
	})
}

// WishesOf answers how a recipient's wishes stand at an instant, towards one entity or (empty) all, and for one purpose or
// (empty) all: only what was recorded until then counts.
func (s *Store) WishesOf(ctx context.Context, at consent.Place, recipient [16]byte, entity, purpose string, instant time.Time) (st consent.Standing, err error) {
	err = s.db.InTenant(ctx, at.Tenant, func(tx pgx.Tx) error {
		events, err := eventsOf(ctx, tx, at, recipient[:], entity, instant)
		if err != nil {
			return err
		}
		st = consent.Standing{Events: map[uuid.UUID][]consent.Event{}}
		for _, e := range events {
			st.Events[e.Consent] = append(st.Events[e.Consent], e)
		}
		for _, list := range st.Events {
			st.Records = append(st.Records, consent.Fold(list))
		}
		slices.SortFunc(st.Records, func(a, b consent.Record) int { return bytes.Compare(a.ID[:], b.ID[:]) })
		outs, err := optOuts(ctx, tx, at, recipient[:])
		if err != nil {
			return err
		}
		st.OptOuts = slices.DeleteFunc(outs, func(o consent.OptOut) bool { return !o.At(instant) })
		if entity != "" {
			st.Cooling = consent.CoolingUntil(consent.LastWithdrawal(entity, st.Records, st.OptOuts, instant), instant)
		}
		st.Records = slices.DeleteFunc(st.Records, func(r consent.Record) bool { return purpose != "" && r.Key.Purpose != purpose })
		return tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM suppressions WHERE tenant_id = $1 AND env = $2 AND recipient = $3
			AND create_time <= $4 AND (expire_time IS NULL OR expire_time > $4))`, at.Tenant, at.Env, recipient[:], instant).Scan(&st.Suppressed)
	})
	return st, err
}

func eventsOf(ctx context.Context, tx pgx.Tx, at consent.Place, recipient []byte, entity string, instant time.Time) ([]consent.Event, error) {
	rows, err := tx.Query(ctx, `SELECT event_id, consent_id, kind, entity_id, purpose, channel, basis, contract, details, expire_time, occur_time,
			record_time, actor, source, reason, hash FROM consent_events
		WHERE tenant_id = $1 AND env = $2 AND recipient = $3 AND record_time <= $4 AND ($5 = '' OR entity_id = $5) ORDER BY record_time, event_id`,
		at.Tenant, at.Env, recipient, instant, entity)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e consent.Event, err error) {
		var details, hash []byte
		var expire *time.Time
		err = row.Scan(&e.ID, &e.Consent, &e.Kind, &e.Key.Entity, &e.Key.Purpose, &e.Key.Channel, &e.Key.Basis, &e.Key.Contract, &details, &expire,
			&e.Occur, &e.Record, &e.Actor, &e.Source, &e.Reason, &hash)
		if err != nil {
			return e, err
		}
		copy(e.Key.Recipient[:], recipient)
		copy(e.Hash[:], hash)
		err = json.Unmarshal(details, &e.Grant)
		e.Grant.Expires = timeOf(expire)
		return e, err
	})
}
