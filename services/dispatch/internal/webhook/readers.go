package webhook

import (
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	feedv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/feed/v1"
	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
)

// reader appends the news of one parcel, from its bytes.
type reader func(dst []*feedv1.MessageUpdate, parcel []byte) ([]*feedv1.MessageUpdate, error)

// readers are the events that are a tenant's news.
var readers = map[string]reader{
	"onlinesms.ingest.v1.MessagesAccepted":    readAccepted,
	"onlinesms.compliance.v1.MessagesCleared": readCleared,
	"onlinesms.compliance.v1.MessagesRefused": readRefused,
	"onlinesms.compliance.v1.MessagesHeld":    readHeld,
}

func init() {
	for event, s := range state {
		readers[event] = readOutcomes(s)
	}
}

func update(id []byte, s typev1.MessageState, timeUs int64, reasons ...*typev1.Reason) *feedv1.MessageUpdate {
	message, _ := uuid.FromBytes(id) // a malformed id shows as zeros
	return &feedv1.MessageUpdate{
		MessageId: message.String(), State: s, Reasons: reasons,
		Time: &timestamppb.Timestamp{Seconds: timeUs / 1e6, Nanos: int32(timeUs % 1e6 * 1e3)},
	}
}

func readAccepted(dst []*feedv1.MessageUpdate, parcel []byte) ([]*feedv1.MessageUpdate, error) {
	p := &ingestv1.AcceptedParcel{}
	err := proto.Unmarshal(parcel, p)
	for _, m := range p.Messages {
		dst = append(dst, update(m.MessageId, typev1.MessageState_ACCEPTED, p.AcceptTimeUs))
	}
	return dst, err
}

func readCleared(dst []*feedv1.MessageUpdate, parcel []byte) ([]*feedv1.MessageUpdate, error) {
	p := &compliancev1.ClearedParcel{}
	err := proto.Unmarshal(parcel, p)
	for _, m := range p.Messages {
		dst = append(dst, update(m.MessageId, typev1.MessageState_QUEUED, p.DecideTimeUs))
	}
	return dst, err
}

func readRefused(dst []*feedv1.MessageUpdate, parcel []byte) ([]*feedv1.MessageUpdate, error) {
	p := &compliancev1.RefusedParcel{}
	err := proto.Unmarshal(parcel, p)
	for _, m := range p.Messages {
		dst = append(dst, update(m.MessageId, typev1.MessageState_REFUSED, p.DecideTimeUs, m.Reasons...))
	}
	return dst, err
}

func readHeld(dst []*feedv1.MessageUpdate, parcel []byte) ([]*feedv1.MessageUpdate, error) {
	p := &compliancev1.HeldParcel{}
	err := proto.Unmarshal(parcel, p)
	for _, m := range p.Messages {
		dst = append(dst, update(m.MessageId, typev1.MessageState_HELD, p.DecideTimeUs, one(m.Reason)...))
	}
	return dst, err
}

// readOutcomes reads dispatch's own events, which share a parcel.
func readOutcomes(s typev1.MessageState) reader {
	return func(dst []*feedv1.MessageUpdate, parcel []byte) ([]*feedv1.MessageUpdate, error) {
		p := &dispatchv1.OutcomeParcel{}
		err := proto.Unmarshal(parcel, p)
		for _, o := range p.Outcomes {
			u := update(o.MessageId, s, o.TimeUs, one(o.Reason)...)
			u.Segments, u.Encoding, u.OperatorCode = o.Segments, o.Encoding, o.OperatorCode
			dst = append(dst, u)
		}
		return dst, err
	}
}

func one(r *typev1.Reason) []*typev1.Reason {
	if r == nil {
		return nil
	}
	return []*typev1.Reason{r}
}
