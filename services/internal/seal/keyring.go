package seal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// Keyring answers deployment keys, one or several versions per environment. It follows where they come from.
type Keyring struct {
	ref     secret.Ref
	now     func() time.Time
	cached  cache[string, ring] // the one entry is ringEntry
	indexes cache[indexScope, *Index]

	mu   sync.Mutex
	kek  KEK
	text []byte // the keyring in force, wrapped
}

const ringEntry = "keyring"

// ring is the keyring unwrapped: per environment the versions in rising order.
type ring map[string][]deploymentKey

// deploymentKey wraps data keys; raw also yields the blind-index keys.
type deploymentKey struct {
	version uint32
	raw     []byte
	aead    cipher.AEAD
}

// wrappedKey is a deployment key as it stands in the keyring file. The KEK wraps key and name together, so that an
// entry moved to another environment or version does not pass.
type wrappedKey struct {
	Env     string `json:"env"`
	Version uint32 `json:"version"` // from 1; the highest wraps new data keys
	Wrapped []byte `json:"wrapped"`
}

type keyringFile struct {
	Keys []wrappedKey `json:"deployment_keys"`
}

// CreateKeyring makes a keyring file (mode 0600) with a first deployment key for each environment. One that is there
// already is an error (fs.ErrExist) and stays.
func CreateKeyring(ctx context.Context, kek KEK, file string, envs ...string) error {
	var content keyringFile
	for _, env := range envs {
		wrapped, err := kek.Wrap(ctx, append(randomKey(), keyName(env, 1)...))
		if err != nil {
			return err
		}
		content.Keys = append(content.Keys, wrappedKey{Env: env, Version: 1, Wrapped: wrapped})
	}
	text, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return err
	}
	return secret.Create(file, append(text, '\n'))
}

// OpenKeyring opens a keyring under a local key-encryption key and follows both until ctx ends. A new key-encryption key
// comes into force when it opens the keyring, a new keyring when the key-encryption key opens it; so they may be replaced
// one after the other, in either order.
func OpenKeyring(ctx context.Context, kek, keyring secret.Ref, now func() time.Time) (*Keyring, error) {
	k := &Keyring{ref: keyring, now: now}
	if err := secret.Follow(ctx, "KEK", kek, func(text []byte) error { return k.takeKEK(ctx, text) }); err != nil {
		return nil, err
	}
	return k.open(ctx)
}

// NewKeyring opens a keyring under a key-encryption key that is elsewhere, and follows the keyring until ctx ends. Its
// keys are unwrapped again every hour, when they are needed. A KEK that is away is no error here (services start in any
// order); a KEK that refuses, or a text that is not a keyring, is.
func NewKeyring(ctx context.Context, kek KEK, keyring secret.Ref, now func() time.Time) (*Keyring, error) {
	return (&Keyring{ref: keyring, now: now, kek: kek}).open(ctx)
}

func (k *Keyring) open(ctx context.Context) (*Keyring, error) {
	err := secret.Follow(ctx, "KEYRING", k.ref, func(text []byte) error {
		_, err := k.take(ctx, text)
		return err
	})
	return k, err
}

func (k *Keyring) takeKEK(ctx context.Context, text []byte) error {
	next, err := newLocalKEK(text, k.now)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.text != nil {
		if err := next.keys.Follows(k.kek.(*localKEK).keys); err != nil {
			return err
		}
		if err := k.fit(ctx, next); err != nil {
			return err
		}
	}
	k.kek = next
	return nil
}

// fit sees to it that next opens the keyring in force; where it does not, and both have changed at once, that it opens
// the one to come, which is then in force.
func (k *Keyring) fit(ctx context.Context, next KEK) error {
	_, refused := unwrapAll(ctx, next, k.text)
	if refused == nil {
		return nil
	}
	text, err := secret.Read(ctx, k.ref)
	if err != nil {
		return refused
	}
	r, err := unwrapAll(ctx, next, text)
	if err != nil {
		return refused
	}
	k.text = text
	k.cached.put(ringEntry, r, k.now())
	return nil
}

// take puts a keyring into force. The first is taken unopened while the KEK is away.
func (k *Keyring) take(ctx context.Context, text []byte) (ring, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, err := unwrapAll(ctx, k.kek, text)
	if err != nil && (k.text != nil || errs.KindOf(err) != errs.Unavailable) {
		return nil, err
	}
	k.text = bytes.Clone(text)
	if err == nil {
		k.cached.put(ringEntry, r, k.now())
	}
	return r, nil
}

func (k *Keyring) ring(ctx context.Context) (ring, error) {
	if r, ok := k.cached.get(ringEntry, k.now()); ok {
		return r, nil
	}
	return k.load(ctx, ringEntry, func(ctx context.Context) (ring, error) {
		k.mu.Lock()
		kek, text := k.kek, k.text
		k.mu.Unlock()
		return unwrapAll(ctx, kek, text)
	})
}

// look reads the keyring at once, for a version that is not in the one we have.
func (k *Keyring) look(ctx context.Context) (ring, error) {
	return k.load(ctx, "look", func(ctx context.Context) (ring, error) {
		text, err := secret.Read(ctx, k.ref)
		if err != nil {
			return nil, err
		}
		return k.take(ctx, text)
	})
}

// load gets the ring anew, once for all who ask. In a running process every failure is errs.Unavailable: a permission
// withdrawn by mistake, or a file half distributed, must delay messages and not send them to the dead letters.
func (k *Keyring) load(ctx context.Context, flight string, get func(context.Context) (ring, error)) (ring, error) {
	r, err := k.cached.load(ctx, ringEntry, flight, k.now(), get)
	if err != nil && errs.KindOf(err) != errs.Unavailable {
		err = errs.E(errs.Unavailable, "KEYRING_UNREADABLE", "the deployment keys cannot be had", err)
	}
	return r, err
}

func unwrapAll(ctx context.Context, kek KEK, text []byte) (ring, error) {
	content, err := parseKeyring(text)
	if err != nil {
		return nil, err
	}
	unwrapped := ring{}
	for _, w := range content.Keys {
		key, err := w.unwrap(ctx, kek)
		if err != nil {
			return nil, fmt.Errorf("keyring, %s version %d: %w", w.Env, w.Version, err)
		}
		unwrapped[w.Env] = append(unwrapped[w.Env], key)
	}
	for _, keys := range unwrapped {
		slices.SortFunc(keys, func(a, b deploymentKey) int { return cmp.Compare(a.version, b.version) })
	}
	return unwrapped, nil
}

func parseKeyring(text []byte) (content keyringFile, err error) {
	if err := json.Unmarshal(text, &content); err != nil {
		return content, fmt.Errorf("keyring: %w", err)
	}
	if len(content.Keys) == 0 {
		return content, errors.New("keyring: no key in it")
	}
	return content, nil
}

func (w wrappedKey) unwrap(ctx context.Context, kek KEK) (deploymentKey, error) {
	plain, err := kek.Unwrap(ctx, w.Wrapped)
	if err != nil {
		return deploymentKey{}, err
	}
	if len(plain) < keySize || string(plain[keySize:]) != keyName(w.Env, w.Version) {
		return deploymentKey{}, errs.E(errs.Denied, "KEYRING_CHANGED", "the wrapped key belongs to another entry", nil)
	}
	aead, err := newAEAD(plain[:keySize])
	return deploymentKey{version: w.Version, raw: plain[:keySize], aead: aead}, err
}

func keyName(env string, version uint32) string { return fmt.Sprintf("%s/%d", env, version) }

// newest answers the key that wraps new data keys of env.
func (k *Keyring) newest(ctx context.Context, env string) (deploymentKey, error) {
	keys, err := k.of(ctx, env)
	if err != nil {
		return deploymentKey{}, err
	}
	return keys[len(keys)-1], nil
}

// version answers a given key of env. One we do not know may be newer than our keyring: read it once more.
func (k *Keyring) version(ctx context.Context, env string, version uint32) (deploymentKey, error) {
	for _, fresh := range []bool{false, true} {
		if fresh {
			if _, err := k.look(ctx); err != nil {
				return deploymentKey{}, err
			}
		}
		keys, err := k.of(ctx, env)
		if err != nil {
			return deploymentKey{}, err
		}
		for _, key := range keys {
			if key.version == version {
				return key, nil
			}
		}
	}
	return deploymentKey{}, errs.E(errs.Unavailable, "DEPLOYMENT_KEY_UNKNOWN", "the deployment key is not in the keyring yet",
		errors.New(keyName(env, version)))
}

func (k *Keyring) of(ctx context.Context, env string) (keys []deploymentKey, err error) {
	r, err := k.ring(ctx)
	if err != nil {
		return nil, err
	}
	if len(r[env]) == 0 {
		return nil, errs.E(errs.Denied, "DEPLOYMENT_KEY_UNKNOWN", "the keyring has no key for this environment", errors.New(env))
	}
	return r[env], nil
}

// indexScope names a blind index: numbers of two tenants, or two environments, are never comparable.
type indexScope struct {
	env    string
	tenant uuid.UUID
}
