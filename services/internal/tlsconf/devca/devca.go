// Package devca is a certificate authority for development and tests: one directory with ca.pem, ca-key.pem and a
// <name>.pem, <name>-key.pem per leaf. Production has its own authority.
package devca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 365 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is made anew.
	renewBefore = 30 * 24 * time.Hour
)

// Create makes the authority in dir, and dir itself, unless they are there already.
func Create(dir string) error { return create(dir, time.Now()) }

func create(dir string, now time.Time) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	ca, err := read(dir, "ca")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && now.Add(renewBefore).Before(ca.Leaf.NotAfter) {
		return nil
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "OnlineSMS development CA"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	return sign(dir, "ca", template, nil)
}

// Issue makes the certificate name in dir for localhost, the loopback addresses and hosts (names or addresses). A
// SPIFFE id, when given, makes it fit for both ends of mTLS; without one it is for servers only. A certificate that
// says the same already and lasts another 30 days is kept.
func Issue(dir, name string, hosts []string, spiffe string) error {
	return issue(dir, name, hosts, spiffe, time.Now())
}

func issue(dir, name string, hosts []string, spiffe string, now time.Time) error {
	ca, err := read(dir, "ca")
	if err != nil {
		return err
	}
	template, err := leaf(name, hosts, spiffe, now)
	if err != nil {
		return err
	}
	old, err := read(dir, name)
	if err == nil && now.Add(renewBefore).Before(old.Leaf.NotAfter) && same(old.Leaf, template, ca.Leaf) {
		return nil
	}
	return sign(dir, name, template, ca)
}

func leaf(name string, hosts []string, spiffe string, now time.Time) (*x509.Certificate, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		NotBefore:   now.Add(-time.Hour),
		NotAfter:    now.Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if spiffe == "" {
		return template, nil
	}
	id, err := url.Parse(spiffe)
	if err != nil || id.Scheme != "spiffe" {
		return nil, fmt.Errorf("devca: %q is no SPIFFE id", spiffe)
	}
	template.URIs = []*url.URL{id}
	template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	return template, nil
}

// same tells whether the certificate old of this authority says what template asks for.
func same(old, template, ca *x509.Certificate) bool {
	return old.CheckSignatureFrom(ca) == nil &&
		slices.Equal(old.DNSNames, template.DNSNames) &&
		slices.EqualFunc(old.IPAddresses, template.IPAddresses, net.IP.Equal) &&
		slices.EqualFunc(old.URIs, template.URIs, func(a, b *url.URL) bool { return a.String() == b.String() })
}

// sign makes a key and a certificate for it, signed by ca, or by itself when ca is nil, and writes both.
func sign(dir, name string, template *x509.Certificate, ca *tls.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	parent, signer := template, any(key)
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return err
	}
	keyBytes, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := write(filepath.Join(dir, name+"-key.pem"), "PRIVATE KEY", keyBytes, 0o600); err != nil {
		return err
	}
	return write(filepath.Join(dir, name+".pem"), "CERTIFICATE", cert, 0o644)
}

// read answers a certificate and its key; fs.ErrNotExist when one of them is not there.
func read(dir, name string) (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+"-key.pem"))
	if err != nil {
		return nil, fmt.Errorf("devca: %s: %w", name, err)
	}
	return &cert, nil
}

// write replaces a file as a whole, so that nobody reads half of it.
func write(path, kind string, content []byte, mode fs.FileMode) error {
	var text bytes.Buffer
	if err := pem.Encode(&text, &pem.Block{Type: kind, Bytes: content}); err != nil {
		return err
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, text.Bytes(), mode); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
