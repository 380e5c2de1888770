package person

import (
	"io"
	"strings"

	"github.com/onlinesms/onlinesms/services/internal/principal"
)

const (
	recoveryCodes = 10
	recoveryBytes = 10 // 80 bits a code
)

// RecoveryMAC is what is kept of a recovery code: an HMAC under a key of the tenant. Not under a pepper: nobody has the
// code to hash it anew when the pepper changes.
type RecoveryMAC = [16]byte

// recoveryMAC is the MAC of a code as somebody typed it; it is worth something for its user only.
func recoveryMAC(v Vault, u *User, typed string) (RecoveryMAC, error) {
	code := strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(typed[:min(len(typed), 64)]))
	return v.Hash(principal.Live, u.Tenant, "recovery|"+u.ID.String()+"|"+code)
}

// newRecoveryCodes makes codes as they are shown, xxxx-xxxx-xxxx-xxxx, and as they are stored.
func newRecoveryCodes(v Vault, u *User, random io.Reader) (shown []string, stored []RecoveryMAC, err error) {
	for range recoveryCodes {
		raw := make([]byte, recoveryBytes)
		if _, err := io.ReadFull(random, raw); err != nil {
			return nil, nil, err
		}
		code := strings.ToLower(base32Plain.EncodeToString(raw))
		code = code[:4] + "-" + code[4:8] + "-" + code[8:12] + "-" + code[12:]
		mac, err := recoveryMAC(v, u, code)
		if err != nil {
			return nil, nil, err
		}
		shown, stored = append(shown, code), append(stored, mac)
	}
	return shown, stored, nil
}
