package door

import (
	"cmp"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/rpc"
)

// problem is the body of every refusal (RFC 9457, application/problem+json), the same facts as gRPC's status details.
type problem struct {
	Type       string            `json:"type"`
	Title      string            `json:"title"`
	Status     int               `json:"status"`
	Detail     string            `json:"detail"`
	Reason     string            `json:"reason"`
	Violations []violation       `json:"violations,omitempty"`
	Metadata   map[string]string `json:"metadata,omitempty"`
	RequestID  string            `json:"requestId"`

	retry time.Duration
}

// violation names a field that is wrong, by its JSON path.
type violation struct {
	Field  string `json:"field"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// problemOf tells err as a problem.
func problemOf(err error) *problem {
	st := rpc.Status(err)
	p := &problem{Detail: st.Message(), Reason: frameworkReason(st.Code())}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			p.Reason, p.Metadata = d.GetReason(), d.GetMetadata()
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				p.Violations = append(p.Violations, violation{jsonPath(v.GetField()), v.GetReason(), v.GetDescription()})
			}
		case *errdetails.RetryInfo:
			p.retry = d.GetRetryDelay().AsDuration()
		}
	}
	p.Status = httpStatus(st.Code(), p.Reason)
	return p
}

// write answers the request with p.
func (p *problem) write(w http.ResponseWriter, r *http.Request) {
	visitOf(r.Context()).refused(w, r, p)
	p.Type, p.Title, p.RequestID = "/v1/reasons#"+p.Reason, cmp.Or(titles[p.Reason], http.StatusText(p.Status)), requestID(r.Context())
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="onlinesms"`)
	}
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retry.Seconds()))))
	}
	body, err := json.Marshal(p)
	if err != nil {
		body = nil // strings and numbers: cannot fail
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	_, _ = w.Write(body)
}

// newProblem is a refusal of the HTTP side itself.
func newProblem(status int, reason, detail string, violations ...violation) *problem {
	return &problem{Status: status, Reason: reason, Detail: detail, Violations: violations}
}

var statuses = map[codes.Code]int{
	codes.InvalidArgument: http.StatusBadRequest, codes.FailedPrecondition: http.StatusBadRequest, codes.OutOfRange: http.StatusBadRequest,
	codes.Unauthenticated: http.StatusUnauthorized, codes.PermissionDenied: http.StatusForbidden, codes.NotFound: http.StatusNotFound,
	codes.AlreadyExists: http.StatusConflict, codes.Aborted: http.StatusConflict, codes.ResourceExhausted: http.StatusTooManyRequests,
	codes.Canceled: 499, codes.Unimplemented: http.StatusNotImplemented, codes.Unavailable: http.StatusServiceUnavailable,
	codes.DeadlineExceeded: http.StatusGatewayTimeout,
}

// httpStatus maps a code. Overload is ours, not the caller's: 503, where a limit of his own is 429.
func httpStatus(code codes.Code, reason string) int {
	if reason == "OVERLOADED" {
		return http.StatusServiceUnavailable
	}
	if s, ok := statuses[code]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// frameworkReason names what grpc itself refused, where no reason of ours is attached.
func frameworkReason(code codes.Code) string {
	switch code {
	case codes.DeadlineExceeded:
		return "DEADLINE_EXCEEDED"
	case codes.Canceled:
		return "CANCELLED"
	case codes.ResourceExhausted:
		return "REQUEST_TOO_LARGE"
	case codes.Unimplemented:
		return "METHOD_NOT_OFFERED"
	case codes.Unavailable:
		return "SERVICE_UNAVAILABLE"
	case codes.InvalidArgument:
		return "REQUEST_INVALID"
	}
	return "INTERNAL"
}

func reasonOf(err error) string {
	if e, ok := errors.AsType[*errs.Error](err); ok {
		return e.Reason
	}
	return frameworkReason(status.Code(err))
}

// jsonPath writes a proto field path as JSON names it: messages[3].entity_id is messages[3].entityId.
func jsonPath(field string) string {
	var b strings.Builder
	up := false
	for _, r := range field {
		switch {
		case r == '_':
			up = true
		case up && r >= 'a' && r <= 'z':
			b.WriteRune(r - 'a' + 'A')
			up = false
		default:
			b.WriteRune(r)
			up = false
		}
	}
	return b.String()
}
