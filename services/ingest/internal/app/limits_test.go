package app

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
)

// Item 17: a tenant's limit holds at the door, with the headers that say so; what is refused costs nothing, and another
// environment is not concerned.
func TestItem17LimitAtTheDoor(t *testing.T) {
	w := newWorld(t)
	admin := w.key(t, "live", nil, "tenant:write", "tenant:read", "messages:send", "messages:read")
	tenants := ingestv1.NewTenantServiceClient(w.grpc)
	limit := func(l *ingestv1.TenantLimits) {
		t.Helper()
		if _, err := tenants.UpdateTenant(as(t, admin), &ingestv1.UpdateTenantRequest{Limits: l}); err != nil {
			t.Fatal(err)
		}
	}
	limit(&ingestv1.TenantLimits{RequestsPerSecond: 0.1, RequestBurst: 10})
	var last *response
	taken := 0
	for range 15 {
		if last = w.request(t, "GET", "/v1/messages", "", bearer(w.live)...); last.StatusCode == 200 {
			taken++
		}
	}
	if taken != 10 || last.StatusCode != 429 || last.problem(t).Reason != "RATE_LIMITED" {
		t.Errorf("%d taken of a burst of 10; %d %s", taken, last.StatusCode, last.body)
	}
	h := last.Header
	if retry := h.Get("Retry-After"); retry != "10" && retry != "9" {
		t.Errorf("Retry-After %q at one in ten seconds", retry)
	}
	if h.Get("RateLimit-Limit") != "10" || h.Get("RateLimit-Remaining") != "0" || h.Get("RateLimit-Policy") != `"requests";q=10;w=100` ||
		!strings.HasPrefix(h.Get("RateLimit"), `"requests";r=0;t=`) || h.Get("RateLimit-Reset") == "" {
		t.Errorf("headers %v", h)
	}
	if resp := w.request(t, "GET", "/v1/messages", "", bearer(w.test)...); resp.StatusCode != 200 || resp.Header.Get("RateLimit") != "" {
		t.Errorf("the test environment: %d", resp.StatusCode)
	}
}

func TestItem17MessagesRecipientsTemplates(t *testing.T) {
	w := newWorld(t)
	admin := w.key(t, "live", nil, "tenant:write", "messages:send")
	set := func(l *ingestv1.TenantLimits) {
		t.Helper()
		if _, err := ingestv1.NewTenantServiceClient(w.grpc).UpdateTenant(as(t, admin), &ingestv1.UpdateTenantRequest{Limits: l}); err != nil {
			t.Fatal(err)
		}
	}
	batch := func(numbers ...string) error {
		req := &ingestv1.BatchSendMessagesRequest{}
		for _, to := range numbers {
			m := send()
			req.Messages = append(req.Messages, &ingestv1.OutgoingMessage{
				To: to, EntityId: m.GetEntityId(), Header: m.GetHeader(), TemplateId: m.GetTemplateId(), Text: m.GetText()})
		}
		_, err := w.client().BatchSendMessages(as(t, w.live), req)
		return err
	}
	set(&ingestv1.TenantLimits{MessagesPerSecond: 0.01, MessageBurst: 3})
	if err := batch("9876543210", "9876543211", ""); reasonOf(err) != "REQUEST_INVALID" {
		t.Error(err)
	}
	if err := batch("9876543210", "9876543211", "9876543212"); err != nil {
		t.Errorf("what was refused has cost something: %v", err)
	}
	if err := batch("9876543210"); reasonOf(err) != "RATE_LIMITED" {
		t.Errorf("a fourth message: %v", err)
	}
	if err := batch("9876543210", "9876543211", "9876543212", "9876543213"); status.Code(err) != codes.InvalidArgument {
		t.Errorf("more than the burst: %v", err)
	}
	set(&ingestv1.TenantLimits{MessagesPerTemplateSecond: 0.001}) // a batch's worth at once
	thousand := slices.Repeat([]string{"9876543210"}, 1000)
	if err := batch(thousand...); err != nil {
		t.Error(err)
	}
	if err := batch("9876543210"); reasonOf(err) != "RATE_LIMITED" {
		t.Errorf("one more of the template: %v", err)
	}
	other := send()
	other.TemplateId = "1107160000000000022"
	if _, err := w.client().SendMessage(as(t, w.live), other); err != nil {
		t.Errorf("another template: %v", err)
	}
	set(&ingestv1.TenantLimits{MessagesPerRecipientHour: 2})
	if err := batch("9876543210", "09876543210"); err != nil {
		t.Error(err)
	}
	if err := batch("9876543219", "+919876543210"); reasonOf(err) != "RATE_LIMITED" {
		t.Errorf("a third to one recipient: %v", err)
	}
	if err := batch("9876543219", "9876543219"); err != nil {
		t.Errorf("the other recipient of the refused batch lost something: %v", err)
	}
}

// Item 17: two doors that are both asked for more than a limit allows give no more than 5 % above it together, as their
// callers count; what is refused says when to come again, and then is taken.
func TestItem17TwoDoorsTogether(t *testing.T) {
	w := newWorld(t)
	admin := w.key(t, "live", nil, "tenant:write", "messages:read")
	doors := []*grpc.ClientConn{w.grpc, w.replica(t)}
	const perSecond, burst, load = 40, 20, 3 * time.Second
	if _, err := ingestv1.NewTenantServiceClient(w.grpc).UpdateTenant(as(t, admin), &ingestv1.UpdateTenantRequest{
		Limits: &ingestv1.TenantLimits{RequestsPerSecond: perSecond, RequestBurst: burst}}); err != nil {
		t.Fatal(err)
	}
	var taken, refused atomic.Int64
	var longest atomic.Int64 // advice on when to come again
	start := time.Now()
	var callers sync.WaitGroup
	for _, door := range doors {
		client := ingestv1.NewMessageServiceClient(door)
		for range 2 {
			callers.Go(func() {
				for time.Since(start) < load {
					_, err := client.ListMessages(as(t, w.live), &ingestv1.ListMessagesRequest{PageSize: 1})
					switch {
					case err == nil:
						taken.Add(1)
					case reasonOf(err) == "RATE_LIMITED":
						refused.Add(1)
						longest.Store(max(longest.Load(), int64(adviceOf(err))))
					default:
						t.Error(err)
						return
					}
				}
			})
		}
	}
	callers.Wait()
	allowed := burst + perSecond*time.Since(start).Seconds()
	t.Logf("%d taken, %.0f allowed, %d refused", taken.Load(), allowed, refused.Load())
	if float64(taken.Load()) > allowed*1.05 || refused.Load() == 0 {
		t.Errorf("%d taken and %d refused, %.0f allowed", taken.Load(), refused.Load(), allowed)
	}
	if advice := time.Duration(longest.Load()); advice <= 0 || advice > time.Second {
		t.Errorf("the longest advice is %v at %d a second", advice, perSecond)
	}
	eventually(t, "a call to be taken again", func() bool {
		_, err := w.client().ListMessages(as(t, w.live), &ingestv1.ListMessagesRequest{PageSize: 1})
		return err == nil
	})
}

// adviceOf is the RetryInfo of an error.
func adviceOf(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// Item 17: an address is limited whatever its keys are, refused ones too, and IPv6 by /48.
func TestItem17Address(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Access.AddressPerSecond = 1
		c.Access.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")}
	})
	spend := func(from, key string) (taken, limited int) {
		client := w.from(t, "127.0.0.3", proxyHeader(2, from))
		for range 40 {
			switch code, body := w.get(t, client, key); {
			case code == 429 && strings.Contains(body, "RATE_LIMITED"):
				limited++
			case code == 200 || code == 401:
				taken++
			default:
				t.Fatalf("%d %s", code, body)
			}
		}
		return taken, limited
	}
	if taken, limited := spend("203.0.113.9", w.live); taken < 1 || limited == 0 {
		t.Errorf("%d taken, %d limited", taken, limited)
	}
	if _, limited := spend("203.0.113.10", "osms_live_nonsense"); limited == 0 {
		t.Error("wrong keys can be tried without a limit")
	}
	if _, limited := spend("2001:db8:1:1::1", w.live); limited == 0 {
		t.Error("an IPv6 address has no limit")
	}
	// The rest of its /48 has used up the same limit.
	client := w.from(t, "127.0.0.3", proxyHeader(2, "2001:db8:1:ffff::2"))
	limited := false
	for range 10 {
		code, _ := w.get(t, client, w.live)
		limited = limited || code == 429
	}
	if !limited {
		t.Error("another address of the same /48 has a limit of its own")
	}
	if code, body := w.get(t, w.from(t, "127.0.0.3", proxyHeader(2, "2001:db8:2::1")), w.live); code != 200 {
		t.Errorf("another /48: %d %s", code, body)
	}
}

// While the outbox lags the door sheds before acceptance, bulk first and one-time passwords last, with advice on when to
// come again; nothing of what is refused is stored, and what was accepted stays.
func TestLoadIsShedWhileTheOutboxLags(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Bus.URL, c.Bus.MonitorURL = "nats://127.0.0.1:1", "http://127.0.0.1:1" })
	if _, err := w.client().SendMessage(as(t, w.live), send()); err != nil {
		t.Fatal(err)
	}
	stored := w.count(t, "parcels WHERE subject LIKE '%MessagesAccepted%'")
	batch := `{"messages": [` + sendJSON + `]}`
	lags := func(rows int64, path, body string, want int) {
		t.Helper()
		// Ids of far ahead: no relay takes them up.
		if _, err := w.db.DB.Worker.Exec(t.Context(), `INSERT INTO outbox (parcel_id, subject)
			SELECT ('ffffffff-ffff-7fff-8fff-' || lpad(to_hex(n), 12, '0'))::uuid, 'x' FROM generate_series(1, $1) n ON CONFLICT DO NOTHING`, rows); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the outbox to be counted", func() bool { return w.unsent.Load() >= rows })
		resp := w.request(t, "POST", path, body, bearer(w.live)...)
		if resp.StatusCode != want {
			t.Errorf("%d rows behind, %s: %d %s", rows, path, resp.StatusCode, resp.body)
		}
		if want == 503 && (resp.problem(t).Reason != "OVERLOADED" || resp.Header.Get("Retry-After") == "") {
			t.Errorf("%s, Retry-After %q", resp.body, resp.Header.Get("Retry-After"))
		}
	}
	lags(30_000, "/v1/messages:batch", batch, 503)
	lags(30_000, "/v1/messages", sendJSON, 200)
	lags(50_000, "/v1/messages", sendJSON, 503)
	if n := w.count(t, "parcels WHERE subject LIKE '%MessagesAccepted%'"); n != stored+1 {
		t.Errorf("%d parcels, %d before: one was taken", n, stored)
	}
}
