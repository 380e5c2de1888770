package postgres

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// cancelLock keeps a withdrawal apart from the intents under way: those hold it shared, it alone. Waiting is in turn, so
// that a stream of intents cannot keep a withdrawal out.
const cancelLock = 0x63616e63656c // "cancel"

// Cancel withdraws a message for which no intent has been written and tells so in the same transaction; again, it does
// nothing. errs.Exists (MESSAGE_NOT_CANCELLABLE) when there is an intent, or the message's parcel is done with.
func (s *Store) Cancel(ctx context.Context, c delivery.Cancellation) error {
	return s.commit(ctx, func(tx pgx.Tx) (*news, error) {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(cancelLock)); err != nil {
			return nil, err
		}
		tag, err := tx.Exec(ctx, `INSERT INTO cancellations (day, parcel_id, message_id, tenant_id) VALUES ($1, $2, $3, $4)
			ON CONFLICT DO NOTHING`, postgres.Day(c.Parcel), c.Parcel, c.Message, c.Tenant)
		if err != nil || tag.RowsAffected() == 0 {
			return &news{}, err
		}
		if err := cancellable(ctx, tx, &c); err != nil {
			return nil, err
		}
		n := &news{newID: s.newID}
		n.add(group{delivery.Cancelled, c.Env, c.Lane, c.Tenant}, &dispatchv1.Outcome{
			MessageId: c.Message[:], Round: c.Round, TimeUs: s.now().UnixMicro(),
		}, c.Parcel, c.Correlation, "")
		return n, nil
	})
}

var errNotCancellable = errs.E(errs.Exists, "MESSAGE_NOT_CANCELLABLE",
	"The message may have been submitted already; ask for its state.", nil)

// cancellable tells whether the message has neither intent nor result. A parcel that has not arrived has none.
func cancellable(ctx context.Context, tx pgx.Tx, c *delivery.Cancellation) error {
	day := postgres.Day(c.Parcel)
	var taken bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM inbox WHERE day = $1 AND consumer = $2 AND parcel_id = $3)`,
		day, consumer, c.Parcel).Scan(&taken)
	if err != nil || !taken {
		return err
	}
	var payload []byte
	err = tx.QueryRow(ctx, `SELECT payload FROM queue WHERE day = $1 AND parcel_id = $2 AND tenant_id = $3 AND env = $4`,
		day, c.Parcel, c.Tenant, c.Env).Scan(&payload)
	if errors.Is(err, pgx.ErrNoRows) {
		return errNotCancellable
	} else if err != nil {
		return err
	}
	var parcel compliancev1.ClearedParcel
	if err := proto.Unmarshal(payload, &parcel); err != nil {
		return err
	}
	index := slices.IndexFunc(parcel.GetMessages(), func(m *compliancev1.ClearedMessage) bool {
		return uuid.UUID(m.GetMessageId()) == c.Message
	})
	claimed := []delivery.Claimed{{Parcel: &delivery.Parcel{ID: c.Parcel}}}
	if err := marks(ctx, tx, claimed); err != nil {
		return err
	}
	for _, m := range slices.Concat(claimed[0].Intents, claimed[0].Results) {
		if slices.Contains(m.Indexes, uint16(index)) {
			return errNotCancellable
		}
	}
	return nil
}

// withdrawn turns results of messages that were not submitted into Cancelled where their sender has withdrawn them, and
// was told so: a message that expired in its lane does not expire as well.
func withdrawn(ctx context.Context, tx pgx.Tx, results []delivery.Result) ([]delivery.Result, error) {
	var parcels []uuid.UUID
	for i := range results {
		if r := &results[i]; !r.Intent && r.Kind != delivery.Cancelled {
			parcels = append(parcels, r.Message.Parcel.ID)
		}
	}
	if len(parcels) == 0 {
		return results, nil
	}
	rows, err := tx.Query(ctx, `SELECT message_id FROM cancellations WHERE parcel_id = ANY ($1)`, parcels)
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil || len(ids) == 0 {
		return results, err
	}
	results = slices.Clone(results)
	for i := range results {
		if r := &results[i]; !r.Intent && slices.Contains(ids, r.Message.ID) {
			r.Kind = delivery.Cancelled
		}
	}
	return results, nil
}
