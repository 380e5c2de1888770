package door

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	gwauditv1 "github.com/onlinesms/onlinesms/proto/gen/gateway/onlinesms/audit/v1"
	gwcompliancev1 "github.com/onlinesms/onlinesms/proto/gen/gateway/onlinesms/compliance/v1"
	gwdispatchv1 "github.com/onlinesms/onlinesms/proto/gen/gateway/onlinesms/dispatch/v1"
	gwingestv1 "github.com/onlinesms/onlinesms/proto/gen/gateway/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
)

// Sizes of a request body: a message, and a batch of 1,000 or a part of a file to import.
const (
	maxBodyBytes  = 1 << 20
	maxBatchBytes = 4 << 20
)

// importsPath begins the paths that take parts of files.
const importsPath = "/v1/registry-imports"

func bodyLimit(path string) int64 {
	if strings.HasSuffix(path, ":batch") || strings.HasPrefix(path, importsPath) {
		return maxBatchBytes
	}
	return maxBodyBytes
}

// handlers are the JSON forms of services, by full name.
var handlers = map[string]func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
	"onlinesms.ingest.v1.MessageService":         gwingestv1.RegisterMessageServiceHandler,
	"onlinesms.ingest.v1.ApiKeyService":          gwingestv1.RegisterApiKeyServiceHandler,
	"onlinesms.ingest.v1.TenantService":          gwingestv1.RegisterTenantServiceHandler,
	"onlinesms.ingest.v1.UserService":            gwingestv1.RegisterUserServiceHandler,
	"onlinesms.ingest.v1.SessionService":         gwingestv1.RegisterSessionServiceHandler,
	"onlinesms.ingest.v1.VerificationService":    gwingestv1.RegisterVerificationServiceHandler,
	"onlinesms.compliance.v1.ComplianceService":  gwcompliancev1.RegisterComplianceServiceHandler,
	"onlinesms.compliance.v1.RegistryService":    gwcompliancev1.RegisterRegistryServiceHandler,
	"onlinesms.compliance.v1.ScrubService":       gwcompliancev1.RegisterScrubServiceHandler,
	"onlinesms.compliance.v1.TemplateService":    gwcompliancev1.RegisterTemplateServiceHandler,
	"onlinesms.audit.v1.AuditService":            gwauditv1.RegisterAuditServiceHandler,
	"onlinesms.compliance.v1.ConsentService":     gwcompliancev1.RegisterConsentServiceHandler,
	"onlinesms.compliance.v1.SuppressionService": gwcompliancev1.RegisterSuppressionServiceHandler,
	"onlinesms.compliance.v1.ComplaintService":   gwcompliancev1.RegisterComplaintServiceHandler,
	"onlinesms.ingest.v1.ReconciliationService":  gwingestv1.RegisterReconciliationServiceHandler,
	"onlinesms.dispatch.v1.RouteService":         gwdispatchv1.RegisterRouteServiceHandler,
	"onlinesms.dispatch.v1.InboundService":       gwdispatchv1.RegisterInboundServiceHandler,
	"onlinesms.compliance.v1.PreferenceService":  gwcompliancev1.RegisterPreferenceServiceHandler,
	"onlinesms.compliance.v1.ContentService":     gwcompliancev1.RegisterContentServiceHandler,

	"onlinesms.dispatch.v1.WebhookEndpointService": gwdispatchv1.RegisterWebhookEndpointServiceHandler,
	"onlinesms.dispatch.v1.WebhookDeliveryService": gwdispatchv1.RegisterWebhookDeliveryServiceHandler,
}

// newGateway is the JSON form of the offered RPCs, behind conn.
func newGateway(ctx context.Context, conn *grpc.ClientConn, g *guard) (http.Handler, error) {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, newCodec()),
		runtime.SetQueryParameterParser(&queryParser{}),
		runtime.WithIncomingHeaderMatcher(incomingHeader),
		runtime.WithOutgoingHeaderMatcher(outgoingHeader),
		runtime.WithMetadata(originMetadata),
		runtime.WithErrorHandler(writeError),
		runtime.WithRoutingErrorHandler(func(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, status int) {
			g.writeRoutingError(w, r, status)
		}),
		runtime.WithMiddlewares(g.beforeBody),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithWriteContentLength(),
	)
	for service := range g.offer.services() {
		register, ok := handlers[service]
		if !ok {
			return nil, fmt.Errorf("%s has JSON routes and no handler for them", service)
		}
		if err := register(ctx, mux, conn); err != nil {
			return nil, err
		}
	}
	return mux, nil
}

// beforeBody refuses before a byte of the body is read: first who may not come in, then what is not JSON or too large.
// The interceptors of the gRPC server check the key again; from its cache that costs a microsecond.
func (g *guard) beforeBody(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
		method, v := g.offer.methodOf(r), visitOf(r.Context())
		if method == "" { // a path the gateway takes with an empty id in it
			g.writeRoutingError(w, r, http.StatusNotFound)
			return
		}
		v.access = g.offer.rules[method]
		p, err := g.admit(r.Context(), method, r.Header.Values("Authorization"))
		v.caller = p
		if err != nil {
			problemOf(err).write(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-store") // answers are of one tenant, and may hold a number
		if r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch {
			if !mayBeJSON(r.Header.Get("Content-Type")) {
				newProblem(http.StatusUnsupportedMediaType, "CONTENT_TYPE", "the body must be application/json").write(w, r)
				return
			}
		}
		limit := bodyLimit(r.URL.Path)
		if r.ContentLength > limit {
			w.Header().Set("Connection", "close") // the body is not read to its end
			tooLarge(limit).write(w, r)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		next(w, r, params)
	}
}

// mayBeJSON tells whether a body said to be of that type is read as JSON: also when nothing is said, or what curl -d
// says by itself. That opens nothing to other sites' pages: a call needs a key or token, which no browser adds, and
// where it comes by cookie or needs none, other sites are refused (browsers).
func mayBeJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || kind == "application/x-www-form-urlencoded" ||
		strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json"))
}

func tooLarge(limit int64) *problem {
	p := newProblem(http.StatusRequestEntityTooLarge, "REQUEST_TOO_LARGE", "the body is larger than this method takes")
	p.Metadata = map[string]string{"limit_bytes": itoa(limit)}
	return p
}

// incomingHeader says which headers become metadata; authorization always does.
func incomingHeader(name string) (string, bool) {
	switch name {
	case "Idempotency-Key":
		return "idempotency-key", true
	case "Traceparent":
		return "traceparent", true
	}
	return "", false
}

// outgoingHeaders are the metadata that become headers; the request id is set before.
var outgoingHeaders = map[string]string{
	"idempotent-replay": "Idempotent-Replay",
	auditEventKey:       "X-Audit-Event",
	caller.SetCookieKey: "Set-Cookie",

	"key-expires-in":      "Key-Expires-In",
	"ratelimit":           "RateLimit",
	"ratelimit-policy":    "RateLimit-Policy",
	"ratelimit-limit":     "RateLimit-Limit",
	"ratelimit-remaining": "RateLimit-Remaining",
	"ratelimit-reset":     "RateLimit-Reset",
}

func outgoingHeader(name string) (string, bool) {
	header, ok := outgoingHeaders[name]
	return header, ok
}

// writeError answers an error of the gateway or of the RPC.
func writeError(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	if md, ok := runtime.ServerMetadataFromContext(ctx); ok {
		for _, found := range []metadata.MD{md.HeaderMD, md.TrailerMD} {
			for name, header := range outgoingHeaders {
				if values := found.Get(name); len(values) > 0 {
					w.Header().Set(header, values[0])
				}
			}
		}
	}
	m, ok := misreadOf(status.Convert(err).Message())
	switch {
	case !ok:
		problemOf(err).write(w, r)
	case m.reason == "TOO_LARGE":
		newProblem(http.StatusRequestEntityTooLarge, "REQUEST_TOO_LARGE", m.detail).write(w, r)
	default:
		newProblem(http.StatusBadRequest, "REQUEST_INVALID", "the request cannot be read; see the violations",
			violation{m.field, m.reason, m.detail}).write(w, r)
	}
}

// writeRoutingError answers a request that matches no route: 404, or 405 with the methods that would do.
func (g *guard) writeRoutingError(w http.ResponseWriter, r *http.Request, status int) {
	switch methods := g.offer.allowed(r.URL.Path); {
	case status == http.StatusMethodNotAllowed && methods != "":
		w.Header().Set("Allow", methods)
		newProblem(status, "METHOD_NOT_ALLOWED", "this path does not take this method").write(w, r)
	case status == http.StatusBadRequest:
		newProblem(status, "REQUEST_INVALID", "the path is malformed").write(w, r)
	default:
		newProblem(http.StatusNotFound, "ROUTE_NOT_FOUND", "there is nothing at this path; see /openapi.json").write(w, r)
	}
}
