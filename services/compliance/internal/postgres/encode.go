package postgres

import (
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// Events that carry the outcomes.
const (
	eventCleared   = "onlinesms.compliance.v1.MessagesCleared"
	eventRefused   = "onlinesms.compliance.v1.MessagesRefused"
	eventHeld      = "onlinesms.compliance.v1.MessagesHeld"
	eventCancelled = "onlinesms.compliance.v1.MessagesCancelled"
)

func (s *Store) encodeAll(screened []screening.Screened) ([]record, error) {
	records := make([]record, 0, len(screened))
	for i := range screened {
		if len(screened[i].Messages) == 0 {
			continue
		}
		r, err := s.encode(&screened[i])
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// encode makes the rows and parcels of one screened parcel.
func (s *Store) encode(p *screening.Screened) (record, error) {
	decided := row{parcel: screening.Accepted(p.Messages[0].ID), env: p.Env, pack: p.Pack, at: p.At, entries: appendEntries(nil, p)}
	r := record{source: p.ID, screened: p, decision: decisionRow{row: decided, id: s.newID(), tenant: p.Tenant}}
	digest := decided.digest(p.Tenant)
	for i := range p.Verdicts {
		r.outcomes[p.Verdicts[i].Outcome]++
	}
	if n := r.outcomes[policy.Cleared]; n > 0 {
		out, err := s.cleared(p, n, digest[:])
		if err := r.add(out, err); err != nil {
			return r, err
		}
		r.decision.cleared = &out.ID
	}
	if n := r.outcomes[policy.Refused]; n > 0 {
		if err := r.add(s.refused(p, n, digest[:])); err != nil {
			return r, err
		}
	}
	if n := r.outcomes[policy.Held]; n > 0 {
		out, err := s.held(p, n, digest[:])
		if err := r.add(out, err); err != nil {
			return r, err
		}
		if r.holds, err = s.holds(p, out.ID); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (r *record) add(out eventbus.Parcel, err error) error {
	r.outgoing = append(r.outgoing, out)
	return err
}

// parcel encodes an outgoing parcel.
func (s *Store) parcel(p *screening.Screened, id uuid.UUID, event string, entries int, m proto.Message) (eventbus.Parcel, error) {
	payload, err := proto.Marshal(m)
	return eventbus.Parcel{ID: id, Tenant: p.Tenant, Subject: eventbus.Subject(event, p.Env, p.Lane), Entries: entries,
		Payload: payload, Trace: p.Trace}, err
}

func (s *Store) cleared(p *screening.Screened, n int, digest []byte) (eventbus.Parcel, error) {
	id := s.newID()
	room := make([]compliancev1.ClearedMessage, n) // one allocation for all
	messages := make([]*compliancev1.ClearedMessage, 0, n)
	for i := range p.Messages {
		v, m := &p.Verdicts[i], &p.Messages[i]
		if v.Outcome != policy.Cleared {
			continue
		}
		c := &room[len(messages)]
		c.MessageId, c.EntityId, c.Header, c.TemplateId = m.ID[:], m.EntityID, m.Header, m.TemplateID
		c.Content, c.RecipientIndex, c.ExpireTimeUs = m.Content, m.RecipientIndex, m.Expire
		c.ChainHash, c.Category, c.Round = v.ChainHash, typev1.Category(v.Category), v.Round
		messages = append(messages, c)
	}
	return s.parcel(p, id, eventCleared, n, &compliancev1.ClearedParcel{ParcelId: id[:], TenantId: p.Tenant[:],
		CorrelationId: p.Correlation[:], CausationId: p.ID[:], Messages: messages, DecideTimeUs: p.At.UnixMicro(), RulePack: p.Pack,
		DecisionDigest: digest})
}

func (s *Store) refused(p *screening.Screened, n int, digest []byte) (eventbus.Parcel, error) {
	id := s.newID()
	messages := make([]*compliancev1.RefusedMessage, 0, n)
	for i := range p.Messages {
		if v := &p.Verdicts[i]; v.Outcome == policy.Refused {
			messages = append(messages, &compliancev1.RefusedMessage{MessageId: p.Messages[i].ID[:], Round: v.Round,
				Reasons: encodeReasons(v.Reasons)})
		}
	}
	return s.parcel(p, id, eventRefused, n, &compliancev1.RefusedParcel{ParcelId: id[:], TenantId: p.Tenant[:],
		CorrelationId: p.Correlation[:], CausationId: p.ID[:], Messages: messages, DecideTimeUs: p.At.UnixMicro(), RulePack: p.Pack,
		DecisionDigest: digest})
}

func (s *Store) held(p *screening.Screened, n int, digest []byte) (eventbus.Parcel, error) {
	id := s.newID()
	messages := make([]*compliancev1.HeldMessage, 0, n)
	for i := range p.Messages {
		if v := &p.Verdicts[i]; v.Outcome == policy.Held {
			messages = append(messages, &compliancev1.HeldMessage{MessageId: p.Messages[i].ID[:], Round: v.Round,
				DueTimeUs: v.Due.UnixMicro(), Reason: encodeReasons(v.Reasons[:1])[0]})
		}
	}
	return s.parcel(p, id, eventHeld, n, &compliancev1.HeldParcel{ParcelId: id[:], TenantId: p.Tenant[:],
		CorrelationId: p.Correlation[:], CausationId: p.ID[:], Messages: messages, DecideTimeUs: p.At.UnixMicro(), RulePack: p.Pack,
		DecisionDigest: digest})
}

// holds makes one row for each due time and round among the held messages.
func (s *Store) holds(p *screening.Screened, parcel uuid.UUID) ([]holdRow, error) {
	type key struct {
		due   time.Time
		round uint32
	}
	groups := map[key]*ingestv1.AcceptedParcel{}
	var order []key
	for i := range p.Messages {
		v, m := &p.Verdicts[i], &p.Messages[i]
		if v.Outcome != policy.Held {
			continue
		}
		k := key{v.Due, v.Round}
		if groups[k] == nil {
			groups[k] = &ingestv1.AcceptedParcel{}
			order = append(order, k)
		}
		groups[k].Messages = append(groups[k].Messages, &ingestv1.AcceptedMessage{MessageId: m.ID[:], EntityId: m.EntityID,
			Header: m.Header, TemplateId: m.TemplateID, Content: m.Content, RecipientIndex: m.RecipientIndex,
			ExpireTimeUs: m.Expire, ScheduleTimeUs: m.Schedule})
	}
	rows := make([]holdRow, 0, len(order))
	for _, k := range order {
		payload, err := proto.Marshal(groups[k])
		if err != nil {
			return nil, err
		}
		rows = append(rows, holdRow{id: s.newID(), tenant: p.Tenant, parcel: parcel, correlation: p.Correlation, env: p.Env,
			accepted: screening.Accepted(p.Messages[0].ID), scheduled: scheduled(groups[k].Messages, p.At), lane: p.Lane,
			trace: p.Trace, due: k.due, round: int32(k.round), messages: int32(len(groups[k].Messages)), payload: payload})
	}
	return rows, nil
}

// scheduled is the earliest schedule after now among held messages; nil when none waits for one.
func scheduled(messages []*ingestv1.AcceptedMessage, now time.Time) *time.Time {
	var first *time.Time
	for _, m := range messages {
		at := time.UnixMicro(m.GetScheduleTimeUs())
		if m.GetScheduleTimeUs() != 0 && at.After(now) && (first == nil || at.Before(*first)) {
			first = &at
		}
	}
	return first
}

func encodeReasons(reasons []policy.Reason) []*typev1.Reason {
	out := make([]*typev1.Reason, len(reasons))
	for i, r := range reasons {
		out[i] = &typev1.Reason{Code: r.Code, Detail: r.Detail, Metadata: r.Metadata}
	}
	return out
}

func decodeHold(payload []byte, round uint32) ([]screening.Message, error) {
	var p ingestv1.AcceptedParcel
	if err := proto.Unmarshal(payload, &p); err != nil {
		return nil, err
	}
	return messagesOf(&p, round)
}

// messagesOf are the messages of a held parcel.
func messagesOf(p *ingestv1.AcceptedParcel, round uint32) ([]screening.Message, error) {
	messages := make([]screening.Message, len(p.GetMessages()))
	for i, m := range p.GetMessages() {
		id, err := uuid.FromBytes(m.GetMessageId())
		if err != nil {
			return nil, err
		}
		messages[i] = screening.Message{ID: id, EntityID: m.GetEntityId(), Header: m.GetHeader(), TemplateID: m.GetTemplateId(),
			Content: m.GetContent(), RecipientIndex: m.GetRecipientIndex(), Expire: m.GetExpireTimeUs(),
			Schedule: m.GetScheduleTimeUs(), Round: round}
	}
	return messages, nil
}

func decodeCleared(stored eventbus.Parcel) (screening.Parcel, error) {
	var c compliancev1.ClearedParcel
	if err := proto.Unmarshal(stored.Payload, &c); err != nil {
		return screening.Parcel{}, err
	}
	p := screening.Parcel{ID: stored.ID, Tenant: stored.Tenant, Messages: make([]screening.Message, len(c.GetMessages()))}
	_, p.Env, p.Lane, _ = eventbus.ParseSubject(stored.Subject)
	for i, m := range c.GetMessages() {
		id, err := uuid.FromBytes(m.GetMessageId())
		if err != nil {
			return p, err
		}
		p.Messages[i] = screening.Message{ID: id, EntityID: m.GetEntityId(), Header: m.GetHeader(), TemplateID: m.GetTemplateId(),
			Content: m.GetContent(), RecipientIndex: m.GetRecipientIndex(), Expire: m.GetExpireTimeUs(), Round: m.GetRound()}
	}
	return p, nil
}
