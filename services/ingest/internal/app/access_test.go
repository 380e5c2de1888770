package app

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/durationpb"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	typev1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/type/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/api"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
)

// key makes a key of the demo tenant.
func (w *world) key(t testing.TB, env string, rules tenant.Addresses, scopes ...string) string {
	t.Helper()
	b := tenant.Bootstrap{Directory: w.store, Peppers: w.access.keys.Peppers, Now: time.Now, Random: rand.Reader}
	keys, err := b.Run(t.Context(), tenant.Tenant{ID: demoTenant, Name: "Demo"}, []tenant.Wanted{{Env: env, Scopes: scopes, Addresses: rules}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return keys[env]
}

func kidOf(t testing.TB, key string) string {
	t.Helper()
	k, err := tenant.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return k.KID
}

// setKey changes a key behind everybody's back and has this replica forget it.
func (w *world) setKey(t testing.TB, key, change string) {
	t.Helper()
	if _, err := w.db.DB.Worker.Exec(t.Context(), "UPDATE api_keys SET "+change+" WHERE kid = $1", kidOf(t, key)); err != nil {
		t.Fatal(err)
	}
	w.access.verifier.Forget(demoTenant, kidOf(t, key))
}

func (w *world) keys() ingestv1.ApiKeyServiceClient { return ingestv1.NewApiKeyServiceClient(w.grpc) }

// Item 9 of the acceptance list: every way a key can be wrong has its status and its reason, by JSON and by gRPC.
func TestItem9KeyReasons(t *testing.T) {
	w := newWorld(t)
	unknown, err := tenant.NewKey("live", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wrong, _ := tenant.ParseKey(w.live)
	wrong.Secret = strings.Repeat("0", len(wrong.Secret))
	crossed, _ := tenant.ParseKey(w.live)
	crossed.Env = "test"
	expired, revoked := w.key(t, "live", nil, "messages:read"), w.key(t, "live", nil, "messages:read")
	w.setKey(t, expired, "expire_time = now() - interval '1 second'")
	w.setKey(t, revoked, "status = 'revoked'")
	unscoped := w.key(t, "live", nil, "audit:read")
	for name, test := range map[string]struct {
		key    string
		status int
		reason string
	}{
		"missing": {"", 401, "KEY_MISSING"}, "malformed": {"osms_live_x", 401, "KEY_INVALID"},
		"wrong CRC": {w.live[:len(w.live)-1] + "!", 401, "KEY_INVALID"}, "unknown": {unknown.String(), 401, "KEY_INVALID"},
		"wrong secret": {wrong.String(), 401, "KEY_INVALID"}, "wrong environment": {crossed.String(), 403, "KEY_WRONG_ENVIRONMENT"},
		"expired": {expired, 401, "KEY_EXPIRED"}, "revoked": {revoked, 401, "KEY_REVOKED"},
		"without the scope": {unscoped, 403, "SCOPE_MISSING"}, "right": {w.live, 200, ""},
	} {
		var headers []string
		ctx := t.Context()
		if test.key != "" {
			headers, ctx = bearer(test.key), as(t, test.key)
		}
		resp := w.request(t, "GET", "/v1/messages", "", headers...)
		if resp.StatusCode != test.status {
			t.Errorf("%s: status %d, %s", name, resp.StatusCode, resp.body)
		}
		if test.reason != "" && resp.problem(t).Reason != test.reason {
			t.Errorf("%s: %s, want %s", name, resp.body, test.reason)
		}
		if _, err := w.client().ListMessages(ctx, &ingestv1.ListMessagesRequest{}); reasonOf(err) != test.reason {
			t.Errorf("%s by gRPC: %v, want %s", name, err, test.reason)
		}
	}
	// A test key that asks for something live.
	manager := w.key(t, "test", nil, "keys:write", "messages:read")
	_, err = w.keys().CreateApiKey(as(t, manager), &ingestv1.CreateApiKeyRequest{Name: "x", Env: typev1.Environment_LIVE, Scopes: []string{"messages:read"}})
	if status.Code(err) != codes.PermissionDenied || reasonOf(err) != "KEY_WRONG_ENVIRONMENT" {
		t.Errorf("a test key makes a live one: %v", err)
	}
}

func reasonOf(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(interface{ GetReason() string }); ok {
			return info.GetReason()
		}
	}
	return ""
}

// Item 11: no RPC with an id finds what belongs to the other environment of the same tenant.
func TestItem11OtherEnvironment(t *testing.T) {
	w := newWorld(t)
	all := api.Scopes()
	envs := map[string]string{"live": w.key(t, "live", nil, all...), "test": w.key(t, "test", nil, all...)}
	for env, key := range envs {
		other := envs[map[string]string{"live": "test", "test": "live"}[env]]
		sent, err := w.client().SendMessage(as(t, key), send())
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]string{"message_id": sent.GetMessageId(), "key_id": kidOf(t, key), "verification_id": sent.GetMessageId(), "user_id": sent.GetMessageId(), "session_id": "x"}
		called := 0
		eachMethod(func(m protoreflect.MethodDescriptor, id string) {
			value, known := ids[id]
			if !known {
				t.Errorf("%s: no resource for {%s}", m.FullName(), id)
				return
			}
			called++
			err := w.call(as(t, other), m, id, value)
			if c := status.Code(err); c != codes.NotFound && c != codes.PermissionDenied {
				t.Errorf("%s of %s with the other environment's key: %v", m.FullName(), env, err)
			}
		})
		if called < 5 {
			t.Fatalf("only %d methods with an id were found", called)
		}
		list, err := w.keys().ListApiKeys(as(t, other), &ingestv1.ListApiKeysRequest{})
		if err != nil || slices.ContainsFunc(list.GetApiKeys(), func(k *ingestv1.ApiKey) bool { return k.GetKeyId() == kidOf(t, key) }) {
			t.Errorf("a key of %s is listed in the other environment, %v", env, err)
		}
	}
}

// eachMethod visits ingest's public RPCs with an id in their path.
func eachMethod(visit func(m protoreflect.MethodDescriptor, id string)) {
	protoregistry.GlobalFiles.RangeFilesByPackage("onlinesms.ingest.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			methods := f.Services().Get(i).Methods()
			for j := range methods.Len() {
				rule, _ := proto.GetExtension(methods.Get(j).Options(), annotations.E_Http).(*annotations.HttpRule)
				path := rule.GetGet() + rule.GetPost() + rule.GetPut() + rule.GetDelete()
				if _, rest, found := strings.Cut(path, "{"); found {
					id, _, _ := strings.Cut(rest, "}")
					visit(methods.Get(j), id)
				}
			}
		}
		return true
	})
}

// call makes a well-formed call of any RPC about one resource.
func (w *world) call(ctx context.Context, m protoreflect.MethodDescriptor, id, value string) error {
	req := dynamicpb.NewMessage(m.Input())
	text := map[string]string{id: value, "name": "x", "code": "123456", "to": "9876543210", "role": "auditor"}
	for i := range m.Input().Fields().Len() {
		f := m.Input().Fields().Get(i)
		switch {
		case f.Name() == "scopes":
			req.Mutable(f).List().Append(protoreflect.ValueOfString("messages:read"))
		case f.Kind() == protoreflect.StringKind && !f.IsList() && text[string(f.Name())] != "":
			req.Set(f, protoreflect.ValueOfString(text[string(f.Name())]))
		}
	}
	return w.grpc.Invoke(ctx, "/"+string(m.Parent().FullName())+"/"+string(m.Name()), req, dynamicpb.NewMessage(m.Output()))
}

// Item 13: a key close to its end says so in every answer, by gRPC and JSON, refusals included.
func TestItem13Warning(t *testing.T) {
	w := newWorld(t)
	key := w.key(t, "live", nil, "messages:read")
	if resp := w.request(t, "GET", "/v1/messages", "", bearer(key)...); resp.Header.Get("Key-Expires-In") != "" {
		t.Errorf("a fresh key expires in %s", resp.Header.Get("Key-Expires-In"))
	}
	w.setKey(t, key, "expire_time = now() + interval '23 hours'")
	for path, want := range map[string]int{"/v1/messages": 200, "/v1/messages/01930000-0000-7000-8000-000000000001": 404} {
		if resp := w.request(t, "GET", path, "", bearer(key)...); resp.StatusCode != want || resp.Header.Get("Key-Expires-In") != "1" {
			t.Errorf("%s: %d, Key-Expires-In %q", path, resp.StatusCode, resp.Header.Get("Key-Expires-In"))
		}
	}
	var header metadata.MD
	if _, err := w.client().ListMessages(as(t, key), &ingestv1.ListMessagesRequest{}, grpc.Header(&header)); err != nil || !slices.Equal(header.Get("key-expires-in"), []string{"1"}) {
		t.Errorf("%v, %v", header, err)
	}
	if err := tenant.Remind(t.Context(), w.store, w.log); err != nil || !strings.Contains(w.logs.String(), kidOf(t, key)) {
		t.Errorf("no reminder in the log, %v", err)
	}
}

// Item 14: while calls run on two replicas, a revocation by one is effective on both within a second.
func TestItem14Revocation(t *testing.T) {
	w := newWorld(t)
	manager := w.key(t, "live", nil, "keys:write", "keys:read", "messages:read")
	second := w.replica(t)
	eventually(t, "both replicas to listen", func() bool { return w.heard(t, manager, second) })
	for range 5 {
		made, err := w.keys().CreateApiKey(as(t, manager), &ingestv1.CreateApiKeyRequest{Name: "doomed", Scopes: []string{"messages:read"}})
		if err != nil {
			t.Fatal(err)
		}
		var last atomic.Int64
		var ended sync.WaitGroup
		for _, conn := range []*grpc.ClientConn{w.grpc, second} {
			client := ingestv1.NewMessageServiceClient(conn)
			use := func() error {
				_, err := client.ListMessages(as(t, made.GetSecret()), &ingestv1.ListMessagesRequest{PageSize: 1})
				return err
			}
			if err := use(); err != nil {
				t.Fatal(err)
			}
			for range 4 {
				ended.Go(func() {
					deadline := time.Now().Add(20 * time.Second)
					for time.Now().Before(deadline) {
						began := time.Now()
						if err := use(); err == nil {
							last.Store(max(last.Load(), began.UnixNano()))
						} else if reasonOf(err) == "KEY_REVOKED" {
							return
						}
					}
					t.Error("the key was never refused")
				})
			}
		}
		if _, err := w.keys().RevokeApiKey(as(t, manager), &ingestv1.RevokeApiKeyRequest{KeyId: made.GetApiKey().GetKeyId(), Reason: "test"}); err != nil {
			t.Fatal(err)
		}
		answered := time.Now()
		ended.Wait()
		if after := time.Unix(0, last.Load()).Sub(answered); after > time.Second {
			t.Errorf("still taken %v after the answer", after)
		}
	}
}

// heard tells whether the replica behind conn hears of a revocation within half a second: a replica that has just
// started does not listen yet, and finds out by itself within 30 s.
func (w *world) heard(t *testing.T, manager string, conn *grpc.ClientConn) bool {
	t.Helper()
	made, err := w.keys().CreateApiKey(as(t, manager), &ingestv1.CreateApiKeyRequest{Name: "probe", Scopes: []string{"messages:read"}})
	if err != nil {
		t.Fatal(err)
	}
	use := func() error {
		_, err := ingestv1.NewMessageServiceClient(conn).ListMessages(as(t, made.GetSecret()), &ingestv1.ListMessagesRequest{})
		return err
	}
	if err := use(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.keys().RevokeApiKey(as(t, manager), &ingestv1.RevokeApiKeyRequest{KeyId: made.GetApiKey().GetKeyId()}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); {
		if use() != nil {
			return true
		}
	}
	return false
}

// from is an HTTPS client that connects from an address of this host; wrap may change its connections.
func (w *world) from(t testing.TB, address string, wrap func(net.Conn) error) *http.Client {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: w.roots, ServerName: "localhost"}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, to)
			if err == nil && wrap != nil {
				err = wrap(conn)
			}
			return conn, err
		},
	}}
	return client
}

// get answers status and body of a list with key.
func (w *world) get(t testing.TB, client *http.Client, key string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+w.door.HTTPAddr().String()+"/v1/messages", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

// Item 15: address rules of keys and tenants hold on every path, and no header moves a caller.
func TestItem15AddressRules(t *testing.T) {
	w := newWorld(t)
	rules, err := tenant.ParseAddresses([]string{"::ffff:127.0.0.2", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	key := w.key(t, "live", rules, "messages:read", "tenant:write")
	inside, outside := w.from(t, "127.0.0.2", nil), w.from(t, "127.0.0.1", nil)
	if code, body := w.get(t, inside, key); code != 200 {
		t.Errorf("from the address allowed: %d %s", code, body)
	}
	for _, headers := range [][]string{
		nil, {"X-Forwarded-For", "127.0.0.2"}, {"Forwarded", "for=127.0.0.2"}, {"X-Real-IP", "127.0.0.2"}, {"True-Client-IP", "127.0.0.2"},
		{"X-Forwarded-For", "127.0.0.2", "X-Forwarded-For", "127.0.0.2"}, {"X-Onlinesms-Address", "127.0.0.2"},
		{"Grpc-Metadata-X-Onlinesms-Address", "127.0.0.2"},
	} {
		if code, body := w.get(t, outside, key, headers...); code != 403 || !strings.Contains(body, "ADDRESS_NOT_ALLOWED") {
			t.Errorf("from elsewhere with %v: %d %s", headers, code, body)
		}
	}
	for _, pair := range [][]string{nil, {"x-onlinesms-address", "127.0.0.2"}, {"x-forwarded-for", "127.0.0.2"}} {
		if _, err := w.client().ListMessages(as(t, key, pair...), &ingestv1.ListMessagesRequest{}); reasonOf(err) != "ADDRESS_NOT_ALLOWED" {
			t.Errorf("by gRPC with %v: %v", pair, err)
		}
	}
	// The tenant's own rules bind all of its keys of that environment, at once; they cannot shut out who sets them.
	admin := w.key(t, "live", nil, "tenant:write", "tenant:read")
	tenants := ingestv1.NewTenantServiceClient(w.grpc)
	if _, err := tenants.UpdateTenant(as(t, admin), &ingestv1.UpdateTenantRequest{AllowedAddresses: []string{"127.0.0.2/32"}}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("rules that shut out the caller: %v", err)
	}
	if _, err := tenants.UpdateTenant(as(t, admin), &ingestv1.UpdateTenantRequest{AllowedAddresses: []string{"127.0.0.1/32"}}); err != nil {
		t.Fatal(err)
	}
	if code, body := w.get(t, inside, w.live); code != 403 || !strings.Contains(body, "ADDRESS_NOT_ALLOWED") {
		t.Errorf("against the tenant's rules: %d %s", code, body)
	}
	if code, body := w.get(t, inside, w.test); code != 200 {
		t.Errorf("the other environment has its own rules: %d %s", code, body)
	}
	eventually(t, "the refusals on record", func() bool { return strings.Contains(w.logs.String(), "ADDRESS_NOT_ALLOWED") })
}

// Item 15: the PROXY header of a trusted range counts, version 2 only; anybody else's breaks his own connection.
func TestItem15ProxyProtocol(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Access.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")} })
	rules, err := tenant.ParseAddresses([]string{"203.0.113.0/24"})
	if err != nil {
		t.Fatal(err)
	}
	key := w.key(t, "live", rules, "messages:read")
	header := func(version byte, source string) func(net.Conn) error {
		return func(conn net.Conn) error {
			h := proxyproto.Header{
				Version: version, Command: proxyproto.PROXY, TransportProtocol: proxyproto.TCPv4,
				SourceAddr: &net.TCPAddr{IP: net.ParseIP(source), Port: 4000}, DestinationAddr: &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 443},
			}
			_, err := h.WriteTo(conn)
			return err
		}
	}
	for name, test := range map[string]struct {
		client *http.Client
		want   int
	}{
		"trusted, allowed source":   {w.from(t, "127.0.0.3", header(2, "203.0.113.9")), 200},
		"trusted, another source":   {w.from(t, "127.0.0.3", header(2, "198.51.100.9")), 403},
		"trusted, text version":     {w.from(t, "127.0.0.3", header(1, "203.0.113.9")), 0},
		"trusted, without a header": {w.from(t, "127.0.0.3", nil), 0},
		"untrusted with a header":   {w.from(t, "127.0.0.1", header(2, "203.0.113.9")), 0},
		"untrusted without":         {w.from(t, "127.0.0.1", nil), 403},
	} {
		if code, body := w.get(t, test.client, key); code != test.want {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	conn, err := grpc.NewClient(w.door.GRPCAddr().String(),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: w.roots, ServerName: "localhost"})),
		grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) {
			conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.3")}}).DialContext(ctx, "tcp", to)
			if err != nil {
				return nil, err
			}
			return conn, header(2, "203.0.113.9")(conn)
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := ingestv1.NewMessageServiceClient(conn).ListMessages(as(t, key), &ingestv1.ListMessagesRequest{}); err != nil {
		t.Errorf("by gRPC through the proxy: %v", err)
	}
}

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

// Keys are made, listed, rotated with an overlap and revoked; secrets are shown once; nobody gives what he does not hold.
func TestApiKeys(t *testing.T) {
	w := newWorld(t)
	manager := w.key(t, "live", nil, "keys:write", "keys:read", "messages:read")
	resp := w.request(t, "POST", "/v1/api-keys", `{"name": "shop", "scopes": ["messages:read"], "allowedAddresses": ["127.0.0.0/8"], "lifetime": "86400s"}`, bearer(manager)...)
	if resp.StatusCode != 200 || resp.Header.Get("X-Audit-Event") == "" {
		t.Fatalf("%d %s", resp.StatusCode, resp.body)
	}
	list := w.request(t, "GET", "/v1/api-keys?pageSize=1", "", bearer(manager)...)
	if list.StatusCode != 200 || strings.Contains(string(list.body), "osms_") || !strings.Contains(string(list.body), `"shop"`) || !strings.Contains(string(list.body), "nextPageToken") {
		t.Errorf("%s", list.body)
	}
	if _, err := w.keys().CreateApiKey(as(t, manager), &ingestv1.CreateApiKeyRequest{Name: "x", Scopes: []string{"messages:send"}}); reasonOf(err) != "SCOPE_MISSING" {
		t.Errorf("a scope the caller lacks: %v", err)
	}
	if _, err := w.keys().RotateApiKey(as(t, manager), &ingestv1.RotateApiKeyRequest{KeyId: kidOf(t, w.live)}); reasonOf(err) != "SCOPE_MISSING" {
		t.Errorf("rotating a stronger key: %v", err)
	}
	if _, err := w.keys().CreateApiKey(as(t, manager), &ingestv1.CreateApiKeyRequest{
		Name: "x", Scopes: []string{"nonsense"}, Lifetime: durationpb.New(91 * 24 * time.Hour), AllowedAddresses: []string{"1.2.3.4/40"}}); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
	made, err := w.keys().CreateApiKey(as(t, manager), &ingestv1.CreateApiKeyRequest{Name: "first", Scopes: []string{"messages:read"}})
	if err != nil {
		t.Fatal(err)
	}
	works := func(key string) bool {
		_, err := w.client().ListMessages(as(t, key), &ingestv1.ListMessagesRequest{})
		return err == nil
	}
	rotated, err := w.keys().RotateApiKey(as(t, manager), &ingestv1.RotateApiKeyRequest{KeyId: made.GetApiKey().GetKeyId()})
	if err != nil || !works(made.GetSecret()) || !works(rotated.GetSecret()) || rotated.GetPrevious().GetStatus() != "ROTATED" ||
		rotated.GetPrevious().GetExpireTime().AsTime().Sub(rotated.GetApiKey().GetCreateTime().AsTime()) != tenant.DefaultOverlap {
		t.Errorf("%v, %v", rotated, err)
	}
	again, err := w.keys().RotateApiKey(as(t, manager), &ingestv1.RotateApiKeyRequest{KeyId: rotated.GetApiKey().GetKeyId(), Overlap: durationpb.New(0)})
	if err != nil || works(rotated.GetSecret()) || !works(again.GetSecret()) || again.GetPrevious().GetStatus() != "EXPIRED" {
		t.Errorf("at once: %v, %v", again, err)
	}
	if _, err := w.keys().RotateApiKey(as(t, manager), &ingestv1.RotateApiKeyRequest{KeyId: rotated.GetApiKey().GetKeyId()}); reasonOf(err) != "KEY_NOT_ACTIVE" {
		t.Errorf("a key with a successor: %v", err)
	}
	if err := w.access.uses.Flush(t.Context(), w.store); err != nil {
		t.Fatal(err)
	}
	got, err := w.keys().GetApiKey(as(t, manager), &ingestv1.GetApiKeyRequest{KeyId: again.GetApiKey().GetKeyId()})
	if err != nil || got.GetApiKey().GetLastUseAddress() != "127.0.0.1" || time.Since(got.GetApiKey().GetLastUseTime().AsTime()) > 2*time.Minute {
		t.Errorf("%v, %v", got, err)
	}
}

// A key bound to a client certificate needs it, by gRPC and both versions of HTTP.
func TestCertificateBoundKeys(t *testing.T) {
	w := newWorld(t)
	cert, err := tls.LoadX509KeyPair(w.path("dispatch.pem"), w.path("dispatch-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key := w.key(t, "live", nil, "messages:read")
	w.setKey(t, key, "certificate_sha256 = sha256('\\x"+hexOf(cert.Certificate[0])+"')")
	for name, certificates := range map[string][]tls.Certificate{"with": {cert}, "without": nil} {
		config := &tls.Config{RootCAs: w.roots, ServerName: "localhost", Certificates: certificates}
		for protocol, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: h2}}
			code, body := w.get(t, client, key)
			if want := map[string]int{"with": 200, "without": 401}[name]; code != want {
				t.Errorf("%s the certificate by %s: %d %s", name, protocol, code, body)
			}
			client.CloseIdleConnections()
		}
		conn, err := grpc.NewClient(w.door.GRPCAddr().String(), grpc.WithTransportCredentials(credentials.NewTLS(config)))
		if err != nil {
			t.Fatal(err)
		}
		_, err = ingestv1.NewMessageServiceClient(conn).ListMessages(as(t, key), &ingestv1.ListMessagesRequest{})
		if want := map[string]string{"with": "", "without": "CERTIFICATE_REQUIRED"}[name]; reasonOf(err) != want {
			t.Errorf("%s the certificate by gRPC: %v", name, err)
		}
		conn.Close()
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

// Item 9: Welch's t of 10,000 calls each, taken in turns, is below 4.5 for unknown keys and wrong secrets. A machine that
// is busy with other things gets three chances.
func TestItem9Timing(t *testing.T) {
	if testing.Short() {
		t.Skip("20,000 calls")
	}
	w := newWorld(t)
	unknown, err := tenant.NewKey("live", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wrong, _ := tenant.ParseKey(w.live)
	wrong.Secret = unknown.Secret
	if _, err := w.client().ListMessages(as(t, w.live), &ingestv1.ListMessagesRequest{}); err != nil {
		t.Fatal(err)
	}
	calls := [2]context.Context{as(t, wrong.String()), as(t, unknown.String())}
	var score float64
	for range 3 {
		if score = w.welch(t, calls); math.Abs(score) < 4.5 {
			return
		}
	}
	t.Errorf("t = %.1f", score)
}

func (w *world) welch(t *testing.T, calls [2]context.Context) float64 {
	const n = 10_000
	var times [2][]float64
	for i := range 2 * n {
		which := (i + i/2) % 2 // a b b a: who comes first changes
		start := time.Now()
		if _, err := w.client().ListMessages(calls[which], &ingestv1.ListMessagesRequest{}); reasonOf(err) != "KEY_INVALID" {
			t.Fatal(err)
		}
		times[which] = append(times[which], float64(time.Since(start)))
	}
	var mean, variance [2]float64
	for i := range times {
		slices.Sort(times[i])
		kept := times[i][:n*99/100] // without the pauses of machine and collector
		for _, x := range kept {
			mean[i] += x / float64(len(kept))
		}
		for _, x := range kept {
			variance[i] += (x - mean[i]) * (x - mean[i]) / float64(len(kept)-1) / float64(len(kept))
		}
	}
	return (mean[0] - mean[1]) / math.Sqrt(variance[0]+variance[1])
}
