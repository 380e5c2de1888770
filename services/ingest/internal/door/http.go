package door

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
	"github.com/onlinesms/onlinesms/services/internal/service"
)

// Bounds of HTTP. maxHeaderBytes is ours and answered with a problem; net/http's own is four times as much, because it
// answers without asking anybody.
const (
	maxHeaderBytes = 16 << 10
	headerLimit    = 5 * time.Second
	readLimit      = 30 * time.Second
	writeLimit     = 60 * time.Second
	idleLimit      = 2 * time.Minute
)

// newHTTPServer serves handler to connections that are TLS already.
func newHTTPServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:                      handler,
		ConnContext:                  withConn,
		ReadHeaderTimeout:            headerLimit,
		ReadTimeout:                  readLimit,
		WriteTimeout:                 writeLimit,
		IdleTimeout:                  idleLimit,
		MaxHeaderBytes:               4 * maxHeaderBytes,
		DisableGeneralOptionsHandler: true, // OPTIONS * passes our handler like all else
		// net/http quotes what clients send; of its log only that there was something is kept.
		ErrorLog: slog.NewLogLogger(quiet{log.Handler()}, slog.LevelDebug),
	}
}

// quiet drops the text of records.
type quiet struct{ slog.Handler }

// Handle keeps level and time.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	return q.Handler.Handle(ctx, slog.NewRecord(r.Time, r.Level, "HTTP connection failed", 0))
}

// outermost is what every HTTPS request passes first: HSTS, request id, a panic becomes a problem, too many header
// bytes are refused.
func (g *guard) outermost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(hstsName, hstsValue)
		from := g.originOf(r)
		w.Header().Set("X-Request-Id", from.RequestID)
		r = r.WithContext(caller.NewContext(r.Context(), from))
		defer recovered(w, r, g.log)
		if headerBytes(r) > maxHeaderBytes {
			newProblem(http.StatusRequestHeaderFieldsTooLarge, "REQUEST_TOO_LARGE", "the header is larger than 16 KiB").write(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// recovered answers a panic with 500, as far as nothing was answered yet.
func recovered(w http.ResponseWriter, r *http.Request, log *slog.Logger) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	log.ErrorContext(r.Context(), "request panicked", slog.String("panic", service.PanicText(v)),
		slog.String("stack", string(debug.Stack())), slog.String("request_id", requestID(r.Context())))
	newProblem(http.StatusInternalServerError, "INTERNAL", "internal error").write(w, r)
}

func headerBytes(r *http.Request) int {
	n := len(r.RequestURI)
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(v) + 4
		}
	}
	return n
}

// newHandler is all of HTTPS: the pages, and the gateway for the rest.
func (g *guard) newHandler(gateway http.Handler, cfg *Config) (http.Handler, error) {
	docs, err := docsPage(cfg.OpenAPI)
	if err != nil {
		return nil, err
	}
	byPath := map[string]http.Handler{
		"/openapi.json": static("application/json", "", cfg.OpenAPI), "/docs": docs, "/v1/reasons": reasonsPage,
	}
	if cfg.Pins != nil {
		byPath[pinsPath] = cfg.Pins.page(cfg.TLS)
	}
	if byPath[webhookIPsPath], err = cfg.WebhookIPs.page(); err != nil {
		return nil, err
	}
	return g.outermost(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := byPath[r.URL.Path]
		switch {
		case !ok:
			v := &visit{guard: g}
			g.browsers(gateway).ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitContext{}, v)))
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			page.ServeHTTP(w, r)
		default:
			g.writeRoutingError(w, r, http.StatusMethodNotAllowed)
		}
	})), nil
}
