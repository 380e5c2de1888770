package postgres

import (
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/delivery"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/gsm"
)

// maxOutcomes is how many outcomes a parcel holds (design decision 2).
const maxOutcomes = 500

// eventOf names the event a kind is told by; kinds that are nobody's news have none.
var eventOf = map[delivery.Kind]string{
	delivery.Submitted:   "onlinesms.dispatch.v1.MessagesSubmitted",
	delivery.Failed:      "onlinesms.dispatch.v1.MessagesFailed",
	delivery.Unknown:     "onlinesms.dispatch.v1.MessagesUnknown",
	delivery.Returned:    "onlinesms.dispatch.v1.MessagesReturned",
	delivery.Expired:     "onlinesms.dispatch.v1.MessagesExpired",
	delivery.Delivered:   "onlinesms.dispatch.v1.MessagesDelivered",
	delivery.Undelivered: "onlinesms.dispatch.v1.MessagesUndelivered",
	delivery.Cancelled:   "onlinesms.dispatch.v1.MessagesCancelled",
}

// news gathers what a transaction has to tell, by tenant and event: single sends of one tenant share a parcel.
type news struct {
	newID  func() uuid.UUID
	groups map[group]*parcel
	order  []*parcel
}

type group struct {
	kind   delivery.Kind
	env    string
	lane   delivery.Lane
	tenant uuid.UUID
}

// parcel is an outgoing parcel being filled. causation and correlation hold only while all outcomes share them.
type parcel struct {
	group
	outcomes               []*dispatchv1.Outcome
	causation, correlation uuid.UUID
	mixed                  bool
	trace                  string
}

func (n *news) add(g group, o *dispatchv1.Outcome, causation, correlation uuid.UUID, trace string) {
	p := n.groups[g]
	if p == nil || len(p.outcomes) == maxOutcomes {
		if n.groups == nil {
			n.groups = map[group]*parcel{}
		}
		p = &parcel{group: g, causation: causation, correlation: correlation, trace: trace}
		n.groups[g] = p
		n.order = append(n.order, p)
	}
	p.mixed = p.mixed || p.causation != causation || p.correlation != correlation
	if p.trace == "" {
		p.trace = trace
	}
	p.outcomes = append(p.outcomes, o)
}

// result tells what became of a message at submit.
func (n *news) result(r *delivery.Result) {
	if eventOf[r.Kind] == "" || r.Kind == delivery.Cancelled { // told by Cancel
		return
	}
	m := r.Message
	o := &dispatchv1.Outcome{
		MessageId: m.ID[:], Round: m.Round, TimeUs: r.At.UnixMicro(), Route: m.Parcel.Route, OperatorCode: r.Code,
		Reason: reason(r.Reason, r.Segment),
	}
	if len(m.Text.Segments) > 0 {
		o.Encoding, o.Segments = m.Text.Alphabet.String(), uint32(m.Segments())
	}
	if r.Kind == delivery.Returned {
		o.DueTimeUs, o.ClearedParcelId = r.Due.UnixMicro(), m.Parcel.ID[:]
	}
	g := group{r.Kind, m.Parcel.Env, m.Parcel.Lane, m.Parcel.Tenant}
	n.add(g, o, m.Parcel.ID, m.Parcel.Correlation, m.Parcel.Trace)
}

// receipt tells what an operator's receipt means for its message; outcome is zero when it decides nothing.
func (n *news) receipt(m *matched, outcome delivery.Kind) {
	if eventOf[outcome] == "" {
		return
	}
	r, u := &m.receipt, &m.sub
	o := &dispatchv1.Outcome{
		MessageId: u.message[:], Round: u.round, TimeUs: r.Received.UnixMicro(), DoneTimeUs: r.Done.UnixMicro(), Route: u.route, OperatorCode: r.Code,
		Encoding: encodingName(u.coding), Segments: uint32(u.segments), ReceiptHash: r.Hash[:],
	}
	if outcome != delivery.Delivered {
		segment := 0
		if u.segments > 1 {
			segment = u.segment
		}
		o.Reason = reason(r.Reason, segment)
	}
	n.add(group{outcome, u.env, u.lane, u.tenant}, o, uuid.Nil, uuid.Nil, "")
}

// encodingName is the alphabet of an SMPP data_coding, as events name it.
func encodingName(coding byte) string {
	if coding == gsm.UCS2.DataCoding() {
		return gsm.UCS2.String()
	}
	return gsm.GSM7.String()
}

// reason makes a reason; segment is 1-based, zero for a message of one.
func reason(code string, segment int) *typev1.Reason {
	if code == "" {
		return nil
	}
	r := &typev1.Reason{Code: code, Detail: details[code]}
	if segment > 0 {
		r.Metadata = map[string]string{"segment": strconv.Itoa(segment)}
	}
	return r
}

// details are sentences for the sender. Reasons that come from an operator's table are explained by the catalogue.
var details = map[string]string{
	delivery.ReasonUnanswered:   "The operator's answer was lost. A receipt may still settle it; it is not submitted again.",
	delivery.ReasonRefused:      "The operator refused it; operator_code holds its own code.",
	delivery.ReasonUnavailable:  "The operator cannot take messages now.",
	delivery.ReasonUndelivered:  "The operator reports that it will not arrive.",
	delivery.ReasonOpExpired:    "The operator could not deliver it within its validity.",
	delivery.ReasonPromoWindow:  "Promotional messages go out between 10:00 and 21:00 IST only.",
	delivery.ReasonOptedOut:     "Its recipient changed their mind after it was cleared; it is decided anew.",
	delivery.ReasonExpired:      "Its validity ended before it could be submitted.",
	delivery.ReasonUnreadable:   "Its content cannot be opened; the key may have been destroyed.",
	delivery.ReasonUnencodable:  "Its text or an identifier cannot be written as a short message.",
	delivery.ReasonTooManyParts: "It has more segments than the operator's window takes.",
}

// parcels encodes what was gathered. Outcomes that do not share one origin get the parcel's own id as correlation.
func (n *news) parcels() ([]eventbus.Parcel, error) {
	list := make([]eventbus.Parcel, 0, len(n.order))
	for _, p := range n.order {
		id := n.newID()
		wire := &dispatchv1.OutcomeParcel{ParcelId: id[:], TenantId: p.tenant[:], CorrelationId: id[:], Outcomes: p.outcomes}
		if !p.mixed && p.causation != uuid.Nil {
			wire.CausationId, wire.CorrelationId = p.causation[:], p.correlation[:]
		}
		payload, err := proto.Marshal(wire)
		if err != nil {
			return nil, fmt.Errorf("outcomes not encoded: %w", err)
		}
		list = append(list, eventbus.Parcel{
			ID: id, Tenant: p.tenant, Subject: eventbus.Subject(eventOf[p.kind], p.env, p.lane.String()),
			Entries: len(p.outcomes), Payload: payload, Trace: p.trace,
		})
	}
	return list, nil
}
