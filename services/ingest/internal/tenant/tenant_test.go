package tenant

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/principal"
	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// directory is a Directory in memory that counts its queries.
type directory struct {
	mu      sync.Mutex
	tenants map[uuid.UUID]Tenant
	keys    map[string]Record
	queries atomic.Int64
	err     error
}

func newDirectory() *directory {
	return &directory{tenants: map[uuid.UUID]Tenant{}, keys: map[string]Record{}}
}

func (d *directory) Key(_ context.Context, kid string) (Record, error) {
	d.queries.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return Record{}, d.err
	}
	r, ok := d.keys[kid]
	if !ok {
		return r, errs.E(errs.NotFound, "", "no such key", nil)
	}
	return r, nil
}

func (d *directory) EnsureTenant(_ context.Context, t Tenant) error {
	if _, ok := d.tenants[t.ID]; !ok {
		d.tenants[t.ID] = t
	}
	return nil
}

func (d *directory) InsertKey(_ context.Context, r Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.TenantStatus = StatusActive
	d.keys[r.KID] = r
	return nil
}

func (d *directory) change(kid string, change func(*Record)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.keys[kid]
	change(&r)
	d.keys[kid] = r
}

func peppers(t testing.TB) *Peppers {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pepper")
	if err := CreatePeppers(path); err != nil {
		t.Fatal(err)
	}
	p, err := OpenPeppers(t.Context(), secret.File(path), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var demo = Tenant{ID: uuid.MustParse("01930000-0000-7000-8000-000000000001"), Name: "Demo"}

// world has one live key with two scopes.
func world(t testing.TB) (d *directory, v *Verifier, key string, kid string) {
	t.Helper()
	d = newDirectory()
	p := peppers(t)
	b := Bootstrap{Directory: d, Peppers: p, Now: time.Now, Random: rand.Reader}
	keys, err := b.Run(t.Context(), demo, []Wanted{{Env: "live", Scopes: []string{"messages:send", "messages:read"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseKey(keys["live"])
	if err != nil {
		t.Fatal(err)
	}
	d.queries.Store(0)
	return d, NewVerifier(d, p, time.Now), keys["live"], parsed.KID
}

func reason(err error) string {
	if e, ok := errors.AsType[*errs.Error](err); ok {
		return e.Reason
	}
	return ""
}

func TestVerify(t *testing.T) {
	_, v, key, kid := world(t)
	got, err := v.Verify(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	want := principal.Principal{TenantID: demo.ID, Env: "live", Actor: "key/" + kid, Scopes: []string{"messages:read", "messages:send"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	k, _ := ParseKey(key)
	wrong := k
	wrong.Secret = strings.Repeat("0", secretChars)
	unknown := k
	unknown.KID = strings.Repeat("0", kidLength)
	otherEnv := k
	otherEnv.Env = "test"
	for name, bad := range map[string]Key{"secret": wrong, "kid": unknown} {
		if _, err := v.Verify(t.Context(), bad.String()); reason(err) != "KEY_INVALID" {
			t.Errorf("wrong %s: %v", name, err)
		}
	}
	if _, err := v.Verify(t.Context(), otherEnv.String()); reason(err) != "KEY_WRONG_ENVIRONMENT" {
		t.Errorf("the right secret under the other environment: %v", err)
	}
}

// A key stops working at 90 days to the second, though its record is cached and nothing ran meanwhile.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, v, key, _ := world(t)
		time.Sleep(KeyLifetime - time.Second) // in the bubble's time
		if _, err := v.Verify(t.Context(), key); err != nil {
			t.Errorf("a second before: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := v.Verify(t.Context(), key); reason(err) != "KEY_EXPIRED" {
			t.Errorf("at 90 days: %v", err)
		}
	})
}

// Item 14 while nobody can be told (the bus is away): two replicas, each with its own memory.
func TestItem14RevocationIsSeenWithin30Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, v, key, kid := world(t)
		verify := func() string { _, err := v.Verify(t.Context(), key); return reason(err) }
		if r := verify(); r != "" {
			t.Fatal(r)
		}
		d.change(kid, func(r *Record) { r.Status = StatusRevoked })
		time.Sleep(14 * time.Second)
		if r := verify(); r != "" || d.queries.Load() != 1 {
			t.Errorf("cached: %q after %d queries", r, d.queries.Load())
		}
		time.Sleep(2 * time.Second)
		_ = verify() // looks it up again beside the call
		synctest.Wait()
		if r := verify(); r != "KEY_REVOKED" {
			t.Errorf("after 16 seconds in use: %q", r)
		}
	})
}

func TestAnIdleKeyIsLookedUpBeforeItIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, v, key, kid := world(t)
		_, _ = v.Verify(t.Context(), key)
		d.change(kid, func(r *Record) { r.TenantStatus = StatusClosed })
		time.Sleep(knownTTL)
		if _, err := v.Verify(t.Context(), key); reason(err) != "KEY_REVOKED" {
			t.Error(err)
		}
	})
}

func TestDatabaseAway(t *testing.T) {
	d, v, key, _ := world(t)
	d.err = errs.E(errs.Unavailable, "", "away", nil)
	if _, err := v.Verify(t.Context(), key); errs.KindOf(err) != errs.Unavailable {
		t.Error(err)
	}
}

func TestUnknownKeysAreRememberedApart(t *testing.T) {
	d, v, key, _ := world(t)
	_, _ = v.Verify(t.Context(), key)
	unknown, _ := NewKey("live", rand.Reader)
	for range 10 {
		_, _ = v.Verify(t.Context(), unknown.String())
		_, _ = v.Verify(t.Context(), key)
	}
	if n := d.queries.Load(); n != 2 {
		t.Errorf("%d queries for one known and one unknown key", n)
	}
}

func TestBootstrapTwice(t *testing.T) {
	d := newDirectory()
	b := Bootstrap{Directory: d, Peppers: peppers(t), Now: time.Now, Random: rand.Reader}
	wanted := []Wanted{{Env: "live", Scopes: []string{"messages:send"}}, {Env: "test", Scopes: []string{"messages:send"}}}
	first, err := b.Run(t.Context(), demo, wanted, nil)
	if err != nil || len(first) != 2 {
		t.Fatal(first, err)
	}
	second, err := b.Run(t.Context(), demo, wanted, first)
	if err != nil || !cmp.Equal(first, second) || len(d.keys) != 2 {
		t.Errorf("the second run made other keys: %d in the directory, %v", len(d.keys), err)
	}
	wanted[0].Scopes = append(wanted[0].Scopes, "messages:read")
	third, err := b.Run(t.Context(), demo, wanted, first)
	if err != nil || third["live"] == first["live"] || third["test"] != first["test"] {
		t.Errorf("a key with a scope too few must be replaced, the other kept; %v", err)
	}
}

func TestPeppers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pepper")
	if err := CreatePeppers(path); err != nil {
		t.Fatal(err)
	}
	if err := CreatePeppers(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("creating it again: %v", err)
	}
	old, err := OpenPeppers(t.Context(), secret.File(path), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	mac, version := old.Hash("secret")
	content, _ := os.ReadFile(path)
	text := strings.TrimSpace(string(content))
	open := func(text string) (*Peppers, error) { return OpenPeppers(t.Context(), secret.Ref(text), time.Now) }
	second := "2 " + strings.Repeat("QUFB", 10) + "QUE=" // 32 bytes
	rotated, err := open(text + "\n" + second)
	if err != nil {
		t.Fatal(err)
	}
	if _, v := rotated.Hash("secret"); v != 2 || !rotated.Matches("secret", mac, version) {
		t.Error("after a rotation the old hash must verify and new ones be of the new version")
	}
	if waiting, err := open(text + "\n" + second + " 2100-01-01T00:00:00Z"); err != nil || waiting.Current() != 1 || !waiting.Has(2) {
		t.Errorf("a pepper makes hashes before its time; %v", err)
	}
	if onlyNew, err := open(second); err != nil || onlyNew.Matches("secret", mac, version) {
		t.Errorf("a hash of a pepper that is gone verifies; %v", err)
	}
	if err := old.take([]byte("1 " + second[2:])); err == nil || !old.Matches("secret", mac, version) {
		t.Errorf("version 1 became another pepper: %v", err)
	}
	for _, bad := range []string{"", "1", "x QUFB", "1 QUFB", "0 " + second[2:], text + "\n" + text, second + " soon", second + " x y"} {
		if _, err := open(bad); err == nil {
			t.Errorf("peppers %q are taken", bad)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPeppers(t.Context(), secret.File(path), time.Now); err == nil {
		t.Error("a pepper file that others may read is taken")
	}
}

func BenchmarkVerifyCached(b *testing.B) {
	_, v, key, _ := world(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), key); err != nil {
			b.Fatal(err)
		}
	}
}
