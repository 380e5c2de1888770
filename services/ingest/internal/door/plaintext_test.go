package door

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// clearKey is a key the verifier of these tests knows, in the form keys have.
const clearKey = "osms_live_abcdefghijkl_0123456789"

// Items 1 and 3 of the acceptance list: plain HTTP on a TLS port gets a bare 400 and no redirect, and a key that
// came with it is withdrawn; what nobody knows as a key is not.
func TestItem1And3PlainHTTP(t *testing.T) {
	reader := metric.NewManualReader()
	before := otel.GetMeterProvider()
	otel.SetMeterProvider(metric.NewMeterProvider(metric.WithReader(reader)))
	t.Cleanup(func() { otel.SetMeterProvider(before) })
	w := newWorld(t)
	for name, raw := range map[string]string{
		"no key":      "GET /v1/messages HTTP/1.1\r\nHost: x\r\n\r\n",
		"unknown key": "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer osms_live_unknownunkno_0123456789\r\n\r\n",
		"header":      "GET /v1/messages HTTP/1.1\r\nHost: x\r\nauthorization: bearer " + clearKey + "\r\n\r\n",
		"query":       "GET /v1/messages?key=" + clearKey + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"twice":       "GET /" + clearKey + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + clearKey + "\r\n\r\n",
	} {
		for _, addr := range []net.Addr{w.HTTPAddr(), w.GRPCAddr()} {
			before := len(w.revocations())
			if answer := inClear(t, addr, raw); answer != badRequest {
				t.Errorf("%s: %s answers %q", name, addr, answer)
			}
			want := before
			if strings.Contains(raw, clearKey) {
				want++
			}
			until(t, func() bool { return len(w.revocations()) >= want })
			if got := w.revocations(); len(got) != want || want > 0 && got[len(got)-1] != "key/"+clearKey {
				t.Errorf("%s: withdrawn %v", name, got)
			}
		}
	}
	w.stop()
	if strings.Contains(strings.ReplaceAll(w.logs.String(), `"caller":"key/`+clearKey, ""), "0123456789") {
		t.Error("the log holds the key")
	}
	for name, want := range map[string]int64{"onlinesms.ingest.plaintext_attempts": 10, "onlinesms.ingest.exposed_keys": 6} {
		if got := counted(t, reader, name); got != want {
			t.Errorf("%s counts %d, want %d", name, got, want)
		}
	}
	written, _ := w.records.take()
	if n := len(written); n != 6 || slices.ContainsFunc(written, func(c recordCall) bool {
		return c.Action != exposedAction || c.Actor != "anonymous" || c.Tenant.String() != "01930000-0000-7000-8000-00000000000a" || !c.Caller.Address.IsLoopback()
	}) {
		t.Errorf("%d records: %+v", n, written)
	}
}

// counted is the sum of a counter.
func counted(t *testing.T, reader *metric.ManualReader, name string) (sum int64) {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if data, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == name {
				for _, point := range data.DataPoints {
					sum += point.Value
				}
			}
		}
	}
	return sum
}

// A client that says nothing, or never ends its head, does not keep a connection.
func TestSlowClients(t *testing.T) {
	w := newWorld(t)
	start := time.Now()
	if answer := inClear(t, w.HTTPAddr(), "GET / HTTP/1.1\r\nX: "); answer != badRequest || time.Since(start) > plaintextLimit+3*time.Second {
		t.Errorf("%q after %s", answer, time.Since(start))
	}
	if answer := inClear(t, w.GRPCAddr(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+strings.Repeat("x", plaintextBytes)); !strings.HasPrefix(answer, "HTTP/1.1 400") {
		t.Errorf("h2c: %q", answer)
	}
	silent, err := net.Dial("tcp", w.HTTPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	_ = silent.SetReadDeadline(time.Now().Add(handshakeLimit + 5*time.Second))
	if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		t.Errorf("a silent client: %v", err)
	}
}

func inClear(t *testing.T, addr net.Addr, raw string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(raw)); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

// until polls for what happens after an answer.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
		<-time.After(time.Millisecond)
	}
}

// Item 2: of TLS 1.2's suites only those with ECDHE and an AEAD, by real handshakes.
func TestItem2Suites(t *testing.T) {
	w := newWorld(t)
	for _, addr := range []net.Addr{w.HTTPAddr(), w.GRPCAddr()} {
		offered := 0
		for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			if !slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
				continue
			}
			config := w.tls()
			config.MaxVersion, config.CipherSuites, config.NextProtos = tls.VersionTLS12, []uint16{suite.ID}, []string{"h2"}
			conn, err := tls.Dial("tcp", addr.String(), config)
			// The certificate of these tests is ECDSA.
			want := strings.Contains(suite.Name, "ECDHE_ECDSA") && (strings.Contains(suite.Name, "GCM") || strings.Contains(suite.Name, "POLY1305"))
			if (err == nil) != want {
				t.Errorf("%s: %s: %v", addr, suite.Name, err)
			}
			if err == nil {
				offered++
				_ = conn.Close()
			}
		}
		if offered == 0 {
			t.Error("no suite of TLS 1.2 is offered")
		}
	}
}

func FuzzKeysIn(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nAuthorization: Bearer " + clearKey + "\r\n\r\n"))
	f.Fuzz(func(t *testing.T, head []byte) {
		keys := keysIn(head)
		if len(keys) > 4 {
			t.Errorf("%d keys", len(keys))
		}
		for _, key := range keys {
			if !strings.Contains(string(head), key) {
				t.Errorf("%q is not in it", key)
			}
		}
	})
}
