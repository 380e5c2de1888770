package seal

import (
	"cmp"
	"context"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Keyring answers deployment keys, one or several versions per environment.
type Keyring struct {
	kek     KEK
	file    string
	now     func() time.Time
	cached  cache[string, ring] // the one entry is ringEntry
	indexes cache[indexScope, *Index]
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
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(append(text, '\n'))
	return errors.Join(err, out.Sync(), out.Close())
}

// OpenKeyring opens a keyring file. The file is read again and its keys are unwrapped again every hour, when they are
// needed. A KEK that is away is no error here (services start in any order); a KEK that refuses, or a file that is not
// a keyring, is.
func OpenKeyring(ctx context.Context, kek KEK, file string, now func() time.Time) (*Keyring, error) {
	k := &Keyring{kek: kek, file: file, now: now}
	_, err := k.cached.load(ctx, ringEntry, ringEntry, now(), k.unwrapAll)
	if err != nil && errs.KindOf(err) != errs.Unavailable {
		return nil, err
	}
	return k, nil
}

func (k *Keyring) ring(ctx context.Context) (ring, error) {
	if r, ok := k.cached.get(ringEntry, k.now()); ok {
		return r, nil
	}
	return k.refresh(ctx)
}

// refresh reads and unwraps the keyring again. In a running process every failure is errs.Unavailable: a permission
// withdrawn by mistake, or a file half distributed, must delay messages and not send them to the dead letters.
func (k *Keyring) refresh(ctx context.Context) (ring, error) {
	r, err := k.cached.load(ctx, ringEntry, ringEntry, k.now(), k.unwrapAll)
	if err != nil && errs.KindOf(err) != errs.Unavailable {
		err = errs.E(errs.Unavailable, "KEYRING_UNREADABLE", "the deployment keys cannot be had", err)
	}
	return r, err
}

func (k *Keyring) unwrapAll(ctx context.Context) (ring, error) {
	text, err := os.ReadFile(k.file)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	var content keyringFile
	if err := json.Unmarshal(text, &content); err != nil {
		return nil, fmt.Errorf("keyring %s: %w", k.file, err)
	}
	unwrapped := ring{}
	for _, w := range content.Keys {
		key, err := k.unwrap(ctx, w)
		if err != nil {
			return nil, fmt.Errorf("keyring %s, %s version %d: %w", k.file, w.Env, w.Version, err)
		}
		unwrapped[w.Env] = append(unwrapped[w.Env], key)
	}
	for _, keys := range unwrapped {
		slices.SortFunc(keys, func(a, b deploymentKey) int { return cmp.Compare(a.version, b.version) })
	}
	return unwrapped, nil
}

func (k *Keyring) unwrap(ctx context.Context, w wrappedKey) (deploymentKey, error) {
	plain, err := k.kek.Unwrap(ctx, w.Wrapped)
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

// version answers a given key of env. One we do not know may be newer than our copy of the file: read it once more.
func (k *Keyring) version(ctx context.Context, env string, version uint32) (deploymentKey, error) {
	for _, fresh := range []bool{false, true} {
		if fresh {
			if _, err := k.refresh(ctx); err != nil {
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
