package api

import (
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
)

// outgoing is what SendMessageRequest and OutgoingMessage have in common.
type outgoing interface {
	GetTo() string
	GetEntityId() string
	GetHeader() string
	GetTemplateId() string
	GetText() string
	GetVariables() []*ingestv1.Variable
	GetClientReference() string
	GetValidityPeriod() *durationpb.Duration
	GetScheduleTime() *timestamppb.Timestamp
}

// farFuture stands for a timestamp that is out of protobuf's range; message.New refuses it.
var farFuture = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

func draftOf(m outgoing) message.Draft {
	d := message.Draft{
		To: m.GetTo(), EntityID: m.GetEntityId(), Header: m.GetHeader(), TemplateID: m.GetTemplateId(),
		Text: m.GetText(), ClientReference: m.GetClientReference(),
	}
	for _, v := range m.GetVariables() {
		d.Variables = append(d.Variables, message.Variable{Name: v.GetName(), Value: v.GetValue()})
	}
	if v := m.GetValidityPeriod(); v != nil {
		validity := v.AsDuration() // saturates, so that what is out of range stays so
		d.Validity = &validity
	}
	if s := m.GetScheduleTime(); s != nil {
		d.Schedule = s.AsTime()
		if !s.IsValid() {
			d.Schedule = farFuture
		}
	}
	return d
}

func toSendResponse(r *message.Receipt) *ingestv1.SendMessageResponse {
	return &ingestv1.SendMessageResponse{
		MessageId: r.ID.String(), State: typev1.MessageState(r.State), Reasons: toReasons(r.Reasons),
	}
}

func toReasons(from []message.Reason) []*typev1.Reason {
	var to []*typev1.Reason
	for _, r := range from {
		to = append(to, &typev1.Reason{Code: r.Code, Detail: r.Detail, Metadata: r.Metadata})
	}
	return to
}

func toSummary(m *message.Summary) *ingestv1.MessageSummary {
	return &ingestv1.MessageSummary{
		MessageId: m.ID.String(), State: typev1.MessageState(m.Standing.State), ClientReference: m.ClientReference,
		TemplateId: m.TemplateID, Header: m.Header, AcceptTime: timestamppb.New(m.Accept),
	}
}

// toGetResponse is all of d but its content.
func toGetResponse(d *message.Detail) *ingestv1.GetMessageResponse {
	resp := &ingestv1.GetMessageResponse{
		MessageId: d.ID.String(), State: typev1.MessageState(d.Standing.State),
		EntityId: d.EntityID, Header: d.Header, TemplateId: d.TemplateID, ClientReference: d.ClientReference,
		Lane: d.Lane, AcceptTime: timestamppb.New(d.Accept), ExpireTime: timestamppb.New(d.Expire), ScheduleTime: toTime(d.Schedule),
	}
	resp.Timeline = append(resp.Timeline, &ingestv1.TimelineEntry{
		Event: "ACCEPTED", State: typev1.MessageState_ACCEPTED, Time: resp.GetAcceptTime(),
	})
	for _, e := range timeline(d.Events) {
		resp.Timeline = append(resp.Timeline, &ingestv1.TimelineEntry{
			Event: e.Kind.Word(), State: typev1.MessageState(e.Kind.State()), Time: toTime(e.Time),
			Reasons: toReasons(e.Reasons), DueTime: toTime(e.Due), OperatorCode: e.OperatorCode,
			OperatorTime: toTime(e.OperatorTime),
		})
		if e.Round == d.Standing.Round && e.Kind.State() == d.Standing.State {
			resp.Reasons = toReasons(e.Reasons)
		}
		if e.Encoding != "" {
			resp.Encoding, resp.SegmentCount = e.Encoding, uint32(e.Segments)
		}
	}
	return resp
}

func toTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// timeline puts events in the order in which they follow from one another: round, rank, and only then time, because
// times are of the clocks of several services. Of several of one kind and round the earliest stays.
func timeline(events []message.Event) []message.Event {
	sorted := slices.SortedFunc(slices.Values(events), func(a, b message.Event) int {
		return cmp.Or(cmp.Compare(a.Round, b.Round), cmp.Compare(rank(a.Kind), rank(b.Kind)), cmp.Compare(a.Kind, b.Kind), a.Time.Compare(b.Time))
	})
	return slices.CompactFunc(sorted, func(a, b message.Event) bool { return a.Round == b.Round && a.Kind == b.Kind })
}

// rank is the rank of a kind's state; a return has none and stands behind the clearance it undoes.
func rank(k message.Kind) message.State {
	if k == message.KindReturned {
		return message.StateQueued
	}
	return k.State()
}
