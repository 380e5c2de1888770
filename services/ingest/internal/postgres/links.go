package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// insertLink stores a link and the letter that brings it.
func insertLink(ctx context.Context, tx pgx.Tx, l *person.Link, letter *person.Letter) error {
	batch := &pgx.Batch{}
	batch.Queue(`INSERT INTO password_links (tenant_id, link_id, user_id, secret_mac, pepper_version, expire_time) VALUES ($1, $2, $3, $4, $5, $6)`,
		l.Tenant, l.ID, uuid.NullUUID{UUID: l.User, Valid: l.User != uuid.Nil}, l.MAC, l.PepperVersion, l.Expire)
	batch.Queue(`INSERT INTO letters (tenant_id, letter_id, sealed, due_time, expire_time) VALUES ($1, $2, $3, $4, $5)`,
		letter.Tenant, letter.ID, letter.Sealed, letter.Due, letter.Expire)
	return tx.SendBatch(ctx, batch).Close()
}

// OfferLink stores a link that somebody asked for; see person.LinkStore.
func (p *People) OfferLink(ctx context.Context, a *person.Attempt, l *person.Link, letter *person.Letter) error {
	return p.attempted(ctx, a, nil, func(tx pgx.Tx) error { return insertLink(ctx, tx, l, letter) })
}

// Link answers a link; see person.LinkStore. It runs as worker: the tenant is not known before.
func (p *People) Link(ctx context.Context, id string) (l person.Link, err error) {
	var user uuid.NullUUID
	err = p.db.Worker.QueryRow(ctx, `SELECT link_id, tenant_id, user_id, secret_mac, pepper_version, expire_time FROM password_links WHERE link_id = $1`, id).
		Scan(&l.ID, &l.Tenant, &user, &l.MAC, &l.PepperVersion, &l.Expire)
	l.User = user.UUID
	return l, postgres.Map(err)
}

// UseLink uses a link up; see person.LinkStore.
func (p *People) UseLink(ctx context.Context, l *person.Link, a *person.Attempt, change func(*person.User) (person.Effects, error)) error {
	news, err := accessParcel(l.Tenant, principal.Live, &ingestv1.AccessChange{UserId: l.User.String()})
	if err != nil {
		return err
	}
	return p.attempted(ctx, a, []eventbus.Parcel{news}, func(tx pgx.Tx) error {
		_, err := p.changeIn(ctx, tx, l.Tenant, l.User, func(u *person.User) (person.Effects, error) {
			tag, err := tx.Exec(ctx, `DELETE FROM password_links WHERE link_id = $1`, l.ID)
			if err == nil && tag.RowsAffected() == 0 {
				err = errs.E(errs.Invalid, "LINK_INVALID", "the link was used; ask for another", nil)
			}
			if err != nil {
				return person.Effects{}, err
			}
			return change(u)
		})
		return err
	})
}

// letterLease is how long a letter is left alone after somebody began to send it, times the number of tries.
const letterLease = time.Minute

// TakeLetters answers letters that are due at now; they are due again later, unless they are dropped.
func (p *People) TakeLetters(ctx context.Context, now time.Time, limit int) (letters []person.Letter, err error) {
	rows, err := p.db.Worker.Query(ctx, `UPDATE letters l SET attempts = attempts + 1, due_time = $1::timestamptz + least(attempts + 1, 30) * $3::interval
		FROM (SELECT tenant_id, letter_id FROM letters WHERE due_time <= $1 AND expire_time > $1 ORDER BY due_time LIMIT $2 FOR UPDATE SKIP LOCKED) d
		WHERE l.tenant_id = d.tenant_id AND l.letter_id = d.letter_id
		RETURNING l.letter_id, l.tenant_id, l.sealed, l.due_time, l.expire_time`, now, limit, letterLease)
	if err != nil {
		return nil, postgres.Map(err)
	}
	letters, err = pgx.CollectRows(rows, pgx.RowToStructByPos[person.Letter])
	return letters, postgres.Map(err)
}

// DropLetter forgets a letter.
func (p *People) DropLetter(ctx context.Context, l *person.Letter) error {
	_, err := p.db.Worker.Exec(ctx, `DELETE FROM letters WHERE tenant_id = $1 AND letter_id = $2`, l.Tenant, l.ID)
	return postgres.Map(err)
}

// attemptsKept is how long login attempts are kept: CERT-In's directions of 28 April 2022, (iv), ask for logs of 180 days.
const attemptsKept = 180 * 24 * time.Hour

// PurgePeople deletes up to rows rows of each kind that say nothing any more, and answers whether there may be more.
func (p *People) PurgePeople(ctx context.Context, now time.Time, rows int) (more bool, err error) {
	for _, purge := range []struct {
		table, key, old string
		before          time.Time
	}{
		{"sessions", "session_id", "expire_time", now},
		{"sessions", "session_id", "last_use_time", now.Add(-person.IdleLimit)},
		{"password_links", "link_id", "expire_time", now},
		{"federated_logins", "state_id", "expire_time", now},
		{"letters", "tenant_id, letter_id", "expire_time", now},
		{"login_failures", "account, network, kind", "try_time", now.Add(-person.Forgotten)},
		{"login_attempts", "tenant_id, attempt_id", "attempt_time", now.Add(-attemptsKept)},
	} {
		tag, err := p.db.Worker.Exec(ctx, `DELETE FROM `+purge.table+` WHERE (`+purge.key+`) IN (SELECT `+purge.key+` FROM `+purge.table+
			` WHERE `+purge.old+` < $1 ORDER BY `+purge.key+` LIMIT $2 FOR UPDATE SKIP LOCKED)`, purge.before, rows)
		if err != nil {
			return false, postgres.Map(err)
		}
		more = more || tag.RowsAffected() == int64(rows)
	}
	return more, nil
}
