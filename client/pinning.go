package client

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"google.golang.org/grpc/credentials"
)

// SPKI is the SHA-256 of a certificate's SubjectPublicKeyInfo (RFC 7469 section 2.4).
type SPKI [sha256.Size]byte

// SPKIOf is the pin of a certificate's key; it stays the same when the certificate is renewed with the same key.
func SPKIOf(cert *x509.Certificate) SPKI { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }

// ParseSPKI reads a pin as it is published: 32 bytes in base64.
func ParseSPKI(text string) (pin SPKI, err error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != len(pin) {
		return pin, fmt.Errorf("client: %q is not a SHA-256 in base64", text)
	}
	return SPKI(raw), nil
}

// String is the pin as it is published.
func (s SPKI) String() string { return base64.StdEncoding.EncodeToString(s[:]) }

// ErrPin is what a connection fails with whose server has no pinned key.
var ErrPin = errors.New("client: the server's certificate chain has no pinned key")

// Pinning accepts only servers with a pinned key in their verified chain: the leaf's, an intermediate's or the root's.
// It comes after the usual verification of the certificate, not instead of it.
type Pinning struct {
	pins   []SPKI
	report func(tls.ConnectionState)
}

// NewPinning pins at least two different keys: the one that is shown, and one to go on with when it is lost.
func NewPinning(pins []SPKI) (*Pinning, error) {
	if len(pins) == 0 || !slices.ContainsFunc(pins, func(p SPKI) bool { return p != pins[0] }) {
		return nil, errors.New("client: at least two different keys must be pinned, or a lost key locks you out")
	}
	return &Pinning{pins: slices.Clone(pins)}, nil
}

// ReportOnly is the same pinning that lets every connection pass and tells report of those it would refuse: to try
// pins before they count.
func (p *Pinning) ReportOnly(report func(tls.ConnectionState)) *Pinning {
	return &Pinning{pins: p.pins, report: report}
}

// Config is cfg, or a usual client's where it is nil, with the pins. The check runs on every connection, resumed ones
// included, and after cfg's own VerifyConnection.
func (p *Pinning) Config(cfg *tls.Config) *tls.Config {
	if cfg == nil {
		cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	cfg = cfg.Clone()
	before := cfg.VerifyConnection
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		if before != nil {
			if err := before(state); err != nil {
				return err
			}
		}
		return p.verify(state)
	}
	return cfg
}

// Transport is HTTPS with the pins.
func (p *Pinning) Transport(cfg *tls.Config) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig, t.ForceAttemptHTTP2 = p.Config(cfg), true
	return t
}

// Credentials are gRPC's TLS with the pins.
func (p *Pinning) Credentials(cfg *tls.Config) credentials.TransportCredentials {
	return credentials.NewTLS(p.Config(cfg))
}

func (p *Pinning) verify(state tls.ConnectionState) error {
	if p.matches(state) {
		return nil
	}
	if p.report != nil {
		p.report(state)
		return nil
	}
	return ErrPin
}

// matches looks into the verified chains only: what else a server sends along proves nothing. Where verification is
// switched off, the leaf is all that the server has proven to own.
func (p *Pinning) matches(state tls.ConnectionState) bool {
	for _, chain := range state.VerifiedChains {
		for _, cert := range chain {
			if slices.Contains(p.pins, SPKIOf(cert)) {
				return true
			}
		}
	}
	return len(state.VerifiedChains) == 0 && len(state.PeerCertificates) > 0 && slices.Contains(p.pins, SPKIOf(state.PeerCertificates[0]))
}
