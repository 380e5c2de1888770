package registry

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
)

// ChainHash is SHA-256 over the ids joined by commas, the entity first and the delivering telemarketer (TM-DF) last;
// TLV 0x1402 carries it as 64 lower-case hex digits (DLT rules 3.2). It fails without a telemarketer (C11) and on anything
// that is not an id, so that no stray space, newline or %2C can enter the hash.
func ChainHash(entity string, telemarketers []string) ([32]byte, error) {
	if len(telemarketers) == 0 {
		return [32]byte{}, errors.New("the chain is empty: it needs at least the delivering telemarketer")
	}
	ids := append([]string{entity}, telemarketers...)
	for _, id := range ids {
		if !policy.IsID(id) {
			return [32]byte{}, fmt.Errorf("%q in the chain is not a 19-digit id", id)
		}
	}
	return sha256.Sum256([]byte(strings.Join(ids, ","))), nil
}
