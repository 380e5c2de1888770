package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/tlsconf/devca"
)

// authority makes a CA with the given services' certificates, and "public" without an identity.
func authority(t *testing.T, services ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := devca.Create(dir); err != nil {
		t.Fatal(err)
	}
	for _, service := range services {
		issue(t, dir, service, SPIFFEID(service))
	}
	issue(t, dir, "public", "")
	return dir
}

func issue(t *testing.T, dir, name, spiffe string) {
	t.Helper()
	if err := devca.Issue(dir, name, nil, spiffe); err != nil {
		t.Fatal(err)
	}
}

func filesOf(dir, name string) Files {
	return Files{
		Cert: filepath.Join(dir, name+".pem"),
		Key:  filepath.Join(dir, name+"-key.pem"),
		CA:   filepath.Join(dir, "ca.pem"),
	}
}

func must(t *testing.T) func(*tls.Config, error) *tls.Config {
	return func(cfg *tls.Config, err error) *tls.Config {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
}

// listen serves handshakes on a real socket: it writes "hello" to whoever passes. Answers its address.
func listen(t *testing.T, cfg *tls.Config) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.WriteString(conn, "hello") // handshakes first
			}()
		}
	}()
	return listener.Addr().String()
}

// visit connects and reads the greeting: with TLS 1.3 a refused client certificate shows on the first read only.
func visit(addr string, cfg *tls.Config) (tls.ConnectionState, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", addr, cfg)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer func() { _ = conn.Close() }()
	_, err = io.ReadFull(conn, make([]byte, 5))
	return conn.ConnectionState(), err
}

func TestMutualTLS(t *testing.T) {
	dir, foreign := authority(t, "ingest", "compliance", "audit"), authority(t, "ingest", "compliance")
	addr := listen(t, must(t)(Server(filesOf(dir, "compliance"))))

	state, err := visit(addr, must(t)(Client(filesOf(dir, "ingest"), "compliance")))
	if err != nil {
		t.Fatal(err)
	}
	if service, ok := PeerService(state); !ok || service != "compliance" {
		t.Errorf("the peer is %q", service)
	}

	anonymous := must(t)(Client(filesOf(dir, "ingest"), "compliance"))
	anonymous.GetClientCertificate = nil
	old := must(t)(Client(filesOf(dir, "ingest"), "compliance"))
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	mixed := filesOf(foreign, "ingest") // a stranger who trusts our authority
	mixed.CA = filepath.Join(dir, "ca.pem")
	refused := map[string]*tls.Config{
		"no certificate":                  anonymous,
		"TLS 1.2":                         old,
		"certificate of another CA":       must(t)(Client(mixed, "compliance")),
		"server's CA unknown":             must(t)(Client(filesOf(foreign, "ingest"), "compliance")),
		"another service answers":         must(t)(Client(filesOf(dir, "ingest"), "dispatch")),
		"certificate that names no one":   must(t)(Client(filesOf(dir, "public"), "compliance")),
		"certificate of a server, though": must(t)(Client(filesOf(dir, "public"), "public")),
	}
	for name, cfg := range refused {
		t.Run(name, func(t *testing.T) {
			if _, err := visit(addr, cfg); err == nil {
				t.Error("the connection stands")
			}
		})
	}
}

func TestPublicVersionsAndSuites(t *testing.T) {
	dir := authority(t)
	files := filesOf(dir, "public")
	addr := listen(t, must(t)(Public(files.Cert, files.Key)))
	for version, ok := range map[uint16]bool{
		tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true,
	} {
		state, err := visit(addr, &tls.Config{RootCAs: roots(t, dir), ServerName: "localhost", MinVersion: version, MaxVersion: version})
		if (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if ok && state.Version != version {
			t.Errorf("negotiated %s", tls.VersionName(state.Version))
		}
	}
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if suite.SupportedVersions[0] == tls.VersionTLS13 {
			continue
		}
		_, err := visit(addr, &tls.Config{RootCAs: roots(t, dir), ServerName: "localhost", MaxVersion: tls.VersionTLS12,
			CipherSuites: []uint16{suite.ID}})
		// The development certificate is ECDSA: of the allowed suites those for RSA find no partner.
		want := strings.HasPrefix(suite.Name, "TLS_ECDHE_ECDSA_") &&
			(strings.Contains(suite.Name, "GCM") || strings.Contains(suite.Name, "POLY1305"))
		if (err == nil) != want {
			t.Errorf("%s: %v", suite.Name, err)
		}
	}
}

func roots(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
}

func TestCertificateIsReplacedWithoutRestart(t *testing.T) {
	dir := authority(t, "ingest", "compliance")
	files := filesOf(dir, "compliance")
	var late atomic.Int64 // by how much the servers' clocks run ahead
	now := func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	addr := listen(t, must(t)(server(files, now)))
	publicAddr := listen(t, must(t)(public(Files{Cert: files.Cert, Key: files.Key}, now)))
	serial := func() string {
		t.Helper()
		inner, err := visit(addr, must(t)(Client(filesOf(dir, "ingest"), "compliance")))
		if err != nil {
			t.Fatal(err)
		}
		outer, err := visit(publicAddr, &tls.Config{RootCAs: roots(t, dir), ServerName: "localhost"})
		if err != nil {
			t.Fatal(err)
		}
		if a, b := inner.PeerCertificates[0].SerialNumber, outer.PeerCertificates[0].SerialNumber; a.Cmp(b) != 0 {
			t.Errorf("inner shows %v, public %v", a, b)
		}
		return inner.PeerCertificates[0].SerialNumber.String()
	}
	tick := func() { late.Add(int64(lookInterval)) }

	first := serial()
	renew(t, dir, "compliance")
	tick()
	second := serial()
	if second == first {
		t.Fatal("the new certificate is not shown")
	}
	// A key without its certificate, as while the files are being written.
	key, err := os.ReadFile(files.Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files.Key, key[:20], 0o600); err != nil {
		t.Fatal(err)
	}
	tick()
	if serial() != second {
		t.Error("a broken pair was taken")
	}
	if err := os.WriteFile(files.Key, key, 0o600); err != nil {
		t.Fatal(err)
	}
	renew(t, dir, "compliance")
	tick()
	if serial() == second {
		t.Error("the pair after the broken one is not shown")
	}
}

// renew makes a service's certificate anew although the old one is good.
func renew(t *testing.T, dir, name string) {
	t.Helper()
	renewAs(t, dir, name, SPIFFEID(name))
}

// renewServer is renew for a certificate without an inner identity.
func renewServer(t *testing.T, dir, name string) {
	t.Helper()
	renewAs(t, dir, name, "")
}

func renewAs(t *testing.T, dir, name, spiffe string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name+".pem")); err != nil {
		t.Fatal(err)
	}
	issue(t, dir, name, spiffe)
}

func TestAuthorityIsReplacedWithoutRestart(t *testing.T) {
	old, next := authority(t, "ingest", "compliance"), authority(t, "ingest")
	var late atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	addr := listen(t, must(t)(server(filesOf(old, "compliance"), now)))
	stranger := filesOf(next, "ingest")
	stranger.CA = filepath.Join(t.TempDir(), "ca.pem") // trusts the old authority
	first, err := os.ReadFile(filepath.Join(old, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(filepath.Join(next, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stranger.CA, first, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := must(t)(Client(stranger, "compliance"))
	if _, err := visit(addr, cfg); err == nil {
		t.Fatal("a stranger was let in")
	}
	if err := os.WriteFile(filepath.Join(old, "ca.pem"), append(first, second...), 0o600); err != nil {
		t.Fatal(err)
	}
	late.Add(int64(lookInterval))
	if _, err := visit(addr, cfg); err != nil {
		t.Errorf("the added authority is not believed: %v", err)
	}
}

func TestMissingFiles(t *testing.T) {
	dir := authority(t, "ingest")
	_, err := Server(Files{})
	_, err2 := Client(filesOf(dir, "nobody"), "ingest")
	_, err3 := Public(filepath.Join(dir, "public.pem"), filepath.Join(dir, "ingest-key.pem"))
	noCA := filesOf(dir, "ingest")
	noCA.CA = filepath.Join(dir, "ingest-key.pem")
	_, err4 := Server(noCA)
	_, err5 := Client(filesOf(dir, "ingest"), "")
	for i, err := range []error{err, err2, err3, err4, err5} {
		if err == nil {
			t.Errorf("case %d is accepted", i)
		}
	}
	if !errors.Is(err2, os.ErrNotExist) {
		t.Errorf("no word of the missing file: %v", err2)
	}
}
