package client

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxPinSet is how much of an answer is read.
const maxPinSet = 64 << 10

// PinSet is the keys a door shows now and will show, as published at /.well-known/sms-pins.json.
type PinSet struct {
	Pins    []PublishedPin `json:"pins"`
	Issued  time.Time      `json:"issued"`
	Expires time.Time      `json:"expires"` // fetch it again before
	// Key is the public half of the key that has signed the set, base64: for comparison. Trust the one you were given.
	Key string `json:"key"`
	// Keys are all that have signed it, the oldest first: more than one while the key is rotated. From a verified set you
	// may take the newest as the key to come.
	Keys []string `json:"keys"`
}

// PublishedPin is one key of a set.
type PublishedPin struct {
	Kind     string     `json:"kind"` // current, next or backup
	SPKI     string     `json:"spki_sha256"`
	NotAfter *time.Time `json:"not_after"` // of the certificate, where there is one already
}

// FetchPinSet reads the pin set of the door at base (https://host:port) and verifies its signature by key, which you
// have from elsewhere than that door, and its time. Redirects of doer are the caller's business.
func FetchPinSet(ctx context.Context, doer *http.Client, base string, key ed25519.PublicKey, now func() time.Time) (*PinSet, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/.well-known/sms-pins.json", nil)
	if err != nil {
		return nil, err
	}
	resp, err := doer.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPinSet))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("client: the pin set was answered with %s", resp.Status)
	}
	return VerifyPinSet(body, resp.Header.Values("Pins-Signature"), key, now())
}

// VerifyPinSet reads a pin set from its exact bytes and its Ed25519 signatures in base64, of which one must be by key.
func VerifyPinSet(body []byte, signatures []string, key ed25519.PublicKey, now time.Time) (*PinSet, error) {
	if len(key) != ed25519.PublicKeySize || !slices.ContainsFunc(signatures, func(signature string) bool {
		raw, err := base64.StdEncoding.DecodeString(signature)
		return err == nil && ed25519.Verify(key, body, raw)
	}) {
		return nil, errors.New("client: the pin set is not signed by the key")
	}
	set := &PinSet{}
	if err := json.Unmarshal(body, set); err != nil {
		return nil, fmt.Errorf("client: pin set: %w", err)
	}
	if !now.Before(set.Expires) {
		return nil, fmt.Errorf("client: the pin set has expired at %s", set.Expires)
	}
	for _, p := range set.Pins {
		if _, err := ParseSPKI(p.SPKI); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// SPKIs are the pins of a verified set.
func (s *PinSet) SPKIs() (pins []SPKI) {
	for _, p := range s.Pins {
		if pin, err := ParseSPKI(p.SPKI); err == nil {
			pins = append(pins, pin)
		}
	}
	return pins
}
