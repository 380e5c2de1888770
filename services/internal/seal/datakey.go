package seal

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

const (
	wireVersion = 0x01
	nonceSize   = 12
	tagSize     = 16
	headerSize  = 1 + 8 + nonceSize
	// Overhead is how much longer a sealed value is than its plain text.
	Overhead = headerSize + tagSize

	// sealsPerKey is how often one process seals with one data key (doc.go).
	sealsPerKey = 1 << 30
)

// dataKey is an unwrapped data key.
type dataKey struct {
	id    uint64
	aead  cipher.AEAD
	seals *atomic.Int64 // how often this process has sealed with it
}

// seal appends the sealed plaintext to dst.
func (k *dataKey) seal(dst, plaintext []byte, b Binding) []byte {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	dst = slices.Grow(dst, len(plaintext)+Overhead)
	dst = append(dst, wireVersion)
	dst = binary.BigEndian.AppendUint64(dst, k.id)
	dst = dst[:len(dst)+nonceSize]
	nonce := dst[len(dst)-nonceSize:]
	rand.Read(nonce) // 60 ns; a store of random bytes would save 20 and repeat nonces after a VM snapshot is resumed
	return k.aead.Seal(dst, nonce, plaintext, s.aad(b, k.id))
}

// open appends the plain text of sealed, whose header has been checked, to dst.
func (k *dataKey) open(dst, sealed []byte, b Binding) ([]byte, error) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	opened, err := k.aead.Open(dst, sealed[headerSize-nonceSize:headerSize], sealed[headerSize:], s.aad(b, k.id))
	if err != nil {
		return nil, unreadable(err)
	}
	return opened, nil
}

func unreadable(cause error) error {
	return errs.E(errs.Invalid, "CONTENT_UNREADABLE", "the sealed content does not open in this place", cause)
}

// keyID reads the header of a sealed value.
func keyID(sealed []byte) (uint64, error) {
	if len(sealed) < Overhead {
		return 0, unreadable(errors.New("sealed value is too short"))
	}
	if sealed[0] != wireVersion {
		return 0, unreadable(errors.New("unknown version of sealed value"))
	}
	return binary.BigEndian.Uint64(sealed[1:9]), nil
}

// scratch is room for the additional data, which would otherwise be allocated on every call.
type scratch struct{ data []byte }

var scratches = sync.Pool{New: func() any { return &scratch{data: make([]byte, 0, 96)} }}

// aad is `v1|env|tenant|message_id|class|key_id`, ids as their 16, 16 and 8 bytes: everything between env and class has
// one length, so no two bindings read the same.
func (s *scratch) aad(b Binding, keyID uint64) []byte {
	d := append(s.data[:0], "v1|"...)
	d = append(append(d, b.Env...), '|')
	d = append(append(d, b.Tenant[:]...), '|')
	d = append(append(d, b.Message[:]...), '|')
	d = append(append(d, b.Class...), '|')
	s.data = binary.BigEndian.AppendUint64(d, keyID)
	return s.data
}

// wrapContext binds a wrapped data key to its place, with the class as asked for: without its roll number.
func wrapContext(b Binding, id uint64) []byte {
	s := scratch{}
	return append(s.aad(Binding{Env: b.Env, Tenant: b.Tenant, Class: b.Class}, id), "|data-key"...)
}

// wrapDataKey is version(4, big endian) of the deployment key | what wrap makes.
func wrapDataKey(d deploymentKey, plain []byte, b Binding, id uint64) []byte {
	wrapped := binary.BigEndian.AppendUint32(nil, d.version)
	return append(wrapped, wrap(d.aead, plain, wrapContext(b, id))...)
}
