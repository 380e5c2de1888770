package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// Events of recipients' wishes, which replicas and dispatch follow and the audit log keeps.
const (
	EventWishesRecorded     = "onlinesms.compliance.v1.WishesRecorded"
	EventComplaintsRecorded = "onlinesms.compliance.v1.ComplaintsRecorded"
)

// maxEntries is how many wishes a parcel holds (design decision 2).
const maxEntries = 500

// ledger is one transaction on a place's wishes: what it writes and what it will announce.
type ledger struct {
	s *Store
	pgx.Tx
	consent.Place
	author     consent.Author
	now        time.Time
	wishes     []*compliancev1.Wish
	complaints []*compliancev1.ComplaintEntry
}

// changeWishes runs change in a transaction that no other change of the place's wishes runs beside: two events of one consent
// follow one another, receipts form a chain. What it noted is announced in the same transaction.
func (s *Store) changeWishes(ctx context.Context, at consent.Place, author consent.Author, change func(*ledger) error) error {
	var announced []eventbus.Parcel
	err := postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('wishes' || $1 || $2, 0))`, at.Tenant.String(), at.Env); err != nil {
			return err
		}
		l := &ledger{s: s, Tx: tx, Place: at, author: author, now: s.now().UTC().Truncate(time.Microsecond)}
		err := change(l)
		if err != nil {
			return err
		}
		if announced, err = l.parcels(); err != nil {
			return err
		}
		return outbox.Append(ctx, tx, announced...)
	})
	if err == nil {
		s.publish(announced...)
	}
	return err
}

// parcels are the announcements of what was noted.
func (l *ledger) parcels() (all []eventbus.Parcel, err error) {
	add := func(event string, entries int, m func(id []byte) proto.Message) {
		if err != nil {
			return
		}
		id := l.s.newID()
		var payload []byte
		payload, err = proto.Marshal(m(id[:]))
		all = append(all, eventbus.Parcel{ID: id, Tenant: l.Tenant, Entries: entries, Payload: payload,
			Subject: eventbus.Subject(event, l.Env, eventbus.LaneControl)})
	}
	for rest := l.wishes; len(rest) > 0; {
		part := rest[:min(maxEntries, len(rest))]
		rest = rest[len(part):]
		add(EventWishesRecorded, len(part), func(id []byte) proto.Message {
			return &compliancev1.WishParcel{ParcelId: id, TenantId: l.Tenant[:], CorrelationId: id, Wishes: part,
				Actor: l.author.Actor, Action: l.author.Action, Reason: l.author.Reason}
		})
	}
	for rest := l.complaints; len(rest) > 0; {
		part := rest[:min(maxEntries, len(rest))]
		rest = rest[len(part):]
		add(EventComplaintsRecorded, len(part), func(id []byte) proto.Message {
			return &compliancev1.ComplaintParcel{ParcelId: id, TenantId: l.Tenant[:], CorrelationId: id, Complaints: part,
				Actor: l.author.Actor, Action: l.author.Action, Reason: l.author.Reason}
		})
	}
	return all, err
}

const recordColumns = `consent_id, recipient, entity_id, purpose, channel, basis, contract, last_kind, details, expire_time, grant_time, end_time, hash`

// records reads consents of a place; where continues the condition from its third argument on.
func records(ctx context.Context, q postgres.Querier, at consent.Place, where string, args ...any) (found []consent.Record, err error) {
	rows, err := q.Query(ctx, `SELECT `+recordColumns+` FROM consents WHERE tenant_id = $1 AND env = $2 AND `+where,
		append([]any{at.Tenant, at.Env}, args...)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanRecord)
}

func scanRecord(row pgx.CollectableRow) (r consent.Record, err error) {
	var recipient, hash, details []byte
	var expire, granted, ended *time.Time
	err = row.Scan(&r.ID, &recipient, &r.Key.Entity, &r.Key.Purpose, &r.Key.Channel, &r.Key.Basis, &r.Key.Contract, &r.Last, &details,
		&expire, &granted, &ended, &hash)
	if err != nil {
		return r, err
	}
	copy(r.Key.Recipient[:], recipient)
	copy(r.Hash[:], hash)
	if err = json.Unmarshal(details, &r.Grant); err == nil {
		r.Grant.Expires, r.Granted, r.Ended = timeOf(expire), timeOf(granted), timeOf(ended)
	}
	return r, err
}

// optional is a time as a column has it: NULL for none.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
