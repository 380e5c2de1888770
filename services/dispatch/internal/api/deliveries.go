package api

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	dispatchv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/dispatch/v1"
	"github.com/onlinesms/onlinesms/services/dispatch/internal/webhook"
	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// DeliveryLog shows deliveries, and makes them due again.
type DeliveryLog interface {
	Deliveries(ctx context.Context, q webhook.Search) ([]webhook.Delivery, error)
	// Delivery answers one; errs.NotFound (WEBHOOK_DELIVERY_NOT_FOUND).
	Delivery(ctx context.Context, at webhook.Place, event uuid.UUID) (webhook.Delivery, error)
	// Again answers how many will be sent.
	Again(ctx context.Context, at webhook.Place, r webhook.Replay) (int, error)
}

// DeliveryServer is onlinesms.dispatch.v1.WebhookDeliveryService.
type DeliveryServer struct {
	dispatchv1.UnimplementedWebhookDeliveryServiceServer

	log DeliveryLog
	now func() time.Time
}

// NewDeliveryServer makes it.
func NewDeliveryServer(l DeliveryLog, now func() time.Time) *DeliveryServer {
	return &DeliveryServer{log: l, now: now}
}

// outcomes are states as the API writes them.
var outcomes = map[string]webhook.State{"PENDING": webhook.Waiting, "DELIVERED": webhook.Delivered, "FAILED": webhook.GivenUp}

// ListWebhookDeliveries implements WebhookDeliveryService.
func (s *DeliveryServer) ListWebhookDeliveries(ctx context.Context, req *dispatchv1.ListWebhookDeliveriesRequest) (*dispatchv1.ListWebhookDeliveriesResponse, error) {
	p, err := allowed(ctx, scopeRead)
	if err != nil {
		return nil, err
	}
	q, err := search(req)
	if err != nil {
		return nil, err
	}
	q.Tenant, q.Env = p.TenantID, p.Env
	limit := q.Limit
	q.Limit++ // one more tells whether there is a next page
	found, err := s.log.Deliveries(ctx, q)
	if err != nil {
		return nil, err
	}
	resp := &dispatchv1.ListWebhookDeliveriesResponse{}
	if len(found) > limit {
		found = found[:limit]
		resp.NextPageToken = token(found[limit-1].ID, found[limit-1].Endpoint)
	}
	for i := range found {
		resp.Deliveries = append(resp.Deliveries, showDelivery(&found[i]))
	}
	return resp, nil
}

// search decodes a request.
func search(req *dispatchv1.ListWebhookDeliveriesRequest) (q webhook.Search, err error) {
	if q.Endpoint, err = optionalID("endpoint_id", req.GetEndpointId()); err != nil {
		return q, err
	}
	if q.Message, err = optionalID("message_id", req.GetMessageId()); err != nil {
		return q, err
	}
	if name := req.GetOutcome(); name != "" {
		state, ok := outcomes[name]
		if !ok {
			return q, invalid("outcome", "must be PENDING, DELIVERED or FAILED")
		}
		q.State = &state
	}
	q.Type, q.Start, q.End = req.GetEventType(), timeOf(req.GetStartTime()), timeOf(req.GetEndTime())
	if q.Limit, err = pageSize(req.GetPageSize(), maxDeliveries); err != nil {
		return q, err
	}
	last, err := tokenIDs(req.GetPageToken(), 2)
	q.BeforeEvent, q.BeforeEndpoint = last[0], last[1]
	return q, err
}

// GetWebhookDelivery implements WebhookDeliveryService.
func (s *DeliveryServer) GetWebhookDelivery(ctx context.Context, req *dispatchv1.GetWebhookDeliveryRequest) (*dispatchv1.GetWebhookDeliveryResponse, error) {
	at, err := place(ctx, scopeRead, req.GetEndpointId())
	if err != nil {
		return nil, err
	}
	event, err := uuid.Parse(req.GetEventId())
	if err != nil {
		return nil, invalid("event_id", "not a UUID")
	}
	d, err := s.log.Delivery(ctx, at, event)
	if err != nil {
		return nil, err
	}
	return &dispatchv1.GetWebhookDeliveryResponse{Delivery: showDelivery(&d), Body: string(d.Body)}, nil
}

// ReplayWebhookDelivery implements WebhookDeliveryService.
func (s *DeliveryServer) ReplayWebhookDelivery(ctx context.Context, req *dispatchv1.ReplayWebhookDeliveryRequest) (*dispatchv1.ReplayWebhookDeliveryResponse, error) {
	at, err := place(ctx, scopeWrite, req.GetEndpointId())
	if err != nil {
		return nil, err
	}
	event, err := uuid.Parse(req.GetEventId())
	if err != nil {
		return nil, invalid("event_id", "not a UUID")
	}
	if _, err := s.log.Again(ctx, at, webhook.Replay{Event: event}); err != nil {
		return nil, err
	}
	d, err := s.log.Delivery(ctx, at, event)
	if err != nil {
		return nil, err
	}
	return &dispatchv1.ReplayWebhookDeliveryResponse{Delivery: showDelivery(&d)}, nil
}

// ReplayWebhookDeliveries implements WebhookDeliveryService.
func (s *DeliveryServer) ReplayWebhookDeliveries(ctx context.Context, req *dispatchv1.ReplayWebhookDeliveriesRequest) (*dispatchv1.ReplayWebhookDeliveriesResponse, error) {
	at, err := place(ctx, scopeWrite, req.GetEndpointId())
	if err != nil {
		return nil, err
	}
	r := webhook.Replay{Start: timeOf(req.GetStartTime()), End: timeOf(req.GetEndTime()), State: webhook.GivenUp, Limit: webhook.MaxReplay}
	if r.End.IsZero() {
		r.End = s.now()
	}
	if r.Start.IsZero() {
		r.Start = r.End.AddDate(0, 0, -1)
	}
	if !r.Start.Before(r.End) {
		return nil, invalid("end_time", "must be after start_time")
	}
	switch name := req.GetOutcome(); name {
	case "", "FAILED":
	case "DELIVERED":
		r.State = webhook.Delivered
	default:
		return nil, invalid("outcome", "must be FAILED or DELIVERED")
	}
	n, err := s.log.Again(ctx, at, r)
	if err != nil {
		return nil, err
	}
	return &dispatchv1.ReplayWebhookDeliveriesResponse{Replayed: int32(n)}, nil
}

func showDelivery(d *webhook.Delivery) *dispatchv1.WebhookDelivery {
	shown := &dispatchv1.WebhookDelivery{
		EndpointId: d.Endpoint.String(), EventId: d.ID.String(), EventType: d.Type, MessageId: d.Message.String(),
		Attempts: int32(d.Attempts), HttpStatus: int32(d.Status), Error: d.Error, CreateTime: timestamppb.New(d.Created),
		AttemptTime: instant(d.Tried),
	}
	for name, state := range outcomes {
		if state == d.State {
			shown.Outcome = name
		}
	}
	if d.State == webhook.Waiting {
		shown.NextAttemptTime = timestamppb.New(d.Due)
	}
	return shown
}

// Follower streams events of messages.
type Follower interface {
	Follow(ctx context.Context, tenant uuid.UUID, env, cursor string, types []string, send func(*webhook.Batch) error) error
}

// EventServer is onlinesms.dispatch.v1.MessageEventService.
type EventServer struct {
	dispatchv1.UnimplementedMessageEventServiceServer

	events Follower
}

// NewEventServer makes it.
func NewEventServer(f Follower) *EventServer { return &EventServer{events: f} }

// StreamMessageEvents implements MessageEventService. Send waits while the client does not read (HTTP/2 flow control).
func (s *EventServer) StreamMessageEvents(req *dispatchv1.StreamMessageEventsRequest, stream grpc.ServerStreamingServer[dispatchv1.StreamMessageEventsResponse]) error {
	p, err := allowed(stream.Context(), scopeMessages)
	if err != nil {
		return err
	}
	return s.events.Follow(stream.Context(), p.TenantID, p.Env, req.GetCursor(), req.GetEventTypes(), func(b *webhook.Batch) error {
		resp := &dispatchv1.StreamMessageEventsResponse{Cursor: b.Cursor, EventType: b.Type, Events: b.News}
		if b.Type != "" {
			resp.BatchId = b.ID.String()
		}
		return stream.Send(resp)
	})
}

func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func optionalID(field, text string) (uuid.UUID, error) {
	if text == "" {
		return uuid.Nil, nil
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return id, invalid(field, "not a UUID")
	}
	return id, nil
}

func pageSize(n int32, most int) (int, error) {
	switch {
	case n == 0:
		return defaultPage, nil
	case n < 0 || int(n) > most:
		e := errs.E(errs.Invalid, "REQUEST_INVALID", "The request is not valid.", nil)
		e.Violations = []errs.Violation{{Field: "page_size", Reason: "OUT_OF_RANGE", Detail: "too small or too large; see /openapi.json"}}
		return 0, e
	}
	return int(n), nil
}

// token names the last of a page; it holds nothing secret: a list is of the caller's tenant whatever the token says.
func token(ids ...uuid.UUID) string {
	var raw []byte
	for _, id := range ids {
		raw = append(raw, id[:]...)
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// tokenIDs reads a token of n ids; none are zero.
func tokenIDs(text string, n int) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, n)
	if text == "" {
		return ids, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) != n*len(uuid.UUID{}) {
		return ids, invalid("page_token", "must be the next_page_token of the page before")
	}
	for i := range ids {
		copy(ids[i][:], raw[i*len(uuid.UUID{}):])
	}
	return ids, nil
}
