package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func corpus(t testing.TB) (urls []string) {
	t.Helper()
	data, err := os.ReadFile("testdata/refused_urls.json")
	if err == nil {
		err = json.Unmarshal(data, &urls)
	}
	if err != nil || len(urls) < 150 {
		t.Fatalf("%d URLs, %v", len(urls), err)
	}
	return urls
}

// Item 49: no URL of the corpus is taken, and a client that is given one all the same dials nothing.
func TestItem49NoURLOfTheCorpusIsTaken(t *testing.T) {
	g := NewGuard(nil, false)
	var dialled atomic.Int32
	g.dial = func(context.Context, string, string) (net.Conn, error) {
		dialled.Add(1)
		return nil, errors.New("dialled")
	}
	g.resolve = func(_ context.Context, host string) ([]netip.Addr, error) { // as a resolver that obeys everybody
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	c := NewClient(g, nil, 1, time.Now)
	for _, url := range corpus(t) {
		if checkURL(url, g) == nil {
			t.Errorf("taken: %q", url)
		}
		if a := c.Post(t.Context(), url, http.Header{}, nil); a.Delivered() {
			t.Errorf("posted: %q", url)
		}
	}
	if n := dialled.Load(); n != 0 {
		t.Errorf("%d dials", n)
	}
	for _, url := range []string{"https://hooks.example.com/x?y=1", "https://example.com", "https://EXAMPLE.com:8443/", "https://8.8.8.8/", "https://[2606:4700::1111]/x", "https://xn--bcher-kva.example.com/"} {
		if v := checkURL(url, g); v != nil {
			t.Errorf("refused: %q: %s", url, v.Detail)
		}
	}
}

// Item 49: a name that is public when it is looked at and inner when it is dialled, or both at once, reaches nothing.
func TestItem49RebindingReachesNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var came atomic.Int32
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			conn.Close()
		}
	}()
	public, inner := netip.MustParseAddr("192.0.43.8"), netip.MustParseAddr("127.0.0.1")
	g := NewGuard(nil, false)
	var asked atomic.Int32
	for name, answer := range map[string]func() []netip.Addr{
		"inner":           func() []netip.Addr { return []netip.Addr{inner} },
		"both":            func() []netip.Addr { return []netip.Addr{public, inner} },
		"mapped":          func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("::ffff:127.0.0.1")} },
		"second look-up":  func() []netip.Addr { return [][]netip.Addr{{public}, {inner}}[min(asked.Add(1)-1, 1)] },
		"NAT64":           func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("64:ff9b::7f00:1")} },
		"no address":      func() []netip.Addr { return nil },
		"unspecified":     func() []netip.Addr { return []netip.Addr{netip.IPv4Unspecified()} },
		"metadata":        func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("169.254.169.254")} },
		"wire server":     func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("168.63.129.16")} },
		"link-local zone": func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("fe80::1%lo")} },
	} {
		t.Run(name, func(t *testing.T) {
			looks := 0
			guard := *g
			guard.resolve = func(context.Context, string) ([]netip.Addr, error) { looks++; return answer(), nil }
			real := guard.dial
			var to []string
			guard.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				to = append(to, addr)
				if strings.HasPrefix(addr, public.String()) {
					return nil, errors.New("not from a test")
				}
				return real(ctx, network, addr)
			}
			_, port, _ := net.SplitHostPort(l.Addr().String())
			for range 3 {
				if conn, err := guard.DialContext(t.Context(), "tcp", net.JoinHostPort("rebind.example.com", port)); err == nil {
					conn.Close()
					t.Fatal("connected")
				}
			}
			if looks != 3 || slices.ContainsFunc(to, func(a string) bool { return !strings.HasPrefix(a, public.String()) }) {
				t.Errorf("%d look-ups, dialled %v", looks, to)
			}
		})
	}
	// Past the look-up the kernel's own address is looked at: this is what holds if all else fails.
	if _, err := g.dial(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, errForbidden) {
		t.Errorf("dial of loopback: %v", err)
	}
	l.Close()
	if n := came.Load(); n != 0 {
		t.Errorf("%d connections reached loopback", n)
	}
}

func TestTheDeploymentsNetworksAreDenied(t *testing.T) {
	g := NewGuard([]netip.Prefix{netip.MustParsePrefix("9.9.9.0/24")}, false)
	if g.Allows(netip.MustParseAddr("9.9.9.9")) || g.Allows(netip.MustParseAddr("::ffff:9.9.9.9")) || !g.Allows(netip.MustParseAddr("9.9.10.9")) {
		t.Error("WEBHOOK_DENY is not obeyed")
	}
	local := NewGuard(nil, true)
	if local.Allows(netip.MustParseAddr("10.0.0.1")) || !local.Allows(netip.MustParseAddr("127.0.0.1")) || !local.Allows(netip.MustParseAddr("::1")) {
		t.Error("loopback mode allows more, or less, than loopback")
	}
}

func FuzzURL(f *testing.F) {
	f.Add("https://example.com/x")
	f.Add("https://127.1/")
	f.Add("https://[::ffff:7f00:1]:443/")
	f.Fuzz(func(t *testing.T, text string) {
		g := NewGuard(nil, false)
		if checkURL(text, g) != nil {
			return
		}
		req, err := http.NewRequest(http.MethodPost, text, nil)
		if err != nil || req.URL.Scheme != "https" || req.URL.User != nil {
			t.Fatalf("%q is taken and is no request: %v", text, err)
		}
		if addr, err := netip.ParseAddr(req.URL.Hostname()); err == nil && !g.Allows(addr) {
			t.Fatalf("%q leads to %s", text, addr)
		}
	})
}
