package screening

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/internal/msisdn"
)

// MaxDrafts is how many messages are previewed at once: as many as a batch sends.
const MaxDrafts = 1000

// Draft is a message that is not sent. Its number may be written in any form msisdn.Parse reads.
type Draft struct {
	EntityID, Header, TemplateID string
	Content                      Content
	Expire, Schedule             time.Time // zero: none
}

// Preview is what would become of a draft.
type Preview struct {
	Verdict
	Pack string
	At   time.Time
	To   string // in E.164; empty when it is no Indian mobile number
	Text string // as it would go out; empty when it cannot be rendered
}

// Preview decides drafts of a tenant as Decide would decide them as messages, by the pack given and as of a time, without
// any effect: nothing is recorded, sealed, sent or counted as used. pack nil and a zero time stand for those in force.
// There are at most MaxDrafts.
func (s *Screener) Preview(ctx context.Context, tenant uuid.UUID, env string, drafts []Draft, pack *policy.Pack, at time.Time) ([]Preview, error) {
	if at.IsZero() {
		at = s.cfg.Now()
	}
	if pack == nil {
		pack = s.cfg.Packs.At(at)
	}
	parcel := Parcel{ID: uuid.Nil, Tenant: tenant, Env: env, Messages: make([]Message, len(drafts))}
	for i := range drafts {
		from := &drafts[i]
		m := Message{EntityID: from.EntityID, Header: from.Header, TemplateID: from.TemplateID, Expire: micros(from.Expire),
			Schedule: micros(from.Schedule)}
		m.ID[14], m.ID[15] = byte(i>>8), byte(i)
		parcel.Messages[i] = m
	}
	previews := make([]Preview, len(drafts))
	d := s.decider(pack, at)
	d.opener = plain(drafts)
	d.examined = func(i int, v *Verdict) {
		previews[i] = Preview{Verdict: *v, Pack: pack.Version, At: d.now, Text: d.content.Text}
		if d.facts.Mobile {
			previews[i].To = d.content.To
		}
	}
	_, err := s.decide(ctx, d, []Parcel{parcel})
	return previews, err
}

// Packs are the rule packs it decides by.
func (s *Screener) Packs() policy.Packs { return s.cfg.Packs }

// plain are the contents of drafts: nothing is sealed, so nothing is opened.
type plain []Draft

// Open gives the number the form ingest gives it.
func (p plain) Open(_ context.Context, _ *Parcel, m *Message, c *Content) error {
	from := &p[Index(m.ID)].Content
	c.To, c.Text, c.Values = from.To, from.Text, append(c.Values[:0], from.Values...)
	if e164, ok := msisdn.E164(from.To); ok {
		c.To = e164
	}
	return nil
}

// Reseal implements Contents: there is nothing to seal.
func (plain) Reseal(context.Context, *Parcel, *Message, *Content) ([]byte, error) { return nil, nil }

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
