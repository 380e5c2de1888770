package door

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"regexp"
	"time"

	"github.com/onlinesms/onlinesms/services/ingest/internal/caller"
	"github.com/onlinesms/onlinesms/services/ingest/internal/record"
	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

const (
	tlsHandshake   = 0x16            // the first byte of a TLS connection: a handshake record (RFC 8446 5.1)
	plaintextBytes = 8 << 10         // that are read of a request in clear
	plaintextLimit = 2 * time.Second // that is waited for it
	revokeLimit    = 10 * time.Second
	exposedAction  = "api_key.expose" // audit action of a key seen in clear
	maxRevocations = 64               // at a time
)

// badRequest is all that plain HTTP gets: no redirect, nothing to learn.
const badRequest = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

// Revoker withdraws API keys.
type Revoker interface {
	// RevokeExposed withdraws the key of p, which was seen in clear, everywhere; its transaction appends the record of
	// ctx.
	RevokeExposed(ctx context.Context, p principal.Principal) error
}

// sniffed is a connection whose first byte was read to see what it is.
type sniffed struct {
	net.Conn
	first  [1]byte
	unread bool
}

// Read gives the first byte first.
func (c *sniffed) Read(p []byte) (int, error) {
	if c.unread && len(p) > 0 {
		c.unread = false
		p[0] = c.first[0]
		return 1, nil
	}
	return c.Conn.Read(p)
}

// sniff waits for the first byte of a connection, at most until deadline; false when it is not TLS: the caller then
// answers in clear and closes it. What never says anything is left to the handshake to give up.
func sniff(conn net.Conn, deadline time.Time) (*sniffed, bool) {
	s := &sniffed{Conn: conn}
	_ = conn.SetReadDeadline(deadline)
	n, err := conn.Read(s.first[:])
	_ = conn.SetReadDeadline(time.Time{})
	s.unread = n == 1
	return s, err != nil || s.first[0] == tlsHandshake
}

// plaintext deals with those who speak HTTP on a TLS port.
type plaintext struct {
	guard   *guard
	revoker Revoker
	slots   chan struct{}
}

// answer reads the head of what came in clear, answers 400, and withdraws the API keys in it: whoever listened has
// them too. It does not close conn.
func (p *plaintext) answer(conn *sniffed) {
	p.guard.metrics.plaintext.Add(context.Background(), 1)
	head := readHead(conn)
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = conn.Write([]byte(badRequest))
	from := caller.Caller{Address: p.guard.trust.Address(conn.RemoteAddr().String(), nil)}
	for _, key := range keysIn(head) {
		p.withdraw(key, from)
	}
	clear(head)
}

// readHead reads to the end of the header, or as much as there is within the bounds.
func readHead(conn net.Conn) []byte {
	_ = conn.SetReadDeadline(time.Now().Add(plaintextLimit))
	head := make([]byte, 0, plaintextBytes)
	for len(head) < plaintextBytes && !headEnded(head) {
		n, err := conn.Read(head[len(head):cap(head)])
		head = head[:len(head)+n]
		if err != nil {
			break
		}
	}
	return head
}

// headEnded tells whether an HTTP/1 head is complete. HTTP/2's preface looks like one, and more follows it.
func headEnded(head []byte) bool {
	return bytes.Contains(head, []byte("\r\n\r\n")) && !bytes.HasPrefix(head, []byte("PRI * HTTP/2.0"))
}

// keyPattern finds API keys wherever they stand: a header, a query, a body.
var keyPattern = regexp.MustCompile(`osms_(?:live|test)_[0-9A-Za-z]+_[0-9A-Za-z]+`)

// keysIn are the different keys in what was sent, at most four.
func keysIn(head []byte) (keys []string) {
	seen := map[string]bool{}
	for _, found := range keyPattern.FindAll(head, 8) {
		if key := string(found); !seen[key] && len(keys) < 4 {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	return keys
}

// withdraw revokes a key when it is one, puts that on record and raises an alert. The key itself is never logged.
func (p *plaintext) withdraw(key string, from caller.Caller) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	default: // a flood of keys; those that are real come again
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), revokeLimit)
	defer cancel()
	g := p.guard
	who, err := g.verifier.Verify(caller.NewContext(ctx, from), key)
	if who.Actor == "" || errs.KindOf(err) == errs.Unauthenticated && err != nil {
		return // no key of ours, or withdrawn already; one that may not be used from there is
	}
	from.RequestID = chooseRequestID("")
	call := g.records.Begin(exposedAction, from)
	call.Tenant, call.Env = who.TenantID, who.Env // the actor stays unknown: whoever sent it
	err = p.revoker.RevokeExposed(record.NewContext(caller.NewContext(ctx, from), call), who)
	if err != nil {
		call.Outcome, call.Reason = outcomeOf(err)
	}
	if unrecorded := g.records.Write(ctx, call); unrecorded != nil {
		g.records.Later(ctx, call)
	}
	g.metrics.exposed.Add(ctx, 1)
	g.log.ErrorContext(ctx, "an API key was sent in clear and is withdrawn", slog.String("caller", who.Actor),
		slog.Bool("withdrawn", err == nil), slog.String("request_id", from.RequestID))
}
