package screening

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/complaint"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

// Wishes answers what recipients have said to a tenant, and what the tenant has chosen.
type Wishes interface {
	// Said answers for each message asked about, in order: one round trip for all of a pack. A wish counts from its commit,
	// wherever it was recorded.
	Said(ctx context.Context, asked []Asked, now time.Time) ([]Said, error)
}

// Asked is a message as far as wishes about it matter.
type Asked struct {
	Tenant                   uuid.UUID
	Env                      string
	Recipient                []byte // keyed hash of the number, 16 bytes
	Entity, Header, Template string
	Promotion                bool // it needs an answer on consent; else only what concerns all messages matters
}

// Said is what is known about the wishes that concern a message.
type Said struct {
	Consent         policy.Consent // None where none was asked for
	OptedOut        bool
	Suppressed      bool
	ConsentRequired bool
	Complaints      complaint.Standing
}

// ask asks about all messages of parcels at once. While there is no answer consent is away: promotion waits, and the other
// categories go on.
func (s *Screener) ask(ctx context.Context, parcels []Parcel, pack *policy.Pack, now time.Time) ([]Said, error) {
	if s.cfg.Wishes == nil {
		return nil, nil
	}
	var asked []Asked
	for i := range parcels {
		p := &parcels[i]
		snapshot := s.cfg.Registry.Snapshot(p.Tenant)
		for j := range p.Messages {
			m := &p.Messages[j]
			a := Asked{Tenant: p.Tenant, Env: p.Env, Recipient: m.RecipientIndex, Entity: m.EntityID, Header: m.Header, Template: m.TemplateID}
			if t := snapshot.Template(m.TemplateID); t != nil {
				a.Promotion = needsConsent(pack, t.Category)
			}
			asked = append(asked, a)
		}
	}
	said, err := s.cfg.Wishes.Said(ctx, asked, now)
	if err == nil || ctx.Err() != nil {
		return said, err
	}
	slog.WarnContext(ctx, "consents and opt-outs cannot be asked for; promotion waits", slog.String("error", err.Error()))
	said = make([]Said, len(asked))
	for i := range said {
		said[i].Consent = policy.ConsentAway
	}
	return said, nil
}

// needsConsent tells whether messages of a category need an answer on consent; service, transactional and government
// messages are never scrubbed (TCCCPR 2018, Schedule II).
func needsConsent(pack *policy.Pack, c policy.Category) bool {
	switch pack.Effective(c) {
	case policy.Promotional, policy.ServiceExplicit:
		return true
	case policy.Transactional:
		return pack.Transaction.Consent
	}
	return false
}

// into puts an answer among the facts, beside what is known there already.
func (a *Said) into(f *policy.Facts) {
	f.Consent, f.OptedOut, f.Suppressed = a.Consent, f.OptedOut || a.OptedOut, f.Suppressed || a.Suppressed
	f.ConsentRequired, f.Complaints = a.ConsentRequired, a.Complaints
}
