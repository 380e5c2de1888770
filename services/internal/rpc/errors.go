package rpc

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// domain is the ErrorInfo domain of every error we make ourselves.
const domain = "onlinesms"

// RetryAfter is the metadata key of errs.Error that carries the delay of RetryInfo as a Go duration, for example
// "1.5s". Without it a caller is told retryDelay.
const RetryAfter = "retry_after"

const retryDelay = time.Second

// maxViolations bounds the text of the field violations in a status: details travel in a header, and clients built on
// C-core or Java refuse more than 8 KiB of headers (base64 makes 4/3 of it). The metadata "violations_omitted" counts
// what was left out.
const maxViolations = 4 << 10

// codeOf is the one table from kinds to gRPC codes; kindOf is its way back.
var codeOf = map[errs.Kind]codes.Code{
	errs.Internal:        codes.Internal,
	errs.Invalid:         codes.InvalidArgument,
	errs.NotFound:        codes.NotFound,
	errs.Exists:          codes.AlreadyExists,
	errs.Denied:          codes.PermissionDenied,
	errs.Unauthenticated: codes.Unauthenticated,
	errs.Exhausted:       codes.ResourceExhausted,
	errs.Unavailable:     codes.Unavailable,
}

var kindOf = func() map[codes.Code]errs.Kind {
	kinds := map[codes.Code]errs.Kind{
		codes.FailedPrecondition: errs.Invalid,
		codes.OutOfRange:         errs.Invalid,
		codes.Aborted:            errs.Unavailable,
		// The other end, or the way to it, was too slow: worth another try.
		codes.DeadlineExceeded: errs.Unavailable,
		codes.Canceled:         errs.Unavailable,
	}
	for kind, code := range codeOf {
		kinds[code] = kind
	}
	return kinds
}()

// Status is err as callers see it: code by kind, the sentence, and as details ErrorInfo{reason, domain "onlinesms",
// metadata}, BadRequest and RetryInfo. The text of Internal errors is withheld. A bare status (from grpc itself or from
// a forwarded call) passes as it is; a bare context error is CANCELLED or DEADLINE_EXCEEDED. Nil is OK.
func Status(err error) *status.Status {
	e, ok := errors.AsType[*errs.Error](err)
	if ok {
		return statusOf(e)
	}
	if own, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return own.GRPCStatus()
	}
	switch {
	case err == nil:
		return status.New(codes.OK, "")
	case errors.Is(err, context.Canceled):
		return status.New(codes.Canceled, "the call was cancelled")
	case errors.Is(err, context.DeadlineExceeded):
		return status.New(codes.DeadlineExceeded, "the call took longer than its deadline")
	}
	return statusOf(errs.E(errs.Internal, "", "", nil))
}

func statusOf(e *errs.Error) *status.Status {
	code, known := codeOf[e.Kind]
	if e.Kind == errs.Internal || !known {
		e = errs.E(errs.Internal, "INTERNAL", "internal error", nil)
		code = codes.Internal
	}
	info := &errdetails.ErrorInfo{Reason: e.Reason, Domain: domain, Metadata: e.Metadata}
	details := []protoadapt.MessageV1{info}
	if len(e.Violations) > 0 {
		bad, omitted := badRequest(e.Violations)
		if omitted > 0 {
			info.Metadata = maps.Clone(e.Metadata)
			if info.Metadata == nil {
				info.Metadata = map[string]string{}
			}
			info.Metadata["violations_omitted"] = strconv.Itoa(omitted)
		}
		details = append(details, bad)
	}
	if e.Kind == errs.Unavailable || e.Kind == errs.Exhausted {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(delayOf(e))})
	}
	plain := status.New(code, e.Message)
	full, err := plain.WithDetails(details...)
	if err != nil { // a text that is not UTF-8
		return plain
	}
	return full
}

func badRequest(violations []errs.Violation) (bad *errdetails.BadRequest, omitted int) {
	bad = &errdetails.BadRequest{}
	size := 0
	for i, v := range violations {
		size += len(v.Field) + len(v.Reason) + len(v.Detail)
		if size > maxViolations {
			return bad, len(violations) - i
		}
		bad.FieldViolations = append(bad.FieldViolations,
			&errdetails.BadRequest_FieldViolation{Field: v.Field, Reason: v.Reason, Description: v.Detail})
	}
	return bad, 0
}

func delayOf(e *errs.Error) time.Duration {
	if delay, err := time.ParseDuration(e.Metadata[RetryAfter]); err == nil && delay > 0 {
		return delay
	}
	return retryDelay
}

// FromStatus is the way back, for the callers of generated clients: an *errs.Error whose cause is err. Nil and errors
// that are *errs.Error already stay as they are.
func FromStatus(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*errs.Error](err); ok {
		return err
	}
	st := Status(err)
	kind, ok := kindOf[st.Code()]
	if !ok {
		kind = errs.Internal
	}
	e := errs.E(kind, "", st.Message(), err)
	for _, detail := range st.Details() {
		readDetail(e, detail)
	}
	return e
}

func readDetail(e *errs.Error, detail any) {
	switch d := detail.(type) {
	case *errdetails.ErrorInfo:
		if d.GetDomain() == domain {
			e.Reason, e.Metadata = d.GetReason(), d.GetMetadata()
		}
	case *errdetails.BadRequest:
		for _, v := range d.GetFieldViolations() {
			e.Violations = append(e.Violations,
				errs.Violation{Field: v.GetField(), Reason: v.GetReason(), Detail: v.GetDescription()})
		}
	}
}
