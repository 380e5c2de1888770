package outbox

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// DeadLetters keeps events that were given up, in table dead_letters.
type DeadLetters struct{ pool *pgxpool.Pool }

// NewDeadLetters keeps them in the database of the worker pool.
func NewDeadLetters(pool *pgxpool.Pool) *DeadLetters { return &DeadLetters{pool} }

var _ eventbus.DeadLetters = (*DeadLetters)(nil)

// Letter is a kept event.
type Letter struct {
	eventbus.DeadLetter
	Saved    time.Time
	Replayed time.Time // zero while it waits
}

// Save keeps letter durably; the same ID again changes nothing.
func (d *DeadLetters) Save(ctx context.Context, letter eventbus.DeadLetter) error {
	if letter.Headers == nil {
		letter.Headers = map[string][]string{}
	}
	_, err := d.pool.Exec(ctx, `INSERT INTO dead_letters
		(dead_letter_id, durable, stream, subject, sequence, data, headers, reason, attempts, event_time)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
		letter.ID, letter.Durable, letter.Stream, letter.Subject, int64(letter.Sequence), letter.Data, letter.Headers,
		letter.Reason, letter.Attempts, letter.Time)
	return postgres.Map(err)
}

const letterColumns = `dead_letter_id, durable, stream, subject, sequence, data, headers, reason, attempts, event_time,
	save_time, coalesce(replay_time, '0001-01-01T00:00:00Z')`

func scanLetter(row pgx.CollectableRow) (l Letter, err error) {
	var sequence int64
	err = row.Scan(&l.ID, &l.Durable, &l.Stream, &l.Subject, &sequence, &l.Data, &l.Headers, &l.Reason, &l.Attempts,
		&l.Time, &l.Saved, &l.Replayed)
	l.Sequence, l.Time, l.Saved, l.Replayed = uint64(sequence), l.Time.UTC(), l.Saved.UTC(), l.Replayed.UTC()
	return l, err
}

// List answers the letters that wait for a replay, oldest first, at most limit.
func (d *DeadLetters) List(ctx context.Context, limit int) ([]Letter, error) {
	rows, err := d.pool.Query(ctx, `SELECT `+letterColumns+` FROM dead_letters WHERE replay_time IS NULL
		ORDER BY save_time, dead_letter_id LIMIT $1`, limit)
	if err != nil {
		return nil, postgres.Map(err)
	}
	letters, err := pgx.CollectRows(rows, scanLetter)
	return letters, postgres.Map(err)
}

// Replay gives one letter to publish and marks it replayed when that succeeds. A crash between the two publishes it
// twice, which the inboxes make harmless. errs.NotFound when there is no such letter, errs.Exists when it has been
// replayed.
func (d *DeadLetters) Replay(ctx context.Context, id uuid.UUID, publish func(ctx context.Context, letter Letter) error) error {
	return postgres.InTx(ctx, d.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+letterColumns+` FROM dead_letters WHERE dead_letter_id = $1 FOR UPDATE`, id)
		if err != nil {
			return err
		}
		letter, err := pgx.CollectExactlyOneRow(rows, scanLetter)
		if err != nil {
			return err
		}
		if !letter.Replayed.IsZero() {
			return errs.E(errs.Exists, "ALREADY_REPLAYED", "This dead letter has been replayed.", nil)
		}
		if err := publish(ctx, letter); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE dead_letters SET replay_time = now() WHERE dead_letter_id = $1`, id)
		return err
	})
}
