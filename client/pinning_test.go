package client

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// authority signs certificates for 127.0.0.1.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert = a.sign(t, template, template, a.key)
	return a
}

func (a *authority) sign(t *testing.T, template, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// issue makes a server's certificate; others are sent along with it.
func (a *authority) issue(t *testing.T, others ...*x509.Certificate) tls.Certificate {
	t.Helper()
	key := newKey(t)
	leaf := a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, a.cert, key)
	cert := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	for _, other := range others {
		cert.Certificate = append(cert.Certificate, other.Raw)
	}
	return cert
}

func (a *authority) config() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

func (a *authority) serve(t *testing.T, cert tls.Certificate) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "in") }))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func get(c *http.Client, url string) error {
	resp, err := c.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	return err
}

func pinned(t *testing.T, cfg *tls.Config, pins ...SPKI) *http.Client {
	t.Helper()
	p, err := NewPinning(pins)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Transport: p.Transport(cfg)}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// Item 5 of the acceptance list: right pins connect, wrong ones do not, one retired and one live pin connect.
func TestItem5Pins(t *testing.T) {
	a := newAuthority(t)
	other := newAuthority(t)
	cert := a.issue(t, other.cert) // the other authority is sent along and proves nothing
	s := a.serve(t, cert)
	live, root, wrong, retired := SPKIOf(cert.Leaf), SPKIOf(a.cert), SPKI{1}, SPKI{2}
	for name, c := range map[string]struct {
		pins []SPKI
		ok   bool
	}{
		"leaf":                  {[]SPKI{live, wrong}, true},
		"retired and live":      {[]SPKI{retired, live}, true},
		"authority":             {[]SPKI{root, wrong}, true},
		"wrong":                 {[]SPKI{wrong, retired}, false},
		"sent but not in chain": {[]SPKI{SPKIOf(other.cert), wrong}, false},
	} {
		if err := get(pinned(t, a.config(), c.pins...), s.URL); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrPin) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := get(pinned(t, &tls.Config{MinVersion: tls.VersionTLS12}, live, wrong), s.URL); err == nil {
		t.Error("a pin replaces the verification of the certificate")
	}
}

// The check runs on resumed sessions too.
func TestItem5ResumedSessions(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		a := newAuthority(t)
		cert := a.issue(t)
		s := a.serve(t, cert)
		cfg := a.config()
		cfg.ClientSessionCache, cfg.MaxVersion = tls.NewLRUClientSessionCache(8), version
		right, err := NewPinning([]SPKI{SPKIOf(cert.Leaf), {1}})
		if err != nil {
			t.Fatal(err)
		}
		wrong, err := NewPinning([]SPKI{{1}, {2}})
		if err != nil {
			t.Fatal(err)
		}
		if resumed, err := dial(s, right.Config(cfg)); err != nil || resumed {
			t.Fatalf("first: resumed %v, %v", resumed, err)
		}
		if resumed, err := dial(s, right.Config(cfg)); err != nil || !resumed {
			t.Errorf("TLS %x, second: resumed %v, %v", version, resumed, err)
		}
		if _, err := dial(s, wrong.Config(cfg)); !errors.Is(err, ErrPin) {
			t.Errorf("TLS %x: a resumed session passes wrong pins: %v", version, err)
		}
	}
}

// dial makes one request on a connection of its own: a TLS 1.3 ticket comes with the answer.
func dial(s *httptest.Server, cfg *tls.Config) (resumed bool, err error) {
	conn, err := tls.Dial("tcp", s.Listener.Addr().String(), cfg)
	if err != nil {
		return false, err
	}
	defer conn.Close() //nolint:errcheck // nothing is written on it
	if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		return false, err
	}
	if _, err := io.ReadAll(conn); err != nil {
		return false, err
	}
	return conn.ConnectionState().DidResume, nil
}

func TestReportOnly(t *testing.T) {
	a := newAuthority(t)
	s := a.serve(t, a.issue(t))
	p, err := NewPinning([]SPKI{{1}, {2}})
	if err != nil {
		t.Fatal(err)
	}
	reports := 0
	c := &http.Client{Transport: p.ReportOnly(func(tls.ConnectionState) { reports++ }).Transport(a.config())}
	defer c.CloseIdleConnections()
	if err := get(c, s.URL); err != nil || reports != 1 {
		t.Errorf("%v, %d reports", err, reports)
	}
}

func TestTwoPinsAtLeast(t *testing.T) {
	for _, pins := range [][]SPKI{nil, {{1}}, {{1}, {1}}} {
		if _, err := NewPinning(pins); err == nil {
			t.Errorf("%v is enough", pins)
		}
	}
}

func TestPinSets(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	body := fmt.Sprintf(`{"pins":[{"kind":"current","spki_sha256":%q},{"kind":"next","spki_sha256":%q}],"expires":%q}`,
		SPKI{1}, SPKI{2}, now.Add(time.Hour).Format(time.RFC3339))
	// While the key is rotated, older ones sign too.
	_, older, _ := ed25519.GenerateKey(rand.Reader)
	sign := func(body string) (all []string) {
		for _, key := range []ed25519.PrivateKey{older, private} {
			all = append(all, base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte(body))))
		}
		return all
	}
	set, err := VerifyPinSet([]byte(body), sign(body), public, now)
	if err != nil || len(set.SPKIs()) != 2 || set.SPKIs()[1] != (SPKI{2}) {
		t.Errorf("%+v, %v", set, err)
	}
	other, _, _ := ed25519.GenerateKey(rand.Reader)
	for name, err := range map[string]error{
		"changed":   second(VerifyPinSet([]byte(strings.Replace(body, "next", "nest", 1)), sign(body), public, now)),
		"other key": second(VerifyPinSet([]byte(body), sign(body), other, now)),
		"unsigned":  second(VerifyPinSet([]byte(body), nil, public, now)),
		"no key":    second(VerifyPinSet([]byte(body), sign(body), nil, now)),
		"expired":   second(VerifyPinSet([]byte(body), sign(body), public, now.Add(2*time.Hour))),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }
