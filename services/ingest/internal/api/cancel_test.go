package api

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// shelf holds one message of one tenant and notes what is withdrawn.
type shelf struct {
	Messages
	tenant, id uuid.UUID
	state      message.State
	asked      int
	late       error
	query      message.Scheduled
}

func (s *shelf) Get(_ context.Context, tenant uuid.UUID, env string, id uuid.UUID) (d message.Detail, err error) {
	if tenant != s.tenant || env != "live" || id != s.id {
		return d, errs.E(errs.NotFound, "MESSAGE_NOT_FOUND", "", nil)
	}
	d.Standing.State, d.Lane = s.state, "bulk"
	return d, nil
}

func (s *shelf) Cancel(_ context.Context, id uuid.UUID, lane string) error {
	s.asked++
	return s.late
}

func (s *shelf) CancelScheduled(_ context.Context, q message.Scheduled) (int, bool, error) {
	s.query = q
	return 7, true, nil
}

func TestCancelMessage(t *testing.T) {
	late := errs.E(errs.Exists, "MESSAGE_NOT_CANCELLABLE", "", nil)
	for name, c := range map[string]struct {
		state message.State
		env   string
		late  error
		asked int
		kind  errs.Kind // of the refusal; Internal: cancelled
	}{
		"held":                {message.StateHeld, "live", nil, 1, errs.Internal},
		"queued":              {message.StateQueued, "live", nil, 1, errs.Internal},
		"just submitted":      {message.StateQueued, "live", late, 1, errs.Exists},
		"cancelled":           {message.StateCancelled, "live", nil, 0, errs.Internal},
		"unknown":             {message.StateUnknown, "live", nil, 0, errs.Exists},
		"delivered":           {message.StateDelivered, "live", nil, 0, errs.Exists},
		"another environment": {message.StateHeld, "test", nil, 0, errs.NotFound},
	} {
		s := &shelf{tenant: uuid.New(), id: uuid.New(), state: c.state, late: c.late}
		ctx := principal.NewContext(t.Context(), principal.Principal{TenantID: s.tenant, Env: c.env})
		resp, err := NewMessageServer(nil, s, nil, s, time.Now).CancelMessage(ctx, &ingestv1.CancelMessageRequest{MessageId: s.id.String()})
		if s.asked != c.asked || errs.KindOf(err) != c.kind || (err == nil) != (c.kind == errs.Internal) {
			t.Errorf("%s: asked %d times, %v", name, s.asked, err)
		}
		if err == nil && resp.GetState() != typev1.MessageState_CANCELLED {
			t.Errorf("%s: %v", name, resp)
		}
	}
}

func TestCancelScheduled(t *testing.T) {
	s := &shelf{}
	server := NewMessageServer(nil, s, nil, s, time.Now)
	resp, err := server.CancelScheduled(t.Context(), &ingestv1.CancelScheduledRequest{Header: "ABCBNK", EndTime: timestamppb.New(now)})
	if err != nil || resp.GetCancelledCount() != 7 || !resp.GetMore() || s.query != (message.Scheduled{Header: "ABCBNK", End: now}) {
		t.Errorf("%v %v, asked %+v", resp, err, s.query)
	}
	_, err = server.CancelScheduled(t.Context(), &ingestv1.CancelScheduledRequest{StartTime: timestamppb.New(now), EndTime: timestamppb.New(now)})
	if errs.KindOf(err) != errs.Invalid || err == nil {
		t.Errorf("an empty range: %v", err)
	}
}
