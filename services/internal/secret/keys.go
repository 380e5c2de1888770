package secret

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// KeySize is that of every versioned key, bytes.
const KeySize = 32

// Keys is a secret key in versions, rising: the newest makes, all verify or open. As text each is a line
// `<version> <32 bytes in base64> [<time, RFC 3339>]`; a lone `<32 bytes in base64>` is version 1. A key with a time makes
// nothing before it, so that every process has it when the first uses it.
type Keys []Key

// Key is one version.
type Key struct {
	Version int16 // 1 or more
	Bytes   []byte
	From    time.Time // zero: at once
}

// ParseKeys reads keys; errors do not quote the text.
func ParseKeys(text []byte) (Keys, error) {
	var keys Keys
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) == 1 {
			words = []string{"1", words[0]}
		}
		key, ok := parseKey(words)
		if !ok || slices.ContainsFunc(keys, func(k Key) bool { return k.Version == key.Version }) {
			return nil, fmt.Errorf("line %d is not `<version> <%d bytes in base64> [<time>]` with a version of its own", len(keys)+1, KeySize)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("no key in it")
	}
	slices.SortFunc(keys, func(a, b Key) int { return cmp.Compare(a.Version, b.Version) })
	return keys, nil
}

func parseKey(words []string) (k Key, ok bool) {
	version, err := strconv.ParseInt(words[0], 10, 16)
	if err != nil || version < 1 || len(words) > 3 {
		return k, false
	}
	k.Version = int16(version)
	if k.Bytes, err = base64.StdEncoding.DecodeString(words[1]); err != nil || len(k.Bytes) != KeySize {
		return k, false
	}
	if len(words) == 3 {
		k.From, err = time.Parse(time.RFC3339, words[2])
	}
	return k, err == nil
}

// Current is the key that makes: the newest whose time has come, the oldest when none's has. Keys must not be empty.
func (k Keys) Current(now time.Time) Key {
	for _, key := range slices.Backward(k) {
		if !now.Before(key.From) {
			return key
		}
	}
	return k[0]
}

// Of answers the bytes of a version; nil when it is not here.
func (k Keys) Of(version int16) []byte {
	for _, key := range k {
		if key.Version == version {
			return key.Bytes
		}
	}
	return nil
}

// Follows tells whether k may take the place of old: a version that both have is the same key in both.
func (k Keys) Follows(old Keys) error {
	for _, key := range k {
		if before := old.Of(key.Version); before != nil && !bytes.Equal(before, key.Bytes) {
			return fmt.Errorf("version %d is another key than before; a new key needs a new version", key.Version)
		}
	}
	return nil
}

// With adds a fresh key of the next version, making from that time on; zero: at once.
func (k Keys) With(from time.Time) (Keys, error) {
	next := Key{Version: 1, Bytes: make([]byte, KeySize), From: from}
	if len(k) > 0 {
		last := k[len(k)-1].Version
		if last == math.MaxInt16 {
			return nil, fmt.Errorf("version %d is the last there can be", last)
		}
		next.Version = last + 1
	}
	rand.Read(next.Bytes) // never fails (crypto/rand)
	return append(slices.Clone(k), next), nil
}

// Alone is the newest version by itself, once it is the one that makes.
func (k Keys) Alone(now time.Time) (Keys, error) {
	newest := k[len(k)-1]
	if now.Before(newest.From) {
		return nil, fmt.Errorf("version %d is not in force before %s", newest.Version, newest.From.Format(time.RFC3339))
	}
	return Keys{newest}, nil
}

// Text is what ParseKeys reads: the secret itself.
func (k Keys) Text() []byte {
	var text []byte
	for _, key := range k {
		text = fmt.Appendf(text, "%d %s", key.Version, base64.StdEncoding.EncodeToString(key.Bytes))
		if !key.From.IsZero() {
			text = fmt.Appendf(text, " %s", key.From.UTC().Format(time.RFC3339))
		}
		text = append(text, '\n')
	}
	return text
}

// String names the versions and never the keys.
func (k Keys) String() string {
	var all []string
	for _, key := range k {
		all = append(all, strconv.Itoa(int(key.Version)))
	}
	return "versions " + strings.Join(all, ", ")
}

// GoString is String.
func (k Keys) GoString() string { return k.String() }

// String names the version and never the key.
func (k Key) String() string { return "version " + strconv.Itoa(int(k.Version)) }

// GoString is String.
func (k Key) GoString() string { return k.String() }
