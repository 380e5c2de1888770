package door

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
	"github.com/onlinesms/onlinesms/services/ingest/internal/message"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
)

// auditEventKey is the metadata and the header (X-Audit-Event) that name the audit entry of a state-changing call.
const auditEventKey = "x-audit-event"

// recordLimit is how long a call waits for its record once its work is done, whether its caller still waits or not.
const recordLimit = 5 * time.Second

// Recorder keeps the audit records of calls.
type Recorder interface {
	// Begin begins the record of a call.
	Begin(action string, from caller.Caller) *record.Call
	// Write returns once the record is durable. One that a use case has committed already is left alone.
	Write(ctx context.Context, c *record.Call) error
	// Later makes the record durable within a second.
	Later(ctx context.Context, c *record.Call)
}

// enter is the outermost interceptor of unary calls: it tells where a call comes from, puts it on record, whatever
// becomes of it, names both in the answer's header, and times it. It sees the errors that the caller sees.
func (g *guard) enter(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	start := time.Now()
	from := g.identify(ctx)
	access := g.offer.rules[info.FullMethod]
	call := g.begin(access, from)
	resp, err := handle(record.NewContext(caller.NewContext(ctx, from), call), req)
	entry, err := g.conclude(ctx, access, call, resp, err)
	// One header, and after the call: each SetHeader copies all there is. It fails only after the answer.
	names := [2]string{from.RequestID, entry}
	header := metadata.MD{requestIDKey: names[0:1:1]}
	if entry != "" {
		header[auditEventKey] = names[1:2:2]
	}
	_ = grpc.SetHeader(ctx, header)
	g.metrics.took(ctx, info.FullMethod, status.Code(err), time.Since(start))
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// conclude puts a unary call on record and answers the entry that its answer names, if any, and the error that its
// caller gets.
func (g *guard) conclude(ctx context.Context, access *typev1.Access, call *record.Call, resp any, err error) (entry string, told error) {
	if err == nil {
		if parcel, ok := acceptedParcel(resp); ok {
			return parcel.String(), nil
		}
	}
	unrecorded := g.settle(ctx, access, call, err)
	if access.GetChanges() {
		entry = call.ID.String()
	}
	if err == nil {
		err = unrecorded
	}
	return entry, err
}

// recordStream is the same for streams; the entry is named in the trailer.
func (g *guard) recordStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx := stream.Context()
	access := g.offer.rules[info.FullMethod]
	call := g.begin(access, caller.From(ctx))
	err := handle(srv, streamOf{stream, record.NewContext(ctx, call)})
	unrecorded := g.settle(ctx, access, call, err)
	if access.GetChanges() {
		stream.SetTrailer(metadata.Pairs(auditEventKey, call.ID.String()))
	}
	if err == nil {
		return unrecorded
	}
	return err
}

func (g *guard) begin(access *typev1.Access, from caller.Caller) *record.Call {
	action := unknownAction
	if access != nil {
		action = access.GetAudit()
	}
	return g.records.Begin(action, from)
}

// settle completes a call's record and hands it over: before the answer for changes, successful or refused; within a
// second for reads, for callers that are not known (no change is theirs, and they may be many), and for what failed
// because we could not work, when waiting would not help. The error is a status, for a success that must not be told.
func (g *guard) settle(ctx context.Context, access *typev1.Access, call *record.Call, err error) error {
	if err != nil && !call.Durable() {
		call.Outcome, call.Reason = outcomeOf(err)
	}
	known := call.Tenant != record.Platform || access.GetPublic()
	if !access.GetChanges() || err != nil && (!known || busy(err)) {
		g.records.Later(ctx, call)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	failed := g.records.Write(ctx, call)
	if failed == nil {
		return nil
	}
	if err != nil {
		g.records.Later(ctx, call)
	}
	return rpc.Status(failed).Err()
}

// outcomeOf sorts a call's error: what the caller can mend is refused, the rest is our failure.
func outcomeOf(err error) (outcome, reason string) {
	reason = problemOf(err).Reason
	switch status.Code(err) {
	case codes.Internal, codes.Unknown, codes.DataLoss, codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unimplemented:
		return record.Failure, reason
	}
	return record.Refused, reason
}

// busy tells whether a call failed because there was no room or time for it.
func busy(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded, codes.Canceled:
		return true
	}
	return false
}

// acceptedParcel is the parcel that holds what a send accepted: its MessagesAccepted is the call's audit entry. Of a
// batch in several parcels it is the first.
func acceptedParcel(resp any) (uuid.UUID, bool) {
	id := ""
	switch r := resp.(type) {
	case *ingestv1.SendMessageResponse:
		id = r.GetMessageId()
	case *ingestv1.BatchSendMessagesResponse:
		for _, m := range r.GetMessages() {
			if id = m.GetMessageId(); id != "" {
				break
			}
		}
	}
	if id == "" {
		return uuid.Nil, false
	}
	first, err := uuid.Parse(id)
	if err != nil {
		return uuid.Nil, false
	}
	return message.ParcelOf(first), true
}

// visit is an HTTPS request for the API until it becomes a call of the gRPC server, which then records it.
type visit struct {
	guard   *guard
	access  *typev1.Access      // of the route; nil when there is none
	caller  principal.Principal // zero until known
	entered bool
}

type visitContext struct{}

func visitOf(ctx context.Context) *visit {
	v, _ := ctx.Value(visitContext{}).(*visit)
	return v
}

// entering marks a visit as a call.
func entering(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if v := visitOf(ctx); v != nil {
		v.entered = true
	}
	return invoke(ctx, method, req, reply, conn, opts...)
}

func enteringStream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if v := visitOf(ctx); v != nil {
		v.entered = true
	}
	return open(ctx, desc, conn, method, opts...)
}

// refused records a request that ends before it was a call.
func (v *visit) refused(w http.ResponseWriter, r *http.Request, p *problem) {
	if v == nil || v.entered {
		return
	}
	v.entered = true
	call := v.guard.begin(v.access, caller.From(r.Context()))
	if v.caller.Actor != "" {
		call.Known(v.caller)
	}
	call.Outcome, call.Reason = record.Refused, p.Reason
	if p.Status >= http.StatusInternalServerError {
		call.Outcome = record.Failure
	}
	v.guard.records.Later(r.Context(), call)
	if v.access.GetChanges() {
		w.Header().Set("X-Audit-Event", call.ID.String())
	}
}
