package eventbus

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// tryTimeout bounds the trial of new credentials.
const tryTimeout = 5 * time.Second

// identity is what a credentials file holds.
type identity struct {
	jwt string
	key nkeys.KeyPair
}

// credentials follows the service's credentials. Those in force are read on every connect and reconnect; new ones come
// into force once the server has let them in.
func (b *Bus) credentials(ctx context.Context) (nats.Option, error) {
	var current atomic.Pointer[identity]
	err := secret.Follow(ctx, "NATS_CREDS", b.cfg.Creds, func(text []byte) error {
		next, err := parseCredentials(text)
		if err == nil && current.Load() != nil {
			err = b.try(next)
		}
		if err != nil {
			return err
		}
		current.Store(next)
		return nil
	})
	return nats.UserJWT(
		func() (string, error) { return current.Load().jwt, nil },
		func(nonce []byte) ([]byte, error) { return current.Load().key.Sign(nonce) }), err
}

func parseCredentials(text []byte) (*identity, error) {
	jwt, err := nkeys.ParseDecoratedJWT(text)
	if err != nil || strings.Count(jwt, ".") != 2 { // undecorated text comes back as it is
		return nil, errors.New("no user JWT in it")
	}
	key, err := nkeys.ParseDecoratedNKey(text)
	if err != nil {
		return nil, errors.New("no user seed in it")
	}
	return &identity{jwt, key}, nil
}

// try connects once with other credentials: they must not replace those that work before they do.
func (b *Bus) try(next *identity) error {
	conn, err := nats.Connect(b.cfg.URL, append(slices.Clone(b.transport), nats.Name(b.service+" trial"), nats.NoReconnect(),
		nats.Timeout(tryTimeout), nats.UserJWT(func() (string, error) { return next.jwt, nil }, next.key.Sign))...)
	if err != nil {
		return err
	}
	conn.Close()
	return nil
}
