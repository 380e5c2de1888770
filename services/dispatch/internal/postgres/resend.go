package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// doubtful is a message in doubt as Resend finds it.
type doubtful struct {
	segments []int16
	cleared  uuid.UUID
	lane     delivery.Lane
	round    uint32
	until    time.Time // its answer may come
}

// Resend gives a message in doubt back to compliance, which decides it anew and so opens its next round: what is said of
// the round in doubt counts no more. The doubt ends with it, so that a second request finds none.
func (s *Store) Resend(ctx context.Context, tenant uuid.UUID, env string, message uuid.UUID) error {
	return s.commit(ctx, func(tx pgx.Tx) (*news, error) {
		d, err := doubtOf(ctx, tx, tenant, env, message)
		if err != nil {
			return nil, err
		}
		now := s.now()
		if now.Before(d.until) {
			return nil, errs.E(errs.Exists, "RESEND_TOO_EARLY",
				"The operator may still answer until "+d.until.UTC().Format(time.RFC3339)+"; ask again then.", nil)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM doubts WHERE message_id = $1`, message); err != nil {
			return nil, err
		}
		n := &news{newID: s.newID}
		n.add(group{delivery.Returned, env, d.lane, tenant}, &dispatchv1.Outcome{
			MessageId: message[:], Round: d.round, TimeUs: now.UnixMicro(), DueTimeUs: now.UnixMicro(), ClearedParcelId: d.cleared[:],
			Reason: reason(delivery.ReasonResend, 0),
		}, d.cleared, d.cleared, "")
		return n, nil
	})
}

var errNotInDoubt = errs.E(errs.Exists, "MESSAGE_NOT_IN_DOUBT",
	"The message is not UNKNOWN in this environment, or was settled or sent again; ask for its state.", nil)

func doubtOf(ctx context.Context, tx pgx.Tx, tenant uuid.UUID, env string, message uuid.UUID) (d doubtful, err error) {
	rows, err := tx.Query(ctx, `SELECT segment, cleared_id, lane, round, recorded_at FROM doubts
		WHERE message_id = $1 AND tenant_id = $2 AND env = $3 ORDER BY segment FOR UPDATE`, message, tenant, env)
	if err != nil {
		return d, err
	}
	var segment, lane int16
	var recorded time.Time
	_, err = pgx.ForEachRow(rows, []any{&segment, &d.cleared, &lane, &d.round, &recorded}, func() error {
		d.segments, d.lane = append(d.segments, segment), delivery.Lane(lane)
		if until := recorded.Add(delivery.LateFor); until.After(d.until) {
			d.until = until
		}
		return nil
	})
	if err == nil && len(d.segments) == 0 {
		err = errNotInDoubt
	}
	return d, err
}
