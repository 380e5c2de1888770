package eventbus_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/eventbus/eventbustest"
)

// Item 8, the bus's part: its ports carry nothing of ours without TLS, and nothing below TLS 1.3.
func TestItem8TheBusSpeaksTLSOnly(t *testing.T) {
	cfg := eventbustest.Run(t)
	trusted := x509.NewCertPool()
	pem, err := os.ReadFile(cfg.CAFile)
	if err != nil || !trusted.AppendCertsFromPEM(pem) {
		t.Fatalf("authority: %v", err)
	}
	for _, address := range []string{cfg.URL, cfg.MonitorURL} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		for version, ok := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: false, tls.VersionTLS13: true} {
			conn, err := tls.Dial("tcp", u.Host, &tls.Config{RootCAs: trusted, MinVersion: version, MaxVersion: version})
			if (err == nil) != ok {
				t.Errorf("%s with %s: %v", address, tls.VersionName(version), err)
			}
			if err == nil {
				_ = conn.Close()
			}
		}
	}
	refusesPlainConnect(t, strings.TrimPrefix(cfg.URL, "tls://"))
	answer, err := http.Get(strings.Replace(cfg.MonitorURL, "https:", "http:", 1) + "/jsz")
	if err == nil {
		defer answer.Body.Close()
		if body, _ := io.ReadAll(answer.Body); answer.StatusCode == http.StatusOK || strings.Contains(string(body), "sync_always") {
			t.Errorf("monitoring answers in clear: %s %s", answer.Status, body)
		}
	}
}

// refusesPlainConnect speaks the protocol without TLS: after its INFO, which demands TLS, the server takes nothing.
func refusesPlainConnect(t *testing.T, addr string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	if info, err := reader.ReadString('\n'); err != nil || !strings.Contains(info, `"tls_required":true`) {
		t.Errorf("the server greets with %q, %v", info, err)
	}
	if _, err := io.WriteString(conn, "CONNECT {\"verbose\":true}\r\nPING\r\n"); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(reader) // until the server closes
	if strings.Contains(string(rest), "+OK") || strings.Contains(string(rest), "PONG") {
		t.Errorf("a client without TLS is answered %q", rest)
	}
}

// A bus believes only a server with TLS and a certificate of its authority, and is not ready before.
func TestUntrustedServersAreRefused(t *testing.T) {
	strange := t.TempDir()
	if err := eventbustest.Secure(strange, new(natsserver.Options)); err != nil {
		t.Fatal(err)
	}
	plain := eventbustest.Start(t, func(o *natsserver.Options) { o.TLS, o.TLSConfig, o.HTTPSPort = false, nil, 0 })
	good := eventbustest.Run(t)
	unknown, otherName := good, good
	unknown.CAFile = filepath.Join(strange, "ca.pem")
	otherName.URL = strings.Replace(good.URL, "127.0.0.1", "127.0.0.2", 1)
	for name, cfg := range map[string]eventbus.Config{"without TLS": plain.Config, "unknown authority": unknown, "another's name": otherName} {
		var tries atomic.Int32
		b, err := eventbus.ConnectWith(cfg, "ingest", nats.CustomReconnectDelay(func(int) time.Duration {
			tries.Add(1)
			return 10 * time.Millisecond
		}))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		eventually(t, name+" is tried", func() bool { return tries.Load() >= 3 })
		if b.Ready() == nil {
			t.Errorf("%s: connected", name)
		}
		b.Close()
	}
}
