package mail

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf/devca"
)

const (
	testUser     = "mailer"
	testPassword = "of the mailer"
)

// received is a mail as the server took it.
type received struct {
	from, to, text string
	encrypted      bool
}

// server is an SMTP server that keeps what it takes.
type server struct {
	mu    sync.Mutex
	mails []received
}

// NewSession begins a client's session.
func (s *server) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &session{server: s, conn: c}, nil
}

type session struct {
	server *server
	conn   *smtp.Conn
	mail   received
	known  bool
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != testUser || password != testPassword {
			return smtp.ErrAuthFailed
		}
		s.known = true
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if !s.known {
		return smtp.ErrAuthRequired
	}
	s.mail.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody@") {
		return &smtp.SMTPError{Code: 550, Message: "no such user: " + to}
	}
	s.mail.to = to
	return nil
}

func (s *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	_, s.mail.encrypted = s.conn.TLSConnectionState()
	s.mail.text = string(text)
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.mails = append(s.server.mails, s.mail)
	return err
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

// world is a server and a client of it.
type world struct {
	server *server
	client *SMTP
}

// newWorld runs a server; mode is starttls, tls or plain, which offers no TLS at all.
func newWorld(t *testing.T, mode string) *world {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(devca.Create(dir), devca.Issue(dir, "smtp", nil, "")); err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "smtp.pem"), filepath.Join(dir, "smtp-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	w := &world{server: &server{}}
	s := smtp.NewServer(w.server)
	s.ErrorLog = log.New(io.Discard, "", 0)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	switch mode {
	case "starttls":
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	case "tls":
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{cert}})
	case "plain":
		s.AllowInsecureAuth = true
	}
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(func() { _ = s.Close() })
	w.client = &SMTP{
		Addr: addr, Implicit: mode == "tls", TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		User: testUser, Password: testPassword, From: "OnlineSMS <no-reply@sms.example>", Now: time.Now,
	}
	return w
}

var letter = person.Mail{
	To: "ada@people.example", Subject: "Ihr Paßwort", Body: "Choose it:\n\nhttps://console.example/password#token=osms_link_" + strings.Repeat("x", 120) + "\n.\nend\n",
}

func (w *world) sent() []received {
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	return w.server.mails
}

// A mail arrives whole, over TLS, by both ways.
func TestSMTP(t *testing.T) {
	for _, mode := range []string{"starttls", "tls"} {
		w := newWorld(t, mode)
		if err := w.client.Send(t.Context(), letter); err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		mails := w.sent()
		if len(mails) != 1 || mails[0].from != "no-reply@sms.example" || mails[0].to != letter.To || !mails[0].encrypted && mode == "starttls" {
			t.Fatalf("%s: %+v", mode, mails)
		}
		check(t, mails[0].text)
	}
}

// check reads a mail as its reader does.
func check(t *testing.T, text string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if got := strings.ReplaceAll(string(body), "\r\n", "\n"); err != nil || got != letter.Body {
		t.Errorf("body %q, %v", got, err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != letter.Subject || m.Header.Get("To") != "<ada@people.example>" || m.Header.Get("Message-ID") == "" {
		t.Errorf("%v, %v", m.Header, err)
	}
	if date, err := m.Header.Date(); err != nil || time.Since(date) > time.Hour {
		t.Errorf("date %v, %v", date, err)
	}
}

// Without TLS, with a certificate of somebody else or without the password nothing is sent.
func TestSMTPRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		mode   string
		change func(*SMTP)
		want   string
	}{
		"no STARTTLS offered":      {"plain", func(*SMTP) {}, "STARTTLS"},
		"TLS expected, none there": {"starttls", func(s *SMTP) { s.Implicit = true }, "tls"},
		"another authority":        {"starttls", func(s *SMTP) { s.TLS = &tls.Config{RootCAs: x509.NewCertPool()} }, "certificate"},
		"wrong password":           {"starttls", func(s *SMTP) { s.Password = "x" }, "535"},
		"no password":              {"starttls", func(s *SMTP) { s.User = "" }, "502"},
		"nobody there":             {"starttls", func(s *SMTP) { s.Addr = "127.0.0.1:1" }, "refused"},
	} {
		w := newWorld(t, test.mode)
		test.change(w.client)
		err := w.client.Send(t.Context(), letter)
		if err == nil || !strings.Contains(err.Error(), test.want) || len(w.sent()) != 0 {
			t.Errorf("%s: %v, %d mails", name, err, len(w.sent()))
		}
	}
}

// An error that quotes the address does not get into logs with it.
func TestSMTPConcealsAddresses(t *testing.T) {
	w := newWorld(t, "starttls")
	to := letter
	to.To = "nobody@people.example"
	if err := w.client.Send(t.Context(), to); err == nil || strings.Contains(err.Error(), "nobody") || !strings.Contains(err.Error(), "550") {
		t.Error(err)
	}
}

// A server that never answers does not hold the sender.
func TestSMTPSilentServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	w := newWorld(t, "starttls")
	w.client.Addr = listener.Addr().String()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := w.client.Send(ctx, letter); err == nil {
		t.Error("sent to nobody")
	}
}

func TestDirectory(t *testing.T) {
	d := &Directory{Path: filepath.Join(t.TempDir(), "mail"), From: "no-reply@sms.example", Now: time.Now}
	for range 2 {
		if err := d.Send(t.Context(), letter); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(d.Path, "*.eml"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	check(t, string(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))))
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// An address cannot bring further headers along.
func TestComposeKeepsHeadersApart(t *testing.T) {
	text, err := compose("no-reply@sms.example", person.Mail{To: "a@b.example\r\nBcc: c@d.example", Subject: "x\r\nBcc: c@d.example"}, time.Now())
	if err != nil {
		return
	}
	m, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil || m.Header.Get("Bcc") != "" {
		t.Errorf("%q, %v", text, err)
	}
}
