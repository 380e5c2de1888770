package tenant

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"sync/atomic"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// Peppers are the secrets under which keys are stored, by version: HMAC-SHA256(pepper, secret). A copy of the database
// without them says nothing about any key. The current version makes new hashes, all verify. They are followed: a new
// version verifies as soon as it is there and makes hashes from its time on.
type Peppers struct {
	keys atomic.Pointer[secret.Keys]
	now  func() time.Time
}

// OpenPeppers reads peppers and follows them until ctx ends.
func OpenPeppers(ctx context.Context, ref secret.Ref, now func() time.Time) (*Peppers, error) {
	p := &Peppers{now: now}
	return p, secret.Follow(ctx, "PEPPER", ref, p.take)
}

func (p *Peppers) take(text []byte) error {
	keys, err := secret.ParseKeys(text)
	if err != nil {
		return err
	}
	if old := p.keys.Load(); old != nil {
		if err := keys.Follows(*old); err != nil {
			return err
		}
	}
	p.keys.Store(&keys)
	return nil
}

// CreatePeppers writes a new file with one pepper, version 1. It fails when the file is there.
func CreatePeppers(path string) error {
	keys, err := secret.Keys{}.With(time.Time{})
	if err != nil {
		return err
	}
	return secret.Create(path, keys.Text())
}

// Hash gives the stored form of a secret and the version of the pepper in it.
func (p *Peppers) Hash(text string) (mac []byte, version int16) {
	current := p.keys.Load().Current(p.now())
	return hash(current.Bytes, text), current.Version
}

// Current is the version that makes new hashes.
func (p *Peppers) Current() int16 { return p.keys.Load().Current(p.now()).Version }

// Has tells whether hashes of that version can be verified.
func (p *Peppers) Has(version int16) bool { return p.keys.Load().Of(version) != nil }

// Matches tells in constant time whether a secret has the stored form mac under that version; never for a version that
// is not here any more.
func (p *Peppers) Matches(text string, mac []byte, version int16) bool {
	pepper := p.keys.Load().Of(version)
	return hmac.Equal(hash(pepper, text), mac) && pepper != nil
}

func hash(pepper []byte, text string) []byte {
	h := hmac.New(sha256.New, pepper)
	h.Write([]byte(text))
	return h.Sum(nil)
}
