// Package api answers ingest's RPCs: decode, call, encode.
package api

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/ingest/internal/verification"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// ScopeContent lets a key read number and text in clear.
const ScopeContent = "content:read"

// Metadata of calls, and headers of their JSON form.
const (
	idempotencyKey   = "idempotency-key"   // request
	idempotentReplay = "idempotent-replay" // response: "true" on a repeated answer
)

// Accepter accepts messages; see message.Accepter.
type Accepter interface {
	Accept(ctx context.Context, r message.Request) (message.Answer, error)
}

// Messages reads accepted messages of one tenant and environment.
type Messages interface {
	// Get answers one; errs.NotFound when it is not there or somebody else's.
	Get(ctx context.Context, tenant uuid.UUID, env string, id uuid.UUID) (message.Detail, error)
	// List answers a page.
	List(ctx context.Context, q message.Query) (message.Page, error)
}

// Opener opens sealed content; errs.NotFound once its key is destroyed.
type Opener interface {
	Open(ctx context.Context, at message.Place, sealed []byte) (to, text string, err error)
}

// MessageServer is onlinesms.ingest.v1.MessageService.
type MessageServer struct {
	ingestv1.UnimplementedMessageServiceServer
	accepter  Accepter
	messages  Messages
	opener    Opener
	canceller Canceller
	now       func() time.Time
	metrics   metrics
}

// NewMessageServer joins the service to its rooms.
func NewMessageServer(accepter Accepter, messages Messages, opener Opener, canceller Canceller, now func() time.Time) *MessageServer {
	return &MessageServer{accepter: accepter, messages: messages, opener: opener, canceller: canceller, now: now, metrics: newMetrics()}
}

// SendMessage accepts one message.
func (s *MessageServer) SendMessage(ctx context.Context, req *ingestv1.SendMessageRequest) (*ingestv1.SendMessageResponse, error) {
	answer, err := s.accept(ctx, ingestv1.MessageService_SendMessage_FullMethodName, req, draftOf(req))
	if err != nil {
		return nil, err
	}
	return toSendResponse(&answer.Receipts[0]), nil
}

// BatchSendMessages accepts a batch, whole or not at all.
func (s *MessageServer) BatchSendMessages(ctx context.Context, req *ingestv1.BatchSendMessagesRequest) (*ingestv1.BatchSendMessagesResponse, error) {
	drafts := make([]message.Draft, len(req.GetMessages()))
	for i, m := range req.GetMessages() {
		drafts[i] = draftOf(m)
	}
	answer, err := s.accept(ctx, ingestv1.MessageService_BatchSendMessages_FullMethodName, req, drafts...)
	if err != nil {
		return nil, err
	}
	resp := &ingestv1.BatchSendMessagesResponse{Messages: make([]*ingestv1.SendMessageResponse, len(answer.Receipts))}
	for i := range answer.Receipts {
		resp.Messages[i] = toSendResponse(&answer.Receipts[i])
	}
	return resp, nil
}

// accept hands a call to the accepter and marks a repeated answer.
func (s *MessageServer) accept(ctx context.Context, method string, req proto.Message, drafts ...message.Draft) (message.Answer, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return message.Answer{}, errNoPrincipal
	}
	r := message.Request{
		Tenant: p.TenantID, Env: p.Env, Drafts: drafts, Trace: traceparent(ctx),
		Single: method == ingestv1.MessageService_SendMessage_FullMethodName,
	}
	if err := identify(ctx, &r, method, req); err != nil {
		return message.Answer{}, err
	}
	answer, err := s.accepter.Accept(ctx, r)
	if err != nil {
		return message.Answer{}, err
	}
	s.metrics.accepted(ctx, p.Env, &answer)
	if answer.Replay {
		if err := grpc.SetHeader(ctx, metadata.Pairs(idempotentReplay, "true")); err != nil {
			return message.Answer{}, err
		}
	}
	return answer, nil
}

var errNoPrincipal = errs.E(errs.Unauthenticated, "KEY_MISSING", "an API key is required", nil)

// identify adds the call's idempotency key, and what tells its request from another: method and arguments.
func identify(ctx context.Context, r *message.Request, method string, req proto.Message) error {
	keys := metadata.ValueFromIncomingContext(ctx, idempotencyKey)
	if len(keys) == 0 {
		return nil
	}
	if len(keys) > 1 || keys[0] == "" {
		return invalid(idempotencyKey, "FORMAT", "must be given once and not be empty")
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		return err
	}
	hash := sha256.New()
	hash.Write([]byte(method + "\n"))
	hash.Write(encoded)
	clear(encoded)
	r.IdempotencyKey, r.Digest = keys[0], string(hash.Sum(nil))
	return nil
}

// traceparent is the W3C form of the call's span, empty when it is not sampled: only then does the trace travel.
func traceparent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// GetMessage answers one message with its timeline.
func (s *MessageServer) GetMessage(ctx context.Context, req *ingestv1.GetMessageRequest) (*ingestv1.GetMessageResponse, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return nil, errNoPrincipal
	}
	id, err := parseID(req.GetMessageId())
	if err != nil {
		return nil, err
	}
	d, err := s.messages.Get(ctx, p.TenantID, p.Env, id)
	if err != nil {
		return nil, err
	}
	resp := toGetResponse(&d)
	content := d.Content
	if d.Rendered != nil {
		content = d.Rendered
	}
	to, text, err := s.opener.Open(ctx, message.Place{Env: p.Env, Tenant: p.TenantID, ID: id}, content)
	switch {
	case err == nil && p.Has(ScopeContent) && verification.Carries(d.ClientReference):
		resp.To = to // the text holds a code, which nobody is told
	case err == nil && p.Has(ScopeContent):
		resp.To, resp.Text = to, text
	case err == nil:
		resp.To = message.MaskNumber(to)
	case errs.KindOf(err) != errs.NotFound: // erased content is simply not there any more
		return nil, err
	}
	return resp, nil
}

func parseID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != 36 {
		return id, invalid("message_id", "FORMAT", "must be a UUID as a send answers it")
	}
	return id, nil
}

// ListMessages answers a page of messages, newest first.
func (s *MessageServer) ListMessages(ctx context.Context, req *ingestv1.ListMessagesRequest) (*ingestv1.ListMessagesResponse, error) {
	p, ok := principal.FromContext(ctx)
	if !ok {
		return nil, errNoPrincipal
	}
	q, err := queryOf(req, p, s.now())
	if err != nil {
		return nil, err
	}
	page, err := s.messages.List(ctx, q)
	if err != nil {
		return nil, err
	}
	resp := &ingestv1.ListMessagesResponse{Messages: make([]*ingestv1.MessageSummary, len(page.Messages))}
	for i := range page.Messages {
		resp.Messages[i] = toSummary(&page.Messages[i])
	}
	if page.Next != uuid.Nil {
		resp.NextPageToken = pageToken(req, p, page.Next)
	}
	return resp, nil
}

func invalid(field, reason, detail string) error {
	return malformed(errs.Violation{Field: field, Reason: reason, Detail: detail})
}

func malformed(found ...errs.Violation) error {
	return &errs.Error{Kind: errs.Invalid, Reason: "REQUEST_INVALID", Message: "the request is malformed; see the violations", Violations: found}
}
