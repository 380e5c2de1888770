package verification

import (
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"
)

// Peppers are the secrets under which codes are stored; see tenant.Peppers.
type Peppers interface {
	// Hash gives the stored form of a secret and the version of the pepper in it.
	Hash(secret string) (mac []byte, version int16)
	// Matches tells in constant time whether secret has the stored form mac.
	Matches(secret string, mac []byte, version int16) bool
}

// newCode draws length digits, each equally likely: bytes from 250 on are thrown away, so that the rest divides by ten.
func newCode(random io.Reader, length int) (string, error) {
	code := make([]byte, 0, length)
	var drawn [16]byte
	for {
		if _, err := io.ReadFull(random, drawn[:]); err != nil {
			return "", fmt.Errorf("reading randomness: %w", err)
		}
		for _, b := range drawn {
			if b < 250 && len(code) < length {
				code = append(code, '0'+b%10)
			}
		}
		if len(code) == length {
			return string(code), nil
		}
	}
}

// material is what a code's MAC is made of. The label keeps it apart from the secrets of API keys under the same
// pepper; fixed lengths, and NUL, which no purpose holds, keep its parts apart.
func material(session uuid.UUID, number [16]byte, purpose, code string) string {
	return "otp\x00" + string(session[:]) + string(number[:]) + purpose + "\x00" + code
}

// typed is a code as a person may have typed it, without spaces and hyphens; false when it cannot be one.
func typed(code string) (string, bool) {
	if len(code) > 4*MaxCode {
		return "", false
	}
	code = strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, code)
	digits := strings.Trim(code, "0123456789") == ""
	return code, digits && len(code) >= MinCode && len(code) <= MaxCode
}
