package seal

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"

	"github.com/google/uuid"
)

// indexSize is that of a blind index value: 128 bits, so that a billion numbers have no collision to speak of.
const indexSize = 16

// Index makes the keyed hashes by which sealed values (numbers, references) are found again. It holds a key: ask the
// keyring for it whenever it is needed and do not keep it.
type Index struct{ macs sync.Pool }

// mac is one HMAC state with room for its input and output.
type mac struct {
	hash.Hash
	value []byte
	sum   [sha256.Size]byte
}

// BlindIndex answers the index of a tenant in an environment. Its key is derived by HKDF-SHA256 from the oldest
// deployment key of the environment, so that values stay findable when a newer one is added.
func (k *Keyring) BlindIndex(env string, tenant uuid.UUID) (*Index, error) {
	now, scope := k.now(), indexScope{env, tenant}
	if x, ok := k.indexes.get(scope, now); ok {
		return x, nil
	}
	return k.indexes.load(context.Background(), scope, env+tenant.String(), now, func(ctx context.Context) (*Index, error) {
		keys, err := k.of(ctx, env)
		if err != nil {
			return nil, err
		}
		key, err := hkdf.Key(sha256.New, keys[0].raw, nil, "onlinesms/blind-index/v1|"+env+"|"+tenant.String(), sha256.Size)
		if err != nil {
			return nil, err
		}
		return newIndex(key), nil
	})
}

func newIndex(key []byte) *Index {
	return &Index{macs: sync.Pool{New: func() any { return &mac{Hash: hmac.New(sha256.New, key)} }}}
}

// Of appends the 16 bytes that stand for value: HMAC-SHA256, its first half. Values must be in normal form (E.164 for
// numbers) before, because equal bytes give equal indexes and nothing else does.
func (x *Index) Of(dst []byte, value string) []byte {
	m := x.macs.Get().(*mac)
	defer x.macs.Put(m)
	m.Reset()
	m.value = append(m.value[:0], value...)
	m.Write(m.value)
	clear(m.value)
	return append(dst, m.Sum(m.sum[:0])[:indexSize]...)
}
