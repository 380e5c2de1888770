package consumer

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	"github.com/onlinesms/onlinesms/services/compliance/internal/consent"
	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/internal/eventbus"
)

// EventOptOutReceived is what dispatch tells of opt-outs that reached it.
const EventOptOutReceived = "onlinesms.dispatch.v1.OptOutReceived"

// OptOutRecorder records opt-outs of a received parcel, once; again it does nothing.
type OptOutRecorder interface {
	ReceiveOptOuts(ctx context.Context, parcel uuid.UUID, at consent.Place, all []consent.OptOut) error
}

// OptOuts treats deliveries of OptOutReceived.
type OptOuts struct{ recorder OptOutRecorder }

// NewOptOuts makes it.
func NewOptOuts(r OptOutRecorder) *OptOuts { return &OptOuts{r} }

// Handle records each parcel in a transaction of its own. An event that cannot be read is errs.Invalid.
func (h *OptOuts) Handle(ctx context.Context, batch []eventbus.Delivery) error {
	for _, d := range batch {
		if d.Event != EventOptOutReceived {
			continue
		}
		var event dispatchv1.OptOutReceived
		if err := proto.Unmarshal(d.Data, &event); err != nil {
			return malformed("event", err)
		}
		for _, p := range event.GetParcels() {
			if err := h.record(ctx, d.Env, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *OptOuts) record(ctx context.Context, env string, p *dispatchv1.ReceivedOptOutParcel) error {
	var parcel uuid.UUID
	at := consent.Place{Env: env}
	if err := ids(field{&parcel, p.GetParcelId()}, field{&at.Tenant, p.GetTenantId()}); err != nil {
		return err
	}
	all := make([]consent.OptOut, len(p.GetOptOuts()))
	for i, o := range p.GetOptOuts() {
		to := &all[i]
		to.Scope, to.Object, to.Source = consent.Scope(o.GetScope()), o.GetObjectId(), o.GetSource()
		wrong := consent.CheckOptOut(to.Scope, to.Object, to.Source, "", policy.IsID, func(s string) bool { return policy.CheckHeader(s) == nil })
		if len(o.GetRecipientIndex()) != len(to.Recipient) || len(wrong) > 0 {
			return malformed("opt-out", fmt.Errorf("recipient index of %d bytes, %d wrong fields", len(o.GetRecipientIndex()), len(wrong)))
		}
		copy(to.Recipient[:], o.GetRecipientIndex())
	}
	return h.recorder.ReceiveOptOuts(ctx, parcel, at, all)
}
