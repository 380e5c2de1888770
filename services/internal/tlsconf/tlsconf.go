// Package tlsconf makes TLS configurations from files that may be replaced at any time: inner mTLS between services,
// each named by a SPIFFE id in its certificate, and the public listeners.
package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// spiffePrefix begins the SPIFFE id of every service (trust domain "onlinesms").
const spiffePrefix = "spiffe://onlinesms/service/"

// Files names the PEM files of a service's inner identity. They are looked at again at most once a second, on a
// handshake, so that a renewed certificate needs no restart.
type Files struct {
	Cert string `env:"TLS_CERT_FILE"` // the service's certificate, then intermediates
	Key  string `env:"TLS_KEY_FILE"`  // its private key
	CA   string `env:"TLS_CA_FILE"`   // the authorities that sign services' certificates
}

// SPIFFEID is the id of a service: the URI in its certificate, for example spiffe://onlinesms/service/ingest.
func SPIFFEID(service string) string { return spiffePrefix + service }

// PeerService tells which service stands at the other end of a verified connection; ok is false when its certificate
// names none. A certificate with several URIs names nobody (SPIFFE X.509-SVID, section 2).
func PeerService(state tls.ConnectionState) (service string, ok bool) {
	if len(state.PeerCertificates) == 0 {
		return "", false
	}
	return serviceOf(state.PeerCertificates[0])
}

func serviceOf(cert *x509.Certificate) (string, bool) {
	if len(cert.URIs) != 1 {
		return "", false
	}
	service, ok := strings.CutPrefix(cert.URIs[0].String(), spiffePrefix)
	return service, ok && service != ""
}

// Server is for inner listeners: TLS 1.3, a client certificate of our CA naming a service is required. Errors when the
// files cannot be read now.
func Server(cfg Files) (*tls.Config, error) {
	return server(cfg, time.Now)
}

func server(cfg Files, now func() time.Time) (*tls.Config, error) {
	pair, err := watch(cfg, now)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		NextProtos:     []string{"h2"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.current().cert, nil },
		// The authorities may change too, so the chain is verified below, not by the standard check. No tickets: every
		// connection shows its certificate.
		ClientAuth:             tls.RequireAnyClientCert,
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := pair.verify(state, x509.ExtKeyUsageClientAuth)
			return err
		},
	}, nil
}

// Client is for inner connections: TLS 1.3, our certificate shown, the other end's certificate of our CA must name the
// service serverName (for example "compliance"). Host names do not matter: a stolen certificate of another service is
// refused wherever it listens.
func Client(cfg Files, serverName string) (*tls.Config, error) {
	return client(cfg, serverName, time.Now)
}

func client(cfg Files, serverName string, now func() time.Time) (*tls.Config, error) {
	if serverName == "" {
		return nil, errors.New("tlsconf: the service to connect to has no name")
	}
	pair, err := watch(cfg, now)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2"},
		ServerName: serverName,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return pair.current().cert, nil
		},
		// VerifyConnection below does the whole verification, with the authorities of now and the SPIFFE id in the place
		// of the host name.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			service, err := pair.verify(state, x509.ExtKeyUsageServerAuth)
			if err == nil && service != serverName {
				err = fmt.Errorf("tlsconf: %q answers in the place of %q", service, serverName)
			}
			return err
		},
	}, nil
}

// publicSuites are the TLS 1.2 suites of the public listeners: ephemeral keys and authenticated encryption only. Those
// of TLS 1.3 are all of that kind and not configurable.
var publicSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// Public is for the public listeners: TLS 1.2 and 1.3, hybrid curves as Go offers them, no client certificate. The
// caller sets NextProtos.
func Public(cert, key string) (*tls.Config, error) {
	return public(Files{Cert: cert, Key: key}, time.Now)
}

func public(cfg Files, now func() time.Time) (*tls.Config, error) {
	pair, err := watch(cfg, now)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		CipherSuites:   publicSuites,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.current().cert, nil },
	}, nil
}
