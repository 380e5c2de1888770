package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// AddAnswers records what operators said of messages, once for each parcel that told of it.
func (s *Store) AddAnswers(ctx context.Context, answers map[uuid.UUID][]screening.Answer) error {
	parcels := make([]uuid.UUID, 0, len(answers))
	for id := range answers {
		parcels = append(parcels, id)
	}
	return postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		fresh, err := outbox.Claim(ctx, tx, Consumer, parcels)
		if err != nil {
			return err
		}
		var rows [][]any
		for parcel, all := range answers {
			for _, a := range all {
				if fresh[parcel] {
					rows = append(rows, []any{s.newID(), a.Tenant, a.Env, a.Message, int16(a.Code), a.At})
				}
			}
		}
		var batch pgx.Batch
		for _, row := range rows {
			batch.Queue(`INSERT INTO preference_answers (answer_id, tenant_id, env, message_id, code, answer_time) VALUES ($1, $2, $3, $4, $5, $6)`, row...)
		}
		return tx.SendBatch(ctx, &batch).Close()
	})
}

// Answers answers what was recorded after an answer's id, of messages since a time, in order, at most limit.
func (s *Store) Answers(ctx context.Context, after uuid.UUID, since time.Time, limit int) ([]screening.Answer, error) {
	rows, err := s.db.Worker.Query(ctx, `SELECT answer_id, tenant_id, env, message_id, code, answer_time FROM preference_answers
		WHERE answer_id > $1 AND answer_time > $2 ORDER BY answer_id LIMIT $3`, after, since, limit)
	if err != nil {
		return nil, postgres.Map(err)
	}
	answers, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a screening.Answer, err error) {
		var code int16
		err = row.Scan(&a.ID, &a.Tenant, &a.Env, &a.Message, &code, &a.At)
		a.Code = preference.Code(code)
		return a, err
	})
	return answers, postgres.Map(err)
}

// DropAnswers forgets answers before a time.
func (s *Store) DropAnswers(ctx context.Context, before time.Time) error {
	_, err := s.db.Worker.Exec(ctx, `DELETE FROM preference_answers WHERE answer_time < $1`, before)
	return postgres.Map(err)
}

// Sealed answers a message as it went out last, with its content sealed; errs.NotFound when it was never cleared.
func (s *Store) Sealed(ctx context.Context, tenant uuid.UUID, env string, message uuid.UUID) (p screening.Parcel, err error) {
	found, err := s.Decisions(ctx, tenant, env, message)
	if err != nil {
		return p, err
	}
	for _, d := range found {
		if d.Parcel == uuid.Nil {
			continue
		}
		cleared, err := s.Cleared(ctx, []uuid.UUID{d.Parcel})
		if err != nil {
			return p, err
		}
		p = cleared[d.Parcel]
		for _, m := range p.Messages {
			if m.ID == message {
				p.Messages = []screening.Message{m}
				return p, nil
			}
		}
	}
	return p, errs.E(errs.NotFound, "PARCEL_NOT_FOUND", "the message was not cleared", nil)
}
