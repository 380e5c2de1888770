// Package mail sends mail: by SMTP over TLS, or for development into a directory. A person.Mail is plain text to one
// person; nothing of it is logged.
package mail

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"time"

	"github.com/onlinesms/onlinesms/services/ingest/internal/person"
)

// sendLimit is how long one mail may take.
const sendLimit = 30 * time.Second

// Directory writes every mail as a file of its own, for development: <UnixMicro>-<random>.eml, mode 0600.
type Directory struct {
	Path string
	From string
	Now  func() time.Time
}

// Send writes one mail.
func (d *Directory) Send(_ context.Context, m person.Mail) error {
	if err := os.MkdirAll(d.Path, 0o700); err != nil {
		return err
	}
	now := d.Now()
	text, err := compose(d.From, m, now)
	if err != nil {
		return err
	}
	name := filepath.Join(d.Path, fmt.Sprintf("%d-%s", now.UnixMicro(), rand.Text()[:8]))
	if err := os.WriteFile(name+".part", text, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".part", name+".eml") // whoever watches the directory sees whole mails
}

// SMTP hands mail to a server (RFC 5321), never without TLS.
type SMTP struct {
	Addr     string // host:port
	Implicit bool   // TLS from the first byte (RFC 8314, port 465); else STARTTLS (RFC 3207), which must be offered
	TLS      *tls.Config
	User     string // empty: no authentication
	Password string
	From     string
	Now      func() time.Time
}

// Send hands one mail over; it returns when the server has taken it.
func (s *SMTP) Send(ctx context.Context, m person.Mail) error {
	ctx, cancel := context.WithTimeout(ctx, sendLimit)
	defer cancel()
	text, err := compose(s.From, m, s.Now())
	if err != nil {
		return err
	}
	return conceal(s.send(ctx, m.To, text))
}

// conceal keeps the code of a server's refusal: its text may quote the address.
func conceal(err error) error {
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		return fmt.Errorf("the SMTP server refused with %d", answer.Code)
	}
	return err
}

func (s *SMTP) send(ctx context.Context, to string, text []byte) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // after Quit it is closed; before, the error that matters is another
	if s.User != "" {
		host, _, _ := net.SplitHostPort(s.Addr)
		if err := c.Auth(smtp.PlainAuth("", s.User, s.Password, host)); err != nil {
			return fmt.Errorf("SMTP authentication: %w", err)
		}
	}
	return hand(c, s.From, to, text)
}

// connect answers a client whose connection is TLS and ends with ctx.
func (s *SMTP) connect(ctx context.Context) (*smtp.Client, error) {
	host, _, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return nil, err
	}
	config := s.TLS.Clone()
	config.ServerName, config.MinVersion = host, tls.VersionTLS12
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	if s.Implicit {
		conn = tls.Client(conn, config)
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if s.Implicit {
		return c, nil
	}
	if offered, _ := c.Extension("STARTTLS"); !offered {
		return nil, errors.Join(errors.New("the SMTP server offers no STARTTLS, and nothing is sent without TLS"), c.Close())
	}
	if err := c.StartTLS(config); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func hand(c *smtp.Client, from, to string, text []byte) error {
	sender, err := mail.ParseAddress(from)
	if err != nil {
		return err
	}
	if err := c.Mail(sender.Address); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

// compose writes a mail (RFC 5322), its text as quoted-printable.
func compose(from string, m person.Mail, now time.Time) ([]byte, error) {
	to := mail.Address{Address: m.To}
	sender, err := mail.ParseAddress(from)
	if err != nil {
		return nil, fmt.Errorf("sender of mail: %w", err)
	}
	var b bytes.Buffer
	_, domain, _ := bytes.Cut([]byte(sender.Address), []byte("@"))
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s@%s>\r\n", sender, to.String(),
		mime.QEncoding.Encode("utf-8", m.Subject), now.Format(time.RFC1123Z), rand.Text(), domain)
	b.WriteString("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(m.Body)); err != nil {
		return nil, err
	}
	return b.Bytes(), w.Close()
}
