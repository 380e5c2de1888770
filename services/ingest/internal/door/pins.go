package door

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// pinsPath is where clients find the keys the door will show: now, next, and in an emergency.
const pinsPath = "/.well-known/sms-pins.json"

// PinsSignature is the header with the signature over the exact bytes of the pin set: Ed25519, base64; once for each key.
const PinsSignature = "Pins-Signature"

const (
	pinsLifetime = 30 * 24 * time.Hour // how long a client may go by a set it has fetched
	pinsRefresh  = time.Minute         // how soon a replaced certificate shows
)

// Pins publishes the pin set.
type Pins struct {
	next, backup []string // files, PEM: certificate or public key
	now          func() time.Time

	mu   sync.Mutex
	keys []ed25519.PrivateKey // the oldest first
	made time.Time
	body []byte
	// signatures are one by each key.
	signatures []string
}

// OpenPins reads the signing keys (PKCS #8 PEM, Ed25519), follows them until ctx ends, and remembers the files of the keys
// that come next and are kept as backup (PEM, certificate or public key; empty for none). Several keys all sign, so that
// clients which were given any of them go on while the key is rotated.
func OpenPins(ctx context.Context, key secret.Ref, nextFile, backupFile string, now func() time.Time) (*Pins, error) {
	files := func(name string) []string {
		return slices.DeleteFunc([]string{name}, func(s string) bool { return s == "" })
	}
	p := &Pins{next: files(nextFile), backup: files(backupFile), now: now}
	return p, secret.Follow(ctx, "PINS_KEY", key, func(text []byte) error {
		keys, err := parsePinsKeys(text)
		if err != nil {
			return err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.keys, p.body = keys, nil
		return nil
	})
}

func parsePinsKeys(text []byte) (keys []ed25519.PrivateKey, err error) {
	for {
		block, rest := pem.Decode(text)
		if block == nil && len(keys) > 0 && len(bytes.TrimSpace(rest)) == 0 {
			return keys, nil
		}
		if block == nil {
			return nil, errors.New("pin set key: not PEM")
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		key, ok := parsed.(ed25519.PrivateKey)
		if err != nil || !ok {
			return nil, errors.New("pin set key: not an Ed25519 key in PKCS #8")
		}
		keys, text = append(keys, key), rest
	}
}

// pin is the SHA-256 of a SubjectPublicKeyInfo (RFC 7469 2.4), base64.
type pin struct {
	Kind     string     `json:"kind"` // current, next or backup
	SPKI     string     `json:"spki_sha256"`
	NotAfter *time.Time `json:"not_after,omitempty"` // of the certificate; none for a bare key
}

type pinSet struct {
	Pins    []pin     `json:"pins"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
	// Key is the newest public key of a signature, for the first look; clients are given it beforehand. Keys are all.
	Key  string   `json:"key"`
	Keys []string `json:"keys"`
}

// page serves the set for the certificate that cfg shows.
func (p *Pins) page(cfg *tls.Config) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, signatures, err := p.current(cfg)
		if err != nil {
			problemOf(err).write(w, r)
			return
		}
		w.Header()[PinsSignature] = signatures
		w.Header().Set("Cache-Control", "max-age=60")
		static("application/json", "", body)(w, r)
	}
}

func (p *Pins) current(cfg *tls.Config) (body []byte, signatures []string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if age := now.Sub(p.made); p.body == nil || age < 0 || age > pinsRefresh {
		if err := p.make(cfg, now); err != nil {
			return nil, nil, err
		}
	}
	return p.body, p.signatures, nil
}

func (p *Pins) make(cfg *tls.Config, now time.Time) error {
	leaf, err := leafOf(cfg)
	if err != nil {
		return err
	}
	set := pinSet{
		Pins:   []pin{pinOf("current", leaf.RawSubjectPublicKeyInfo, leaf.NotAfter)},
		Issued: now.UTC().Truncate(time.Second), Expires: now.UTC().Truncate(time.Second).Add(pinsLifetime),
	}
	for _, key := range p.keys {
		set.Key = base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
		set.Keys = append(set.Keys, set.Key)
	}
	for kind, files := range map[string][]string{"next": p.next, "backup": p.backup} {
		for _, file := range files {
			found, err := pinOfFile(kind, file)
			if err != nil {
				return err
			}
			set.Pins = append(set.Pins, found)
		}
	}
	slices.SortFunc(set.Pins[1:], func(a, b pin) int { return strings.Compare(b.Kind, a.Kind) })
	body, err := json.Marshal(set)
	if err != nil {
		return err
	}
	p.made, p.body, p.signatures = now, body, nil
	for _, key := range p.keys {
		p.signatures = append(p.signatures, base64.StdEncoding.EncodeToString(ed25519.Sign(key, body)))
	}
	return nil
}

func leafOf(cfg *tls.Config) (*x509.Certificate, error) {
	cert := &tls.Certificate{}
	var err error
	switch {
	case cfg.GetCertificate != nil:
		if cert, err = cfg.GetCertificate(&tls.ClientHelloInfo{}); err != nil {
			return nil, err
		}
	case len(cfg.Certificates) > 0:
		cert = &cfg.Certificates[0]
	}
	if cert.Leaf != nil {
		return cert.Leaf, nil
	}
	if len(cert.Certificate) == 0 {
		return nil, errors.New("the door shows no certificate")
	}
	return x509.ParseCertificate(cert.Certificate[0])
}

func pinOfFile(kind, file string) (p pin, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return p, fmt.Errorf("pin %s: %w", kind, err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return p, fmt.Errorf("pin %s: not a PEM file", kind)
	}
	switch block.Type {
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return p, fmt.Errorf("pin %s: %w", kind, err)
		}
		return pinOf(kind, cert.RawSubjectPublicKeyInfo, cert.NotAfter), nil
	case "PUBLIC KEY":
		if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			return p, fmt.Errorf("pin %s: %w", kind, err)
		}
		return pinOf(kind, block.Bytes, time.Time{}), nil
	}
	return p, fmt.Errorf("pin %s: a certificate or a public key is wanted, not a %s", kind, block.Type)
}

func pinOf(kind string, spki []byte, notAfter time.Time) pin {
	sum := sha256.Sum256(spki)
	p := pin{Kind: kind, SPKI: base64.StdEncoding.EncodeToString(sum[:])}
	if !notAfter.IsZero() {
		notAfter = notAfter.UTC()
		p.NotAfter = &notAfter
	}
	return p
}

// NewPinsKey makes a signing key for pin sets, PKCS #8 PEM.
func NewPinsKey() ([]byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), err
}

// CreatePinsKey makes a signing key for pin sets in a new file, mode 0600; fs.ErrExist where there is one.
func CreatePinsKey(file string) error {
	key, err := NewPinsKey()
	if err != nil {
		return err
	}
	return secret.Create(file, key)
}
