package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// Bounds of an attempt.
const (
	connectLimit   = 5 * time.Second
	handshakeLimit = 5 * time.Second
	headerLimit    = 12 * time.Second
	totalLimit     = 15 * time.Second // Standard Webhooks: 15 to 30 s
	bodyLimit      = 4 << 10          // of an answer; the rest is not read
	headerBytes    = 16 << 10
)

// Why an attempt failed.
const (
	failedStatus    = "HTTP_STATUS"
	failedRedirect  = "REDIRECT"
	failedTimeout   = "TIMEOUT"
	failedConnect   = "CONNECTION"
	failedTLS       = "TLS"
	failedName      = "NAME_NOT_FOUND"
	failedForbidden = "ADDRESS_FORBIDDEN"
)

// Answer is what came of an attempt.
type Answer struct {
	Status     int    // HTTP; 0: no answer
	Error      string // empty: 2xx
	RetryAfter time.Duration
	Body       []byte // its first 4 KiB; kept for challenges only
	Took       time.Duration
}

// Delivered tells whether the receiver has taken the event.
func (a *Answer) Delivered() bool { return a.Error == "" }

// Client posts to endpoints. It never follows a redirect, uses no proxy and decompresses nothing.
type Client struct {
	transport *http.Transport
	now       func() time.Time
}

// NewClient makes a client whose connections pass the guard. roots is whom receivers' certificates are checked against;
// nil: the system's.
func NewClient(g *Guard, roots *x509.CertPool, perEndpoint int, now func() time.Time) *Client {
	return &Client{now: now, transport: &http.Transport{
		Proxy:                  nil, // a proxy of the environment would dial for us, past the guard
		DialContext:            g.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    handshakeLimit,
		ResponseHeaderTimeout:  headerLimit,
		MaxResponseHeaderBytes: headerBytes,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           2_000,
		MaxIdleConnsPerHost:    perEndpoint,
		IdleConnTimeout:        time.Minute,
	}}
}

// Post makes one attempt.
func (c *Client) Post(ctx context.Context, url string, header http.Header, content []byte) Answer {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, totalLimit)
	defer cancel()
	answer := c.post(ctx, url, header, content)
	answer.Took = time.Since(start)
	return answer
}

func (c *Client) post(ctx context.Context, url string, header http.Header, content []byte) Answer {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(content))
	if err != nil {
		return Answer{Error: failedConnect}
	}
	header["Content-Type"], header["User-Agent"] = []string{"application/json"}, []string{"OnlineSMS-Webhooks/1"}
	req.Header = header
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return Answer{Error: failureOf(err)}
	}
	defer resp.Body.Close()
	a := Answer{Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header, c.now())}
	// A body read to its end lets the connection serve again; a longer one costs it.
	a.Body, err = io.ReadAll(io.LimitReader(resp.Body, bodyLimit))
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		a.Error = failedRedirect
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		a.Error = failedStatus
	case err != nil: // 2xx said it has the event; how its body ends does not matter
	}
	return a
}

// failureOf sorts the errors of a connection.
func failureOf(err error) string {
	if errors.Is(err, errForbidden) {
		return failedForbidden
	}
	if name, ok := errors.AsType[*net.DNSError](err); ok && name.IsNotFound {
		return failedName
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return failedTimeout
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return failedTLS
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return failedTLS
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return failedTLS
	}
	return failedConnect
}
