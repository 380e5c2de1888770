package postgres

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/complaint"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
)

// scarceFor is how old an answer on what few tenants have may be: complaints, and wishes beyond promotion. All else is read
// for every pack, so that a wish counts from its commit.
const scarceFor = 500 * time.Millisecond

// Wishes is screening.Wishes on PostgreSQL.
type Wishes struct {
	s *Store

	mu     sync.Mutex
	scarce *scarce
	read   time.Time
}

// NewWishes makes it.
func NewWishes(s *Store) *Wishes { return &Wishes{s: s} }

var _ screening.Wishes = (*Wishes)(nil)

// scarce is what few tenants have.
type scarce struct {
	beyond    map[consent.Place]bool
	standings map[entityOf]complaint.Standing
}

type entityOf struct {
	consent.Place
	entity string
}

// whom is a recipient of a place.
type whom struct {
	consent.Place
	recipient [16]byte
}

// pack is what is known of the recipients of a pack.
type pack struct {
	records    map[whom][]consent.Record
	optOuts    map[whom][]consent.OptOut
	suppressed map[whom]consent.Suppression
	purposes   map[entityOf]string // by template
	required   map[consent.Place]bool
}

// Said implements screening.Wishes.
func (w *Wishes) Said(ctx context.Context, asked []screening.Asked, now time.Time) ([]screening.Said, error) {
	few, err := w.few(ctx, now)
	if err != nil {
		return nil, err
	}
	var q question
	for i := range asked {
		a := &asked[i]
		if at := (consent.Place{Tenant: a.Tenant, Env: a.Env}); a.Promotion || few.beyond[at] {
			q.add(at, a)
		}
	}
	p, err := w.s.answer(ctx, &q)
	if err != nil {
		return nil, err
	}
	said := make([]screening.Said, len(asked))
	for i := range asked {
		a, at := &asked[i], consent.Place{Tenant: asked[i].Tenant, Env: asked[i].Env}
		if len(few.standings) > 0 {
			said[i].Complaints = few.standings[entityOf{at, a.Entity}]
		}
		said[i].Consent = policy.ConsentNone
		if p != nil && (a.Promotion || few.beyond[at]) {
			p.say(&said[i], at, a, now)
		}
	}
	return said, nil
}

// few is what few tenants have, at most scarceFor old.
func (w *Wishes) few(ctx context.Context, now time.Time) (*scarce, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if age := time.Since(w.read); !w.read.IsZero() && age < scarceFor {
		return w.scarce, nil
	}
	next := &scarce{map[consent.Place]bool{}, map[entityOf]complaint.Standing{}}
	rows, err := w.s.db.Worker.Query(ctx, `SELECT tenant_id, env, '', 0 FROM wishes_beyond_promotion UNION ALL
		SELECT tenant_id, env, entity_id, count(DISTINCT recipient) FROM complaints
		WHERE state <> 'REJECTED' AND complain_time > $1 AND complain_time <= $2 GROUP BY 1, 2, 3`, now.Add(-complaint.Window), now)
	if err != nil {
		return nil, err
	}
	var of entityOf
	var n int
	_, err = pgx.ForEachRow(rows, []any{&of.Tenant, &of.Env, &of.entity, &n}, func() error {
		if of.entity == "" {
			next.beyond[of.Place] = true
		} else if standing := complaint.Of(n); standing != complaint.Good {
			next.standings[of] = standing
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	w.scarce, w.read = next, time.Now()
	return next, nil
}

// question is the recipients and templates of a pack, by column.
type question struct {
	tenants, places           []uuid.UUID
	envs, placeEnvs, template []string
	recipients                [][]byte
	seen                      map[entityOf]bool
	asked                     map[whom]bool
}

func (q *question) add(at consent.Place, a *screening.Asked) {
	if q.seen == nil {
		q.seen, q.asked = map[entityOf]bool{}, map[whom]bool{}
	}
	e := whom{Place: at}
	copy(e.recipient[:], a.Recipient)
	if !q.asked[e] {
		q.asked[e] = true
		q.tenants, q.envs, q.recipients = append(q.tenants, at.Tenant), append(q.envs, at.Env), append(q.recipients, a.Recipient)
	}
	if of := (entityOf{at, a.Template}); !q.seen[of] {
		q.seen[of] = true
		q.places, q.placeEnvs, q.template = append(q.places, at.Tenant), append(q.placeEnvs, at.Env), append(q.template, a.Template)
	}
}

// answer reads all of a pack in one round trip; nil when there is nothing to ask.
func (s *Store) answer(ctx context.Context, q *question) (*pack, error) {
	if len(q.recipients) == 0 {
		return nil, nil
	}
	p := &pack{records: map[whom][]consent.Record{}, optOuts: map[whom][]consent.OptOut{}, suppressed: map[whom]consent.Suppression{},
		purposes: map[entityOf]string{}, required: map[consent.Place]bool{}}
	const asked = ` JOIN unnest($1::uuid[], $2::text[], $3::bytea[]) q (tenant_id, env, recipient) USING (tenant_id, env, recipient)`
	var batch pgx.Batch
	batch.Queue(`SELECT tenant_id, env, recipient, entity_id, purpose, channel, basis, last_kind, expire_time, end_time FROM consents`+asked,
		q.tenants, q.envs, q.recipients).Query(p.scanRecords)
	batch.Queue(`SELECT tenant_id, env, recipient, scope, object_id, since FROM opt_outs`+asked+` WHERE lift_time IS NULL`,
		q.tenants, q.envs, q.recipients).Query(p.scanOptOuts)
	batch.Queue(`SELECT tenant_id, env, recipient, all_categories, expire_time FROM suppressions`+asked,
		q.tenants, q.envs, q.recipients).Query(p.scanSuppressions)
	batch.Queue(`SELECT tenant_id, env, template_id, purpose FROM template_purposes
		JOIN unnest($1::uuid[], $2::text[], $3::text[]) q (tenant_id, env, template_id) USING (tenant_id, env, template_id)`,
		q.places, q.placeEnvs, q.template).Query(p.scanPurposes)
	batch.Queue(`SELECT tenant_id, env FROM consent_policies WHERE policy = 'consent_required' AND tenant_id = ANY ($1::uuid[])`, q.places).Query(p.scanPolicies)
	return p, s.db.Worker.SendBatch(ctx, &batch).Close()
}

func (p *pack) scanRecords(rows pgx.Rows) error {
	var e whom
	var index []byte
	var expire, ended *time.Time
	var r consent.Record
	_, err := pgx.ForEachRow(rows, []any{&e.Tenant, &e.Env, &index, &r.Key.Entity, &r.Key.Purpose, &r.Key.Channel, &r.Key.Basis, &r.Last, &expire, &ended}, func() error {
		copy(e.recipient[:], index)
		r.Grant.Expires, r.Ended = timeOf(expire), timeOf(ended)
		p.records[e] = append(p.records[e], r)
		return nil
	})
	return err
}

func (p *pack) scanOptOuts(rows pgx.Rows) error {
	var e whom
	var index []byte
	var o consent.OptOut
	_, err := pgx.ForEachRow(rows, []any{&e.Tenant, &e.Env, &index, &o.Scope, &o.Object, &o.Since}, func() error {
		copy(e.recipient[:], index)
		p.optOuts[e] = append(p.optOuts[e], o)
		return nil
	})
	return err
}

func (p *pack) scanSuppressions(rows pgx.Rows) error {
	var e whom
	var index []byte
	var expire *time.Time
	var s consent.Suppression
	_, err := pgx.ForEachRow(rows, []any{&e.Tenant, &e.Env, &index, &s.All, &expire}, func() error {
		copy(e.recipient[:], index)
		s.Expires = timeOf(expire)
		p.suppressed[e] = s
		return nil
	})
	return err
}

func (p *pack) scanPurposes(rows pgx.Rows) error {
	var of entityOf
	var purpose string
	_, err := pgx.ForEachRow(rows, []any{&of.Tenant, &of.Env, &of.entity, &purpose}, func() error {
		p.purposes[of] = purpose
		return nil
	})
	return err
}

func (p *pack) scanPolicies(rows pgx.Rows) error {
	var at consent.Place
	_, err := pgx.ForEachRow(rows, []any{&at.Tenant, &at.Env}, func() error {
		p.required[at] = true
		return nil
	})
	return err
}

// say answers for one message.
func (p *pack) say(said *screening.Said, at consent.Place, a *screening.Asked, now time.Time) {
	e := whom{Place: at}
	copy(e.recipient[:], a.Recipient)
	of := slices.DeleteFunc(slices.Clone(p.records[e]), func(r consent.Record) bool { return r.Key.Entity != a.Entity })
	if s, ok := p.suppressed[e]; ok && s.At(now) {
		said.Suppressed = s.All || a.Promotion
	}
	if !a.Promotion {
		if consent.Contract(of, now) == consent.StateEnded {
			said.Consent = policy.ConsentEnded
		}
		return
	}
	said.ConsentRequired = p.required[at]
	said.OptedOut = slices.ContainsFunc(p.optOuts[e], func(o consent.OptOut) bool { return o.Covers(a.Entity, a.Header) })
	purpose := p.purposes[entityOf{at, a.Template}]
	if purpose == "" {
		purpose = consent.DefaultPurpose
	}
	switch consent.Promotion(of, purpose, now) {
	case consent.StateValid:
		said.Consent = policy.ConsentValid
	case consent.StateRevoked:
		said.Consent = policy.ConsentRevoked
	case consent.StateExpired:
		said.Consent = policy.ConsentExpired
	}
}

// Policy answers a tenant's choice of what makes promotion lawful.
func (s *Store) Policy(ctx context.Context, at consent.Place) (chosen string, err error) {
	err = s.db.InTenant(ctx, at.Tenant, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT coalesce((SELECT policy FROM consent_policies WHERE tenant_id = $1 AND env = $2), 'pref_or_consent')`,
			at.Tenant, at.Env).Scan(&chosen)
	})
	return chosen, err
}

// SetPolicy chooses it; packs decided from now on follow it.
func (s *Store) SetPolicy(ctx context.Context, at consent.Place, author consent.Author, chosen string) error {
	return s.changeWishes(ctx, at, author, func(l *ledger) error {
		l.wishes = append(l.wishes, &compliancev1.Wish{Kind: "POLICY_SET", ObjectId: chosen})
		_, err := l.Exec(ctx, `INSERT INTO consent_policies VALUES ($1, $2, $3) ON CONFLICT (tenant_id, env) DO UPDATE SET policy = excluded.policy`,
			at.Tenant, at.Env, chosen)
		return err
	})
}

// SetPurpose says what a template is for.
func (s *Store) SetPurpose(ctx context.Context, at consent.Place, author consent.Author, template, purpose string) error {
	return s.changeWishes(ctx, at, author, func(l *ledger) error {
		l.wishes = append(l.wishes, &compliancev1.Wish{Kind: "PURPOSE_SET", ObjectId: template, Purpose: purpose})
		_, err := l.Exec(ctx, `INSERT INTO template_purposes VALUES ($1, $2, $3, $4)
			ON CONFLICT (tenant_id, env, template_id) DO UPDATE SET purpose = excluded.purpose`, at.Tenant, at.Env, template, purpose)
		return err
	})
}
