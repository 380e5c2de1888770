// Package eventbustest runs a real nats-server in the test process: JetStream on files, every write synced, TLS only,
// monitoring over HTTPS on a free port of the loopback interface.
package eventbustest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf/devca"
)

const readyWithin = 20 * time.Second

// Server is a nats-server that a test can stop, start again on the same port with the same or an empty store, and give
// users.
type Server struct {
	Config eventbus.Config // for eventbus.Connect; its stream budget is 256 MiB

	t       testing.TB
	options natsserver.Options
	server  *natsserver.Server
}

// Run starts a server for the length of the test and returns how to connect to it.
func Run(t testing.TB) eventbus.Config {
	t.Helper()
	return Start(t, nil).Config
}

// Start is Run for tests that stop and restart the server; change may alter its options (users, sync) before it starts.
func Start(t testing.TB, change func(*natsserver.Options)) *Server {
	t.Helper()
	s := &Server{t: t, options: natsserver.Options{
		ServerName: "eventbustest", Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, HTTPHost: "127.0.0.1", HTTPSPort: natsserver.RANDOM_PORT,
		JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, JetStreamMaxStore: 4 << 30, JetStreamMaxMemory: 64 << 20,
		MaxPayload: 1 << 20, NoSigs: true, NoLog: true,
	}}
	certificates := t.TempDir()
	if err := Secure(certificates, &s.options); err != nil {
		t.Fatalf("certificates: %v", err)
	}
	if change != nil {
		change(&s.options)
	}
	t.Cleanup(s.Stop)
	s.Start()
	s.Config = eventbus.Config{
		URL:         s.URL("", ""),
		CAFile:      filepath.Join(certificates, "ca.pem"),
		MonitorURL:  fmt.Sprintf("https://127.0.0.1:%d", s.options.HTTPSPort),
		StreamBytes: 256 << 20,
	}
	return s
}

// Secure makes an authority and a certificate for the loopback interface in dir, unless they are there, and sets o as
// production's nats.conf is: TLS 1.3, from the first byte for clients that begin so. The authority is dir/ca.pem.
func Secure(dir string, o *natsserver.Options) error {
	if err := errors.Join(devca.Create(dir), devca.Issue(dir, "nats", nil, "")); err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "nats.pem"), filepath.Join(dir, "nats-key.pem"))
	if err != nil {
		return err
	}
	o.TLS, o.TLSConfig = true, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}}
	o.TLSTimeout = readyWithin.Seconds() // a loaded machine
	o.TLSHandshakeFirst, o.TLSHandshakeFirstFallback = true, natsserver.DEFAULT_TLS_HANDSHAKE_FIRST_FALLBACK_DELAY
	return nil
}

// Start runs the server again on its ports and store.
func (s *Server) Start() {
	s.t.Helper()
	options := s.options // the server changes what it is given
	server, err := natsserver.NewServer(&options)
	if err != nil {
		s.t.Fatalf("nats-server: %v", err)
	}
	go server.Start()
	if !server.ReadyForConnections(readyWithin) {
		s.t.Fatal("nats-server is not ready")
	}
	s.server = server
	s.options.Port = server.Addr().(*net.TCPAddr).Port // chosen by the kernel once, kept for the next start
	if monitor := server.MonitorAddr(); monitor != nil {
		s.options.HTTPSPort = monitor.Port
	}
}

// Stop ends the server; clients see it go away. It may be called twice.
func (s *Server) Stop() {
	if s.server == nil {
		return
	}
	s.server.Shutdown()
	s.server.WaitForShutdown()
	s.server = nil
}

// Restart stops the server and starts it on the same store.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.Start()
}

// Rebuild stops the server, empties its store and starts it: every stream and durable is lost.
func (s *Server) Rebuild() {
	s.t.Helper()
	s.Stop()
	if err := os.RemoveAll(s.options.StoreDir); err != nil {
		s.t.Fatalf("store: %v", err)
	}
	s.Start()
}

// URL is the server's address for a user.
func (s *Server) URL(user, password string) string {
	u := url.URL{Scheme: "tls", Host: fmt.Sprintf("127.0.0.1:%d", s.options.Port)}
	if user != "" {
		u.User = url.UserPassword(user, password)
	}
	return u.String()
}
