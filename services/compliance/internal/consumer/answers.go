package consumer

import (
	"context"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/preference"
	"github.com/onlinesms/onlinesms/services/compliance/internal/screening"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// Events that tell what an operator made of a message: at its submission, and by its receipt.
const (
	EventFailed      = "onlinesms.dispatch.v1.MessagesFailed"
	EventUndelivered = "onlinesms.dispatch.v1.MessagesUndelivered"
)

// answered are the reasons by which an operator says what its register has of a number, with the codes of the common DLT
// platform.
var answered = map[string]preference.Code{
	policy.PreferenceBlocked:      preference.PreferenceBlocked,
	policy.ServiceExplicitBlocked: preference.ExplicitBlocked,
}

// appendAnswers adds what operators said of messages, by the parcel that tells of it.
func appendAnswers(answers map[uuid.UUID][]screening.Answer, d eventbus.Delivery) error {
	var event dispatchv1.MessagesFailed // MessagesUndelivered has the same fields
	if err := proto.Unmarshal(d.Data, &event); err != nil {
		return malformed("event", err)
	}
	for _, p := range event.GetParcels() {
		var parcel, tenant uuid.UUID
		if err := ids(field{&parcel, p.GetParcelId()}, field{&tenant, p.GetTenantId()}); err != nil {
			return err
		}
		for _, o := range p.GetOutcomes() {
			code, ok := answered[o.GetReason().GetCode()]
			if !ok {
				continue
			}
			a := screening.Answer{Tenant: tenant, Env: d.Env, Code: code, At: time.UnixMicro(o.GetTimeUs())}
			if err := ids(field{&a.Message, o.GetMessageId()}); err != nil {
				return err
			}
			answers[parcel] = append(answers[parcel], a)
		}
	}
	return nil
}

// Answers keeps what operators said of messages.
type Answers interface {
	// AddAnswers records it, once for each parcel that told of it.
	AddAnswers(ctx context.Context, answers map[uuid.UUID][]screening.Answer) error
}
