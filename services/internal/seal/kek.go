package seal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// keySize is that of every key: AES-256.
const keySize = 32

// kekDomain separates what a local KEK wraps from everything else sealed with AES-GCM.
const kekDomain = "onlinesms/kek/v1"

// localKEK is the KEK of development and of installations without a key service: a key in versions that the process
// itself holds. The current one wraps; all unwrap.
type localKEK struct {
	keys secret.Keys
	now  func() time.Time
}

// ReadKEK reads a local key-encryption key; see secret.Keys for its form.
func ReadKEK(ctx context.Context, ref secret.Ref, now func() time.Time) (KEK, error) {
	text, err := secret.Read(ctx, ref)
	if err != nil {
		return nil, err
	}
	return newLocalKEK(text, now)
}

func newLocalKEK(text []byte, now func() time.Time) (*localKEK, error) {
	keys, err := secret.ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("key-encryption key: %w", err)
	}
	return &localKEK{keys, now}, nil
}

// GenerateFileKEK creates a file with a key-encryption key, version 1; one that is there already is an error
// (fs.ErrExist) and stays.
func GenerateFileKEK(path string) error {
	keys, err := secret.Keys{}.With(time.Time{})
	if err != nil {
		return err
	}
	return secret.Create(path, keys.Text())
}

// Wrap implements KEK.
func (k *localKEK) Wrap(_ context.Context, plain []byte) ([]byte, error) {
	aead, err := newAEAD(k.keys.Current(k.now()).Bytes)
	if err != nil {
		return nil, err
	}
	return wrap(aead, plain, []byte(kekDomain)), nil
}

// Unwrap implements KEK.
func (k *localKEK) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) {
	var failure error
	for _, key := range slices.Backward(k.keys) {
		aead, err := newAEAD(key.Bytes)
		if err == nil {
			plain, err := unwrap(aead, wrapped, []byte(kekDomain))
			if err == nil {
				return plain, nil
			}
			failure = err
		}
	}
	return nil, errs.E(errs.Denied, "KEK_REFUSED", "the key-encryption key does not open this key", failure)
}

// wrap seals a key under another: nonce(12) | ciphertext | tag(16).
func wrap(aead cipher.AEAD, plain, context []byte) []byte {
	nonce := make([]byte, nonceSize, nonceSize+len(plain)+tagSize)
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, plain, context)
}

func unwrap(aead cipher.AEAD, wrapped, context []byte) ([]byte, error) {
	if len(wrapped) < nonceSize+tagSize {
		return nil, errors.New("wrapped key is too short")
	}
	return aead.Open(nil, wrapped[:nonceSize], wrapped[nonceSize:], context)
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func randomKey() []byte {
	key := make([]byte, keySize)
	rand.Read(key) // never fails (crypto/rand)
	return key
}
