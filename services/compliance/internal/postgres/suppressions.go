package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
)

// Suppress puts recipients on the tenant's list, those that are on it anew; it answers how many were not.
func (s *Store) Suppress(ctx context.Context, at consent.Place, author consent.Author, list []consent.Suppression) (added int, err error) {
	err = s.changeWishes(ctx, at, author, func(l *ledger) error {
		added, err = l.suppress(ctx, list)
		return err
	})
	return added, err
}

func (l *ledger) suppress(ctx context.Context, list []consent.Suppression) (added int, err error) {
	list = distinctSuppressions(list)
	n := len(list)
	recipients, all, reasons, expire := make([][]byte, n), make([]bool, n), make([]string, n), make([]*time.Time, n)
	beyond := false
	for i := range list {
		s := &list[i]
		recipients[i], all[i], reasons[i], expire[i] = s.Recipient[:], s.All, s.Reason, optional(s.Expires)
		beyond = beyond || s.All
		l.wishes = append(l.wishes, &compliancev1.Wish{RecipientIndex: slices.Clone(s.Recipient[:]), Kind: "SUPPRESSED", Restricts: true, AllCategories: s.All})
	}
	err = l.QueryRow(ctx, `WITH put AS (INSERT INTO suppressions AS s (tenant_id, env, recipient, all_categories, reason, expire_time, actor, create_time)
			SELECT $1, $2, u.*, $3, $4 FROM unnest($5::bytea[], $6::boolean[], $7::text[], $8::timestamptz[]) u
			ON CONFLICT (tenant_id, env, recipient) DO UPDATE SET all_categories = excluded.all_categories, reason = excluded.reason,
				expire_time = excluded.expire_time, actor = excluded.actor
			RETURNING xmax = 0 AS fresh)
		SELECT count(*) FILTER (WHERE fresh) FROM put`, l.Tenant, l.Env, l.author.Actor, l.now, recipients, all, reasons, expire).Scan(&added)
	if err == nil && beyond {
		err = l.beyondPromotion(ctx)
	}
	return added, err
}

// distinctSuppressions are sorted by recipient, the last entry of each.
func distinctSuppressions(list []consent.Suppression) []consent.Suppression {
	list = slices.Clone(list)
	slices.Reverse(list)
	slices.SortStableFunc(list, func(a, b consent.Suppression) int { return slices.Compare(a.Recipient[:], b.Recipient[:]) })
	return slices.CompactFunc(list, func(a, b consent.Suppression) bool { return a.Recipient == b.Recipient })
}

// Unsuppress takes recipients off the tenant's list; it answers how many were on it.
func (s *Store) Unsuppress(ctx context.Context, at consent.Place, author consent.Author, recipients [][16]byte) (removed int, err error) {
	err = s.changeWishes(ctx, at, author, func(l *ledger) error {
		removed = 0
		list := make([][]byte, len(recipients))
		for i := range recipients {
			list[i] = recipients[i][:]
		}
		rows, err := l.Query(ctx, `DELETE FROM suppressions WHERE tenant_id = $1 AND env = $2 AND recipient = ANY ($3::bytea[]) RETURNING recipient`,
			at.Tenant, at.Env, list)
		if err != nil {
			return err
		}
		var index []byte
		_, err = pgx.ForEachRow(rows, []any{&index}, func() error {
			removed++
			l.wishes = append(l.wishes, &compliancev1.Wish{RecipientIndex: slices.Clone(index), Kind: "SUPPRESSION_REMOVED"})
			return nil
		})
		return err
	})
	return removed, err
}

// Suppressions answers a page of the tenant's list in the order of the hashes, those after one.
func (s *Store) Suppressions(ctx context.Context, at consent.Place, after []byte, limit int) (list []consent.Suppression, err error) {
	err = s.db.InTenant(ctx, at.Tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT recipient, all_categories, reason, actor, create_time, expire_time FROM suppressions
			WHERE tenant_id = $1 AND env = $2 AND recipient > coalesce($3::bytea, '') ORDER BY recipient LIMIT $4`, at.Tenant, at.Env, after, limit)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s consent.Suppression, err error) {
			var index []byte
			var expire *time.Time
			err = row.Scan(&index, &s.All, &s.Reason, &s.Actor, &s.Since, &expire)
			copy(s.Recipient[:], index)
			s.Expires = timeOf(expire)
			return s, err
		})
		return err
	})
	return list, err
}
