package ledger

import (
	"crypto/sha256"
	"encoding/hex"

	"golang.org/x/mod/sumdb/tlog"
)

// Names of committed fields.
const (
	FieldMessages = "messages"
	FieldParcel   = "parcel"
	FieldAddress  = "address"    // of a call
	FieldAfter    = "after"      // settings after a change, canonical JSON
	FieldBefore   = "before"     // settings before it
	FieldAgent    = "user_agent" // of a call
)

// SaltSize makes a guess at a committed phone number hopeless: without the salt every value is equally likely.
const SaltSize = 32

// Field is a value behind a commitment. Value is nil where its owner is another service.
type Field struct {
	Name  string
	Salt  [SaltSize]byte
	Value []byte
	// Digest stands for the value where the value is too large to keep or not ours: commitment is then over it.
	Digest []byte
}

// Commitment is SHA-256(0x02 || salt || name || 0x00 || value). The first byte keeps it apart from leaf (0x00) and node
// (0x01) hashes of RFC 6962.
func (f *Field) Commitment() [sha256.Size]byte {
	value := f.Value
	if f.Digest != nil {
		value = f.Digest
	}
	buf := make([]byte, 0, 512)
	buf = append(buf, 0x02)
	buf = append(buf, f.Salt[:]...)
	buf = append(buf, f.Name...)
	buf = append(buf, 0x00)
	buf = append(buf, value...)
	return sha256.Sum256(buf)
}

// LeafHash is SHA-256(0x00 || leaf), RFC 6962 section 2.1.
func LeafHash(leaf []byte) tlog.Hash { return tlog.RecordHash(leaf) }

func appendHex(dst []byte, sum [sha256.Size]byte) []byte { return hex.AppendEncode(dst, sum[:]) }
