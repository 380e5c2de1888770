package tenant

import (
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"strings"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
)

// A key is osms_<live|test>_<kid>_<secret><crc>: the kid names it in public, the secret is 32 random bytes, and the CRC
// lets anyone refuse a mistyped or invented key without asking the database. All parts are base62, so
// that a double click selects the whole.
const (
	keyPrefix   = "osms_"
	kidLength   = 12 // 71 bits
	secretBytes = 32
	secretChars = 43 // 32 bytes in base62
	crcChars    = 6  // 32 bits in base62
	keyLength   = len(keyPrefix) + len("live_") + kidLength + len("_") + secretChars + crcChars

	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// Key is a parsed key. It says nothing about whether the key exists.
type Key struct {
	Env    string // principal.Live or principal.Test
	KID    string // public name
	Secret string // never logged, never stored
}

// What is wrong with a key. The first two anybody can find out without us; of a key in order nobody is told whether its
// kid or its secret is unknown.
var (
	ErrKeyMalformed = errs.E(errs.Unauthenticated, "KEY_MALFORMED", "this is not an API key; send the whole key as `Authorization: Bearer osms_…`", nil)
	ErrKeyChecksum  = errs.E(errs.Unauthenticated, "KEY_CHECKSUM", "the API key is mistyped or cut short: its last six characters do not fit the rest", nil)
	ErrKeyInvalid   = errs.E(errs.Unauthenticated, "KEY_INVALID", "the API key is not valid; check that it is a key of this platform", nil)
)

// ParseKey takes a key apart. It needs no database: form and CRC decide. The error is ErrKeyMalformed or ErrKeyChecksum.
func ParseKey(s string) (Key, error) {
	if len(s) != keyLength || !strings.HasPrefix(s, keyPrefix) {
		return Key{}, ErrKeyMalformed
	}
	body, sum := s[:keyLength-crcChars], s[keyLength-crcChars:]
	env, rest, _ := strings.Cut(body[len(keyPrefix):], "_")
	kid, secret, found := strings.Cut(rest, "_")
	known := env == principal.Live || env == principal.Test
	switch {
	case !found || !known || len(kid) != kidLength || !isBase62(kid) || !isBase62(secret):
		return Key{}, ErrKeyMalformed
	case crc(body) != sum:
		return Key{}, ErrKeyChecksum
	}
	return Key{Env: env, KID: kid, Secret: secret}, nil
}

// String is the key as its holder writes it.
func (k Key) String() string {
	body := keyPrefix + k.Env + "_" + k.KID + "_" + k.Secret
	return body + crc(body)
}

// NewKey makes a key for env (principal.Live or principal.Test) from 48 bytes of random.
func NewKey(env string, random io.Reader) (Key, error) {
	var raw [16 + secretBytes]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return Key{}, fmt.Errorf("reading randomness: %w", err)
	}
	kid := encode62(raw[:16], 22)
	return Key{Env: env, KID: kid[len(kid)-kidLength:], Secret: encode62(raw[16:], secretChars)}, nil
}

func crc(s string) string {
	sum := crc32.ChecksumIEEE([]byte(s))
	var out [crcChars]byte
	for i := range out {
		out[crcChars-1-i] = base62[sum%62]
		sum /= 62
	}
	return string(out[:])
}

// encode62 writes b as a number in base62, n characters long.
func encode62(b []byte, n int) string {
	out := make([]byte, n)
	number, digit, base := new(big.Int).SetBytes(b), new(big.Int), big.NewInt(62)
	for i := n - 1; i >= 0; i-- {
		number.DivMod(number, base, digit)
		out[i] = base62[digit.Int64()]
	}
	return string(out)
}

func isBase62(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
