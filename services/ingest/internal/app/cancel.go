package app

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	compliancev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/compliance/v1"
	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
)

// canceller withdraws messages where they wait: in compliance until they are cleared, then in dispatch. It is an
// api.Canceller.
type canceller struct{ compliance, dispatch grpc.ClientConnInterface }

// Cancel withdraws a message. Each of the two keeps it from going on before it answers, so that between them nothing
// slips through; a call that ends half way is safe to repeat.
func (c canceller) Cancel(ctx context.Context, id uuid.UUID, lane string) error {
	if c.compliance == nil || c.dispatch == nil {
		return errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "COMPLIANCE_ADDR and DISPATCH_ADDR must be set", nil)
	}
	ctx = rpc.WithPrincipal(ctx)
	l := typev1.Lane(typev1.Lane_value[strings.ToUpper(lane)])
	found, err := compliancev1.NewComplianceServiceClient(c.compliance).CancelMessage(ctx,
		&compliancev1.CancelMessageRequest{MessageId: id.String(), Lane: l})
	if err != nil || found.GetOutcome() == "CANCELLED" {
		return rpc.FromStatus(err)
	}
	if len(found.GetClearedParcelId()) == 0 {
		return errs.E(errs.Exists, "MESSAGE_NOT_CANCELLABLE", "the message is "+found.GetOutcome()+" and cannot be withdrawn any more", nil)
	}
	_, err = dispatchv1.NewDispatchServiceClient(c.dispatch).CancelMessage(ctx, &dispatchv1.CancelMessageRequest{
		MessageId: id.String(), ClearedParcelId: found.GetClearedParcelId(), Round: found.GetRound(), Lane: l})
	return rpc.FromStatus(err)
}

// CancelScheduled withdraws messages that wait for their schedule.
func (c canceller) CancelScheduled(ctx context.Context, q message.Scheduled) (int, bool, error) {
	if c.compliance == nil {
		return 0, false, errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "COMPLIANCE_ADDR must be set", nil)
	}
	resp, err := compliancev1.NewComplianceServiceClient(c.compliance).CancelScheduled(rpc.WithPrincipal(ctx),
		&compliancev1.CancelScheduledRequest{Header: q.Header, TemplateId: q.TemplateID, StartTime: stampOf(q.Start), EndTime: stampOf(q.End)})
	return int(resp.GetCancelledCount()), resp.GetMore(), rpc.FromStatus(err)
}

// stampOf is nil for the zero time.
func stampOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
