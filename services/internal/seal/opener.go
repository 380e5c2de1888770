package seal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// Opener opens sealed content: ingest for a caller entitled to it, compliance to decide, dispatch to submit.
type Opener struct {
	keyring *Keyring
	source  DataKeys
	now     func() time.Time
	keys    cache[uint64, *dataKey]
}

// NewOpener opens with data keys from keys.
func NewOpener(k *Keyring, keys DataKeys, now func() time.Time) *Opener {
	return &Opener{keyring: k, source: keys, now: now}
}

// Open appends the plain text of sealed to dst. Errors: errs.Invalid (CONTENT_UNREADABLE) when sealed was changed or
// stands in another place than b; errs.NotFound (CONTENT_KEY_DESTROYED) once its data key is destroyed;
// errs.Unavailable while the keys cannot be had. No part of the plain text is written then.
func (o *Opener) Open(ctx context.Context, dst, sealed []byte, b Binding) ([]byte, error) {
	key, err := o.key(ctx, sealed, b)
	if err != nil {
		return nil, err
	}
	return key.open(dst, sealed, b)
}

// Reseal appends plaintext to dst, sealed for its place b with the data key of like, a sealed value of the same
// environment, tenant and class: so it is erased on the same day. Errors are those of Open, and errs.Exhausted when
// the key is used up.
func (o *Opener) Reseal(ctx context.Context, dst, plaintext, like []byte, b Binding) ([]byte, error) {
	key, err := o.key(ctx, like, b)
	if err != nil {
		return nil, err
	}
	if key.seals.Add(1) > sealsPerKey {
		return nil, errs.E(errs.Exhausted, "CONTENT_KEY_USED_UP", "the data key may seal no more", nil)
	}
	return key.seal(dst, plaintext, b), nil
}

// key answers the data key sealed was made with.
func (o *Opener) key(ctx context.Context, sealed []byte, b Binding) (*dataKey, error) {
	id, err := keyID(sealed)
	if err != nil {
		return nil, err
	}
	now := o.now()
	if key, ok := o.keys.get(id, now); ok {
		return key, nil
	}
	// The flight is named by the place too: a value in the wrong place must not fail the one in the right place.
	flight := fmt.Sprintf("%d|%s|%s|%s", id, b.Env, b.Tenant, b.Class)
	return o.keys.load(ctx, id, flight, now, func(ctx context.Context) (*dataKey, error) {
		wrapped, err := o.source.Wrapped(ctx, id)
		if errs.KindOf(err) == errs.NotFound {
			return nil, errs.E(errs.NotFound, "CONTENT_KEY_DESTROYED", "the content has been erased", err)
		}
		if err != nil {
			return nil, err
		}
		return o.unwrap(ctx, id, wrapped, b)
	})
}

// unwrap opens a wrapped data key: version(4) of the deployment key | what wrap made.
func (o *Opener) unwrap(ctx context.Context, id uint64, wrapped []byte, b Binding) (*dataKey, error) {
	if len(wrapped) < 4 {
		return nil, unreadable(errors.New("wrapped data key is too short"))
	}
	deployment, err := o.keyring.version(ctx, b.Env, binary.BigEndian.Uint32(wrapped))
	if err != nil {
		return nil, err
	}
	plain, err := unwrap(deployment.aead, wrapped[4:], wrapContext(b, id))
	if err != nil {
		return nil, unreadable(err)
	}
	aead, err := newAEAD(plain)
	if err != nil {
		return nil, err
	}
	return &dataKey{id: id, aead: aead, seals: new(atomic.Int64)}, nil
}
