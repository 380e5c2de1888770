package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/content"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/outbox"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
)

// EventContentPolicyChanged tells replicas and the audit log of a tenant's new policy.
const EventContentPolicyChanged = "onlinesms.compliance.v1.ContentPolicyChanged"

// rule is a content.Rule as stored: kinds and categories by name, since their numbers may change.
type rule struct {
	Kind       string     `json:"kind"`
	Categories []string   `json:"categories,omitempty"`
	Action     string     `json:"action"`
	Until      *time.Time `json:"until,omitempty"`
}

// ContentPolicy answers a tenant's policy; version 0 for a tenant without one.
func (s *Store) ContentPolicy(ctx context.Context, tenant uuid.UUID) (c content.Stored, err error) {
	err = s.db.InTenant(ctx, tenant, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT tenant_id, version, rules, actor, update_time FROM content_policies`)
		if err != nil {
			return err
		}
		all, err := pgx.CollectRows(rows, decodePolicy)
		if err == nil && len(all) > 0 {
			c = all[0]
		}
		return err
	})
	return c, err
}

// ContentPolicies answers the policies of all tenants.
func (s *Store) ContentPolicies(ctx context.Context) ([]content.Stored, error) {
	rows, err := s.db.Worker.Query(ctx, `SELECT tenant_id, version, rules, actor, update_time FROM content_policies`)
	if err != nil {
		return nil, postgres.Map(err)
	}
	all, err := pgx.CollectRows(rows, decodePolicy)
	return all, postgres.Map(err)
}

// SetContentPolicy puts a tenant's policy and announces it. With a version other than 0 it is refused (errs.Exists) when
// another change came between.
func (s *Store) SetContentPolicy(ctx context.Context, c content.Stored) (content.Stored, error) {
	rules, err := encodeRules(c.Policy)
	if err != nil {
		return c, err
	}
	expected := c.Version
	c.Updated = s.now()
	var announced eventbus.Parcel
	err = postgres.InTx(ctx, s.db.Worker, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `INSERT INTO content_policies AS p (tenant_id, version, rules, actor, update_time)
			SELECT $1, 1, $2, $3, $4 WHERE $5::bigint = 0 OR EXISTS (SELECT FROM content_policies WHERE tenant_id = $1)
			ON CONFLICT (tenant_id) DO UPDATE SET version = p.version + 1, rules = $2, actor = $3, update_time = $4
				WHERE $5::bigint = 0 OR p.version = $5 RETURNING version`, c.Tenant, rules, c.Actor, c.Updated, expected).Scan(&c.Version)
		if errors.Is(err, pgx.ErrNoRows) {
			return errs.E(errs.Exists, "VERSION_CONFLICT", "The policy was changed meanwhile; read it again.", nil)
		}
		if err != nil {
			return err
		}
		id := s.newID()
		announced, err = control(EventContentPolicyChanged, id, c.Tenant, 1, &compliancev1.ContentPolicyParcel{ParcelId: id[:],
			TenantId: c.Tenant[:], CorrelationId: id[:], Version: c.Version, Actor: c.Actor, Rules: string(rules)})
		if err != nil {
			return err
		}
		return outbox.Append(ctx, tx, announced)
	})
	if err != nil {
		return c, err
	}
	s.publish(announced)
	return c, nil
}

func encodeRules(p content.Policy) ([]byte, error) {
	rules := make([]rule, len(p))
	for i, r := range p {
		rules[i] = rule{Kind: r.Kind.String(), Action: r.Action.String(), Until: optional(r.Until)}
		for _, c := range r.Categories {
			rules[i].Categories = append(rules[i].Categories, c.String())
		}
	}
	return json.Marshal(rules)
}

func decodePolicy(row pgx.CollectableRow) (c content.Stored, err error) {
	var raw []byte
	if err := row.Scan(&c.Tenant, &c.Version, &raw, &c.Actor, &c.Updated); err != nil {
		return c, err
	}
	var rules []rule
	if err := json.Unmarshal(raw, &rules); err != nil {
		return c, err
	}
	for _, r := range rules {
		decoded, err := r.decode()
		if err != nil {
			return c, err
		}
		c.Policy = append(c.Policy, decoded)
	}
	return c, nil
}

func (r rule) decode() (out content.Rule, err error) {
	if out.Kind, err = content.ParseKind(r.Kind); err != nil {
		return out, err
	}
	if out.Action, err = content.ParseAction(r.Action); err != nil {
		return out, err
	}
	for _, name := range r.Categories {
		c, err := policy.ParseCategory(name)
		if err != nil {
			return out, err
		}
		out.Categories = append(out.Categories, c)
	}
	if r.Until != nil {
		out.Until = *r.Until
	}
	return out, nil
}
