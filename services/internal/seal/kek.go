package seal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// keySize is that of every key: AES-256.
const keySize = 32

// kekDomain separates what the file KEK wraps from everything else sealed with AES-GCM.
const kekDomain = "onlinesms/kek/v1"

// fileKEK is the KEK of development and of small installations: the key lies in a file.
type fileKEK struct{ aead cipher.AEAD }

// NewFileKEK reads a key-encryption key from a file: 32 bytes in base64. A file that its group or others may read is
// refused, whatever else is right about it.
func NewFileKEK(path string) (KEK, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("key-encryption key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key-encryption key %s has mode %04o: only its owner may read it (chmod 0600)", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("key-encryption key: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != keySize {
		return nil, fmt.Errorf("key-encryption key %s: want %d bytes in base64", path, keySize)
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	return fileKEK{aead}, nil
}

// GenerateFileKEK creates the file NewFileKEK reads; one that is there already is an error (fs.ErrExist) and stays.
func GenerateFileKEK(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(file, base64.StdEncoding.EncodeToString(randomKey()))
	return errors.Join(err, file.Sync(), file.Close())
}

// Wrap implements KEK.
func (k fileKEK) Wrap(_ context.Context, plain []byte) ([]byte, error) {
	return wrap(k.aead, plain, []byte(kekDomain)), nil
}

// Unwrap implements KEK.
func (k fileKEK) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) {
	plain, err := unwrap(k.aead, wrapped, []byte(kekDomain))
	if err != nil {
		return nil, errs.E(errs.Denied, "KEK_REFUSED", "the key-encryption key does not open this key", err)
	}
	return plain, nil
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
