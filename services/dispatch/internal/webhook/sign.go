package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Sizes of an endpoint's secrets.
const (
	secretSize = 32 // Standard Webhooks 1.0.0: 24 to 64
	keysSize   = secretSize + ed25519.SeedSize
)

// Headers of an attempt.
const (
	headerSignature = "X-Sms-Signature"
	headerPrevious  = "X-Sms-Signature-Previous"
	headerEventID   = "X-Sms-Event-Id"
	headerAttempt   = "X-Sms-Delivery-Attempt"
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerStandard  = "Webhook-Signature"
)

// Keys are an endpoint's secrets in clear: they live in memory only.
type Keys struct {
	secret  []byte
	private ed25519.PrivateKey
}

// keysOf reads 64 random bytes: 32 of HMAC key, 32 of ed25519 seed.
func keysOf(raw []byte) (*Keys, error) {
	if len(raw) != keysSize {
		return nil, errors.New("an endpoint's secret has the wrong size")
	}
	return &Keys{secret: raw[:secretSize:secretSize], private: ed25519.NewKeyFromSeed(raw[secretSize:])}, nil
}

// Secret is the HMAC key as it is shown, once: `whsec_` and base64.
func (k *Keys) Secret() string { return "whsec_" + base64.StdEncoding.EncodeToString(k.secret) }

func (k *Keys) public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// PublicKey is a v1a key as receivers know it: `whpk_` and base64.
func PublicKey(key ed25519.PublicKey) string { return "whpk_" + base64.StdEncoding.EncodeToString(key) }

// signed is what one attempt is signed with.
type signed struct {
	keys, previous *Keys // previous is nil outside of an overlap
	asymmetric     bool
}

// sign sets the headers of an attempt on a body. X-SMS-Signature is the hex HMAC-SHA256 of the body; webhook-signature
// covers `id.timestamp.body` (Standard Webhooks 1.0.0), one entry a key: a receiver with either secret finds its own.
func (s *signed) sign(h http.Header, id uuid.UUID, attempt int, at time.Time, body []byte) {
	name, stamp := id.String(), strconv.FormatInt(at.Unix(), 10)
	content := make([]byte, 0, len(name)+len(stamp)+2+len(body))
	content = append(append(append(append(content, name...), '.'), stamp...), '.')
	content = append(content, body...)

	var standard []byte
	for i, keys := range []*Keys{s.keys, s.previous} {
		if keys == nil {
			continue
		}
		mac := hmac.New(sha256.New, keys.secret)
		header := headerSignature
		if i > 0 {
			header, standard = headerPrevious, append(standard, ' ')
		}
		h[header] = []string{hex.EncodeToString(sum(mac, body))}
		standard = base64.StdEncoding.AppendEncode(append(standard, "v1,"...), sum(mac, content))
		if s.asymmetric {
			standard = base64.StdEncoding.AppendEncode(append(standard, " v1a,"...), ed25519.Sign(keys.private, content))
		}
	}
	h[headerStandard] = []string{string(standard)}
	h[headerID], h[headerEventID] = []string{name}, []string{name}
	h[headerTimestamp] = []string{stamp}
	h[headerAttempt] = []string{strconv.Itoa(attempt)}
}

func sum(mac hash.Hash, data []byte) []byte {
	mac.Reset()
	mac.Write(data)
	return mac.Sum(nil)
}
