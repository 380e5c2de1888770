package app

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
	"github.com/onlinesms/onlinesms/services/ingest/internal/tenant"
)

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
	w.stopped()
	refused := 0
	for _, r := range w.callRecords(t) {
		if r.GetReason() == "ADDRESS_NOT_ALLOWED" && r.GetOutcome() == "refused" && r.GetAddress() != "" && strings.HasPrefix(r.GetActor(), "key/") {
			refused++
		}
	}
	if refused != 8+3+1 {
		t.Errorf("%d refusals of 12 are on record", refused)
	}
}

// proxyHeader writes a PROXY header on a new connection: it is for source.
func proxyHeader(version byte, source string) func(net.Conn) error {
	return func(conn net.Conn) error {
		protocol, destination := proxyproto.TCPv4, "192.0.2.1"
		if strings.Contains(source, ":") {
			protocol, destination = proxyproto.TCPv6, "2001:db8::1"
		}
		h := proxyproto.Header{
			Version: version, Command: proxyproto.PROXY, TransportProtocol: protocol,
			SourceAddr: &net.TCPAddr{IP: net.ParseIP(source), Port: 4000}, DestinationAddr: &net.TCPAddr{IP: net.ParseIP(destination), Port: 443},
		}
		_, err := h.WriteTo(conn)
		return err
	}
}

// Item 15: the PROXY header of a trusted range counts, version 2 only; anybody else's breaks his own connection.
func TestItem15ProxyProtocol(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Access.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")} })
	rules, err := tenant.ParseAddresses([]string{"203.0.113.0/24"})
	if err != nil {
		t.Fatal(err)
	}
	key := w.key(t, "live", rules, "messages:read")
	for name, test := range map[string]struct {
		client *http.Client
		want   int
	}{
		"trusted, allowed source":   {w.from(t, "127.0.0.3", proxyHeader(2, "203.0.113.9")), 200},
		"trusted, another source":   {w.from(t, "127.0.0.3", proxyHeader(2, "198.51.100.9")), 403},
		"trusted, text version":     {w.from(t, "127.0.0.3", proxyHeader(1, "203.0.113.9")), 0},
		"trusted, without a header": {w.from(t, "127.0.0.3", nil), 0},
		"untrusted with a header":   {w.from(t, "127.0.0.1", proxyHeader(2, "203.0.113.9")), 0},
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
			return conn, proxyHeader(2, "203.0.113.9")(conn)
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := ingestv1.NewMessageServiceClient(conn).ListMessages(as(t, key), &ingestv1.ListMessagesRequest{}); err != nil {
		t.Errorf("by gRPC through the proxy: %v", err)
	}
}
