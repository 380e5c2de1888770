package person

import (
	"crypto/subtle"
	"encoding/base32"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// The authenticator: RFC 6238 with SHA-1, six digits and steps of 30 s, which is what every app knows. Codes of the step
// before and after are taken too, for clocks that differ.
const (
	stepSeconds = 30
	skewSteps   = 1
	seedBytes   = 20 // RFC 4226, 4: 160 bits
)

var base32Plain = base32.StdEncoding.WithPadding(base32.NoPadding)

// stepOf is the step of t.
func stepOf(t time.Time) int64 { return t.Unix() / stepSeconds }

// matchTOTP tells of which step near now code is, comparing all of them whichever fits; ok is false when of none.
func matchTOTP(seed []byte, code string, now time.Time) (step int64, ok bool) {
	secret := base32Plain.EncodeToString(seed)
	for at := stepOf(now) - skewSteps; at <= stepOf(now)+skewSteps; at++ {
		want, err := hotp.GenerateCodeCustom(secret, uint64(at), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			step, ok = at, true
		}
	}
	return step, ok
}

// TOTP is the code of a seed in base32 at a moment, as an authenticator shows it.
func TOTP(seed string, now time.Time) (string, error) {
	return hotp.GenerateCodeCustom(seed, uint64(stepOf(now)), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
}

// totpURL is the seed as authenticators read it from a QR code (the otpauth key URI format).
func totpURL(seed []byte, issuer, account string) string {
	q := url.Values{"secret": {base32Plain.EncodeToString(seed)}, "issuer": {issuer}}
	return "otpauth://totp/" + url.PathEscape(issuer+":"+account) + "?" + strings.ReplaceAll(q.Encode(), "+", "%20")
}
