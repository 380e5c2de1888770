package person

import (
	"io"
	"strings"

	"github.com/google/uuid"
)

const (
	recoveryCodes = 10
	recoveryBytes = 10 // 80 bits a code
)

// StoredCode is what is kept of a recovery code.
type StoredCode struct {
	MAC           []byte
	PepperVersion int16
}

// recoveryMaterial is what a recovery code is stored as the MAC of: it is worth something for its user only.
func recoveryMaterial(user uuid.UUID, code string) string {
	return "recovery|" + user.String() + "|" + code
}

// newRecoveryCodes makes codes as they are shown, xxxx-xxxx-xxxx-xxxx, and as they are stored.
func newRecoveryCodes(user uuid.UUID, peppers Peppers, random io.Reader) (shown []string, stored []StoredCode, err error) {
	for range recoveryCodes {
		raw := make([]byte, recoveryBytes)
		if _, err := io.ReadFull(random, raw); err != nil {
			return nil, nil, err
		}
		code := base32Plain.EncodeToString(raw)
		mac, version := peppers.Hash(recoveryMaterial(user, code))
		stored = append(stored, StoredCode{mac, version})
		code = strings.ToLower(code)
		shown = append(shown, code[:4]+"-"+code[4:8]+"-"+code[8:12]+"-"+code[12:])
	}
	return shown, stored, nil
}

// matchRecovery finds the stored form of a code as somebody typed it, comparing all; ok is false when there is none.
func matchRecovery(user uuid.UUID, typed string, stored []StoredCode, peppers Peppers) (found StoredCode, ok bool) {
	code := strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(typed))
	material := recoveryMaterial(user, code[:min(len(code), 64)])
	for _, c := range stored {
		if peppers.Matches(material, c.MAC, c.PepperVersion) {
			found, ok = c, true
		}
	}
	return found, ok
}
