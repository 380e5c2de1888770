package eventbus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// checkTransport refuses (errs.Invalid) settings that would speak to NATS or its monitoring in clear, or trust nobody in
// particular: what passes the bus is sealed, but grants, subjects and statuses are not (OWASP ASVS 5.0, 12.3.1).
func (c Config) checkTransport() error {
	for address := range strings.SplitSeq(c.URL, ",") {
		if !strings.HasPrefix(strings.TrimSpace(address), "tls://") {
			return errs.E(errs.Invalid, "NATS_SETTINGS", "NATS_URL must be tls://host:port: a bus without TLS is refused", nil)
		}
	}
	if c.MonitorURL != "" && !strings.HasPrefix(c.MonitorURL, "https://") {
		return errs.E(errs.Invalid, "NATS_SETTINGS", "NATS_MONITOR_URL must be https://host:port (nats-server: https_port)", nil)
	}
	if _, err := roots(c.CAFile); err != nil {
		return errs.E(errs.Invalid, "NATS_SETTINGS", "NATS_CA_FILE must name the authorities that sign the server's certificate", err)
	}
	return nil
}

// roots reads the authorities of a PEM file.
func roots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate in it", file)
	}
	return pool, nil
}

// transport are the options that make a connection TLS 1.3 from its first byte: not even the server's INFO is read in
// clear. nats.go reads the authorities again for each connection, so they may be replaced at any time.
func (c Config) transport() []nats.Option {
	return []nats.Option{
		nats.Secure(&tls.Config{MinVersion: tls.VersionTLS13}),
		nats.RootCAs(c.CAFile),
		nats.TLSHandshakeFirst(),
	}
}

// monitoring makes a client for the server's monitoring that trusts the authorities of now.
func (c Config) monitoring() (*http.Client, error) {
	pool, err := roots(c.CAFile)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Timeout: 3 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool},
			DisableKeepAlives: true, // asked at the start and after reconnects only
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("a redirect is not followed") },
	}, nil
}
