package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
)

// locked is a hold that this transaction has locked.
type locked struct {
	id, parcel, correlation uuid.UUID
	lane, trace             string
	round                   uint32
	scheduled               *time.Time
	wire                    *ingestv1.AcceptedParcel
	messages                []screening.Message // in step with wire
}

// lockHolds reads holds; where says which, and locks them.
func lockHolds(ctx context.Context, tx pgx.Tx, where string, args ...any) ([]locked, error) {
	rows, err := tx.Query(ctx, `SELECT hold_id, parcel_id, correlation_id, lane, trace, round, schedule_time, payload FROM holds WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	var holds []locked
	for rows.Next() {
		var payload []byte
		h := locked{wire: &ingestv1.AcceptedParcel{}}
		if err = rows.Scan(&h.id, &h.parcel, &h.correlation, &h.lane, &h.trace, &h.round, &h.scheduled, &payload); err != nil {
			break
		}
		if err = proto.Unmarshal(payload, h.wire); err != nil {
			break
		}
		if h.messages, err = messagesOf(h.wire, h.round); err != nil {
			break
		}
		holds = append(holds, h)
	}
	rows.Close()
	return holds, errors.Join(err, rows.Err())
}

// take takes messages out of a hold; store makes it last.
func (h *locked) take(which func(*screening.Message) bool) (taken []screening.Message) {
	wire, rest := h.wire.GetMessages(), h.messages
	h.wire.Messages, h.messages = nil, nil
	for i := range rest {
		if which(&rest[i]) {
			taken = append(taken, rest[i])
			continue
		}
		h.wire.Messages, h.messages = append(h.wire.Messages, wire[i]), append(h.messages, rest[i])
	}
	return taken
}

// store writes what is left of a hold; an empty one goes.
func (h *locked) store(ctx context.Context, tx pgx.Tx, now time.Time) error {
	if len(h.messages) == 0 {
		_, err := tx.Exec(ctx, `DELETE FROM holds WHERE hold_id = $1`, h.id)
		return err
	}
	payload, err := proto.Marshal(h.wire)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE holds SET messages = $2, payload = $3, schedule_time = $4 WHERE hold_id = $1`,
		h.id, len(h.messages), payload, scheduled(h.wire.GetMessages(), now))
	return err
}
