package door

import (
	"bufio"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A call that is under way when the door closes is answered; a later one finds no door.
func TestDrain(t *testing.T) {
	w := newWorld(t)
	answered := make(chan int, 1)
	go func() {
		resp, _ := w.do(t, true, "POST", "/v1/messages", with("SLOW"), "Authorization", "Bearer all")
		answered <- resp.StatusCode
	}()
	<-w.slow.entered
	addr := w.HTTPAddr().String()
	stopped := make(chan struct{})
	go func() { defer close(stopped); w.stop() }()
	deadline := time.Now().Add(10 * time.Second)
	for {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			break // the port is closed, and the call still under way
		}
		_ = conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("the port stays open")
		}
	}
	close(w.slow.release)
	if status := <-answered; status != 200 {
		t.Errorf("the call under way was answered %d", status)
	}
	<-stopped
}

// What net/http answers by itself has HSTS too.
func TestHSTSWithoutAHandler(t *testing.T) {
	w := newWorld(t)
	for name, raw := range map[string]string{
		"malformed":      "nonsense\r\n\r\n",
		"bad header":     "GET / HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n",
		"no host":        "GET / HTTP/1.1\r\n\r\n",
		"huge header":    "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n\r\n",
		"unknown expect": "POST /v1/messages HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\n",
		"bad encoding":   "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: rot13\r\n\r\n",
		"options *":      "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"HTTP/1.0":       "GET / HTTP/1.0\r\n\r\n",
	} {
		config := w.tls()
		config.NextProtos = []string{"http/1.1"}
		conn, err := tls.Dial("tcp", w.HTTPAddr().String(), config)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = conn.Write([]byte(raw)) }()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			_ = conn.Close()
			continue
		}
		if len(resp.Header.Values(hstsName)) != 1 || resp.StatusCode < 400 {
			t.Errorf("%s: %d %v", name, resp.StatusCode, resp.Header)
		}
		resp.Body.Close()
		_ = conn.Close()
	}
}

// Item 2 of the acceptance list: TLS 1.2 and 1.3 only.
func TestItem2TLSVersions(t *testing.T) {
	w := newWorld(t)
	for _, addr := range []net.Addr{w.HTTPAddr(), w.GRPCAddr()} {
		for version, ok := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
			config := w.tls()
			config.MinVersion, config.MaxVersion, config.NextProtos = version, version, []string{"h2"}
			conn, err := tls.Dial("tcp", addr.String(), config)
			if (err == nil) != ok {
				t.Errorf("%s, TLS %x: %v", addr, version, err)
			}
			if err == nil {
				_ = conn.Close()
			}
		}
	}
}
