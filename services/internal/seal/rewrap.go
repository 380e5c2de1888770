package seal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Rewrap answers the keyring of text with each deployment key wrapped anew by kek: with a local KEK by its current
// version. The deployment keys stay, and with them everything they have wrapped.
func Rewrap(ctx context.Context, kek KEK, text []byte) ([]byte, error) {
	content, err := parseKeyring(text)
	if err != nil {
		return nil, err
	}
	for i, w := range content.Keys {
		key, err := w.unwrap(ctx, kek)
		if err != nil {
			return nil, fmt.Errorf("keyring, %s version %d: %w", w.Env, w.Version, err)
		}
		if content.Keys[i].Wrapped, err = kek.Wrap(ctx, append(key.raw, keyName(w.Env, w.Version)...)); err != nil {
			return nil, err
		}
	}
	rewrapped, err := json.MarshalIndent(content, "", "  ")
	return append(rewrapped, '\n'), err
}

// RetireKEK answers a local KEK without the versions that are not needed any more: the newest is left, and must open
// the whole keyring.
func RetireKEK(ctx context.Context, kek KEK, keyring []byte) (text []byte, err error) {
	local, ok := kek.(*localKEK)
	if !ok {
		return nil, errors.New("the key-encryption key is not a local one")
	}
	newest, err := local.keys.Alone(local.now())
	if err != nil {
		return nil, err
	}
	alone := &localKEK{keys: newest, now: local.now}
	if _, err := unwrapAll(ctx, alone, keyring); err != nil {
		return nil, fmt.Errorf("the keyring is still wrapped by an older version, wrap it anew first: %w", err)
	}
	return alone.keys.Text(), nil
}
