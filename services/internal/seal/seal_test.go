package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// clock is a time that moves when the test says so.
type clock struct{ at atomic.Int64 }

func newClock(at time.Time) *clock {
	c := &clock{}
	c.at.Store(at.UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

// memoryKeys is a DataKeyStore in memory that counts its calls.
type memoryKeys struct {
	mu       sync.Mutex
	first    uint64 // id
	byScope  map[string]uint64
	wrapped  map[uint64][]byte
	currents int
	reads    int
	away     bool
}

func newMemoryKeys() *memoryKeys {
	return &memoryKeys{first: 1, byScope: map[string]uint64{}, wrapped: map[uint64][]byte{}}
}

func (m *memoryKeys) Wrapped(_ context.Context, id uint64) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if m.away {
		return nil, errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "the key store is away", nil)
	}
	if wrapped, ok := m.wrapped[id]; ok {
		return wrapped, nil
	}
	return nil, errs.E(errs.NotFound, "", "no such key", nil)
}

func (m *memoryKeys) Current(_ context.Context, env string, tenant uuid.UUID, day time.Time, class string,
	mint func(uint64) ([]byte, error)) (uint64, []byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.currents++
	if m.away {
		return 0, nil, errs.E(errs.Unavailable, "SERVICE_UNAVAILABLE", "the key store is away", nil)
	}
	name := fmt.Sprintf("%s %s %s %s", env, tenant, day.Format(time.DateOnly), class)
	if id, ok := m.byScope[name]; ok {
		return id, m.wrapped[id], nil
	}
	id := m.first + uint64(len(m.byScope))
	wrapped, err := mint(id)
	if err != nil {
		return 0, nil, err
	}
	m.byScope[name], m.wrapped[id] = id, wrapped
	return id, wrapped, nil
}

// switchKEK is a KEK that can be away, and counts.
type switchKEK struct {
	KEK
	away    atomic.Bool
	unwraps atomic.Int64
}

func (k *switchKEK) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	k.unwraps.Add(1)
	if k.away.Load() {
		return nil, errs.E(errs.Unavailable, "KEK_AWAY", "the key-encryption key cannot be had", nil)
	}
	return k.KEK.Unwrap(ctx, wrapped)
}

// house is everything a sealer needs, on a fake clock that stands at noon IST.
type house struct {
	*Sealer
	keys    *memoryKeys
	kek     *switchKEK
	clock   *clock
	file    string
	keyring *Keyring
}

func newHouse(t testing.TB) house {
	t.Helper()
	dir := t.TempDir()
	if err := GenerateFileKEK(filepath.Join(dir, "kek")); err != nil {
		t.Fatal(err)
	}
	kek, err := ReadKEK(t.Context(), secret.File(filepath.Join(dir, "kek")), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	h := house{keys: newMemoryKeys(), kek: &switchKEK{KEK: kek}, file: filepath.Join(dir, "keyring.json"),
		clock: newClock(time.Date(2026, 3, 1, 6, 30, 0, 0, time.UTC))}
	if err := CreateKeyring(t.Context(), h.kek, h.file, "live", "test"); err != nil {
		t.Fatal(err)
	}
	if h.keyring, err = NewKeyring(t.Context(), h.kek, secret.File(h.file), h.clock.now); err != nil {
		t.Fatal(err)
	}
	h.Sealer = NewSealer(h.keyring, h.keys, h.clock.now)
	return h
}

func (h house) mustSeal(t testing.TB, text string, b Binding) []byte {
	t.Helper()
	sealed, err := h.Seal(context.Background(), nil, []byte(text), b)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

var place = Binding{Env: "live", Tenant: uuid.UUID{1}, Message: uuid.UUID{2}, Class: ClassContent}

func wantFailure(t *testing.T, opened []byte, err error, kind errs.Kind, reason string) {
	t.Helper()
	e, ok := errors.AsType[*errs.Error](err)
	if !ok || e.Kind != kind || e.Reason != reason {
		t.Errorf("error %v, want kind %d and reason %s", err, kind, reason)
	}
	if opened != nil {
		t.Errorf("%d bytes came out beside the error", len(opened))
	}
}

func TestKeyZeroIsAKey(t *testing.T) {
	h := newHouse(t)
	h.keys.first = 0
	b := Binding{Env: "live", Tenant: uuid.UUID{1}, Message: uuid.UUID{2}, Class: ClassContent}
	sealed := h.mustSeal(t, "text", b)
	if id, err := keyID(sealed); id != 0 || err != nil {
		t.Fatalf("the first key has id %d, %v", id, err)
	}
	if opened, err := h.Opener().Open(t.Context(), nil, sealed, b); err != nil || string(opened) != "text" {
		t.Errorf("opened %q, %v", opened, err)
	}
}

func TestSealThenOpen(t *testing.T) {
	h := newHouse(t)
	for _, text := range []string{"", "x", strings.Repeat("नमस्ते ", 300)} {
		sealed, err := h.Seal(t.Context(), []byte("before"), []byte(text), place)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(sealed, []byte("before\x01")) || len(sealed) != len("before")+len(text)+Overhead {
			t.Errorf("wire format of %d bytes: % x", len(text), sealed)
		}
		if len(text) > 1 && bytes.Contains(sealed, []byte(text)) {
			t.Error("the text stands in clear in what was sealed")
		}
		// Another process, with its own caches.
		opener := NewOpener(h.keyring, h.keys, h.clock.now)
		opened, err := opener.Open(t.Context(), []byte("dst:"), sealed[len("before"):], place)
		if err != nil || string(opened) != "dst:"+text {
			t.Errorf("opened %q, %v", opened, err)
		}
	}
}

func TestEveryFlippedBitIsNoticed(t *testing.T) {
	h := newHouse(t)
	sealed := h.mustSeal(t, "Your code is 123456", place)
	for i := range len(sealed) * 8 {
		changed := bytes.Clone(sealed)
		changed[i/8] ^= 1 << (i % 8)
		opened, err := h.Opener().Open(t.Context(), nil, changed, place)
		if err == nil || opened != nil {
			t.Fatalf("bit %d flipped: opened %d bytes", i, len(opened))
		}
		if at := i / 8; at >= 1 && at < 9 {
			continue // another key id: that key does not exist
		}
		wantFailure(t, opened, err, errs.Invalid, "CONTENT_UNREADABLE")
	}
}

func TestValueInAnotherPlaceDoesNotOpen(t *testing.T) {
	h := newHouse(t)
	other := place
	other.Tenant = uuid.UUID{9}
	h.mustSeal(t, "the other tenant's key is cached", other)
	sealed := h.mustSeal(t, "secret", place)
	moves := map[string]func(b *Binding){
		"row":         func(b *Binding) { b.Message = uuid.UUID{3} },
		"tenant":      func(b *Binding) { b.Tenant = uuid.UUID{9} },
		"environment": func(b *Binding) { b.Env = "test" },
		"class":       func(b *Binding) { b.Class = "recipient" },
	}
	for name, move := range moves {
		t.Run(name, func(t *testing.T) {
			moved := place
			move(&moved)
			cold := NewOpener(h.keyring, h.keys, h.clock.now)
			opened, err := cold.Open(t.Context(), nil, sealed, moved)
			wantFailure(t, opened, err, errs.Invalid, "CONTENT_UNREADABLE")
			if _, err := cold.Open(t.Context(), nil, sealed, place); err != nil {
				t.Errorf("the right place fails after the wrong one: %v", err)
			}
			opened, err = cold.Open(t.Context(), nil, sealed, moved) // now with the key cached
			wantFailure(t, opened, err, errs.Invalid, "CONTENT_UNREADABLE")
		})
	}
}

func TestMalformedValues(t *testing.T) {
	h := newHouse(t)
	sealed := h.mustSeal(t, "some text", place)
	for n := range sealed {
		opened, err := h.Opener().Open(t.Context(), nil, sealed[:n], place)
		wantFailure(t, opened, err, errs.Invalid, "CONTENT_UNREADABLE")
	}
	sealed[0] = 2
	opened, err := h.Opener().Open(t.Context(), nil, sealed, place)
	wantFailure(t, opened, err, errs.Invalid, "CONTENT_UNREADABLE")
}

func TestDestroyedKeyErasesWithinTheHour(t *testing.T) {
	h := newHouse(t)
	sealed := h.mustSeal(t, "gone soon", place)
	if _, err := h.Opener().Open(t.Context(), nil, sealed, place); err != nil {
		t.Fatal(err)
	}
	clear(h.keys.wrapped)
	h.clock.advance(time.Hour)
	opened, err := h.Opener().Open(t.Context(), nil, sealed, place)
	wantFailure(t, opened, err, errs.NotFound, "CONTENT_KEY_DESTROYED")
}

func TestKEKAwayIsBridgedForAnHour(t *testing.T) {
	h := newHouse(t)
	sealed := h.mustSeal(t, "text", place)
	if _, err := h.Opener().Open(t.Context(), nil, sealed, place); err != nil {
		t.Fatal(err)
	}
	h.kek.away.Store(true)
	h.clock.advance(59 * time.Minute)
	if _, err := h.Opener().Open(t.Context(), nil, sealed, place); err != nil {
		t.Fatalf("within the hour: %v", err)
	}
	h.clock.advance(time.Minute)
	opened, err := h.Opener().Open(t.Context(), nil, sealed, place)
	wantFailure(t, opened, err, errs.Unavailable, "KEK_AWAY")
	_, err = h.Seal(t.Context(), nil, []byte("text"), place)
	wantFailure(t, nil, err, errs.Unavailable, "KEK_AWAY")
	h.kek.away.Store(false)
	if _, err := h.Opener().Open(t.Context(), nil, sealed, place); err != nil {
		t.Errorf("after its return: %v", err)
	}
}

func TestKeyStoreAwayIsUnavailable(t *testing.T) {
	h := newHouse(t)
	h.keys.away = true
	_, err := h.Seal(t.Context(), nil, []byte("text"), place)
	wantFailure(t, nil, err, errs.Unavailable, "SERVICE_UNAVAILABLE")
}

func TestOneKeyPerTenantDayAndClass(t *testing.T) {
	h := newHouse(t) // noon IST of 1 March
	id := func(b Binding) uint64 {
		id, err := keyID(h.mustSeal(t, "x", b))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	otherTenant, otherEnv, otherClass := place, place, place
	otherTenant.Tenant, otherEnv.Env, otherClass.Class = uuid.UUID{9}, "test", "recipient"
	first := id(place)
	if id(place) != first {
		t.Error("a second seal took another key")
	}
	seen := map[uint64]bool{first: true}
	for _, b := range []Binding{otherTenant, otherEnv, otherClass} {
		if seen[id(b)] {
			t.Errorf("%+v shares a key", b)
		}
		seen[id(b)] = true
	}
	h.clock.advance(12*time.Hour - time.Second) // 23:59:59 IST, 18:29:59 UTC
	if id(place) != first {
		t.Error("the key changed before midnight IST")
	}
	h.clock.advance(time.Second)
	if id(place) == first {
		t.Error("the key did not change at midnight IST")
	}
	if _, ok := h.keys.byScope["live "+place.Tenant.String()+" 2026-03-02 content"]; !ok {
		t.Errorf("no key of 2 March: %v", h.keys.byScope)
	}
}

func TestUsedUpKeyRollsToTheNext(t *testing.T) {
	h := newHouse(t)
	h.limit = 10
	ids := map[uint64]int{}
	for i := range 35 {
		if i == 5 {
			h.clock.advance(time.Hour) // the refresh does not forget what was used
		}
		id, _ := keyID(h.mustSeal(t, "x", place))
		ids[id]++
	}
	if len(ids) != 4 || ids[1] != 10 || ids[2] != 10 || ids[3] != 10 || ids[4] != 5 {
		t.Errorf("seals by key: %v", ids)
	}
	if _, ok := h.keys.byScope["live "+place.Tenant.String()+" 2026-03-01 content#2"]; !ok {
		t.Errorf("the second key has no class of its own: %v", h.keys.byScope)
	}
}

func TestConcurrentMissesShareOneLoad(t *testing.T) {
	h := newHouse(t)
	var wg sync.WaitGroup
	nonces := sync.Map{}
	for range 8 {
		wg.Go(func() {
			for range 500 {
				sealed := h.mustSeal(t, "x", place)
				if _, twice := nonces.LoadOrStore([12]byte(sealed[9:21]), true); twice {
					t.Error("a nonce was used twice")
				}
			}
		})
	}
	wg.Wait()
	if len(h.keys.byScope) != 1 {
		t.Errorf("%d keys minted for one scope", len(h.keys.byScope))
	}
	if h.keys.currents > 8 {
		t.Errorf("%d look-ups for one scope", h.keys.currents)
	}
}

func TestReseal(t *testing.T) {
	h := newHouse(t)
	sealed := h.mustSeal(t, "to be split", place)
	part := place
	part.Message = uuid.UUID{7}
	again, err := h.Opener().Reseal(t.Context(), nil, []byte("part"), sealed, part)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again[:9], sealed[:9]) {
		t.Error("another data key was used")
	}
	opened, err := h.Opener().Open(t.Context(), nil, again, part)
	if err != nil || string(opened) != "part" {
		t.Errorf("opened %q, %v", opened, err)
	}
	opened, err = h.Opener().Open(t.Context(), nil, again, place)
	wantFailure(t, opened, err, errs.Invalid, "CONTENT_UNREADABLE")
}

func TestExpiredKeysLeaveTheCache(t *testing.T) {
	h := newHouse(t)
	for i := range 100 {
		b := place
		b.Tenant = uuid.UUID{byte(i), 1}
		h.mustSeal(t, "x", b)
	}
	h.clock.advance(2 * time.Hour)
	h.mustSeal(t, "x", place)
	held := 0
	for range h.current.entries.Range {
		held++
	}
	if held != 1 {
		t.Errorf("%d keys held, want the one in use", held)
	}
}
