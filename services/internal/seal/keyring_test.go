package seal

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onlinesms/onlinesms/services/internal/errs"
	"github.com/onlinesms/onlinesms/services/internal/secret"
)

func TestFileKEKRefusesOpenOrMalformedFiles(t *testing.T) {
	good := base64.StdEncoding.EncodeToString(make([]byte, 32))
	tests := map[string]struct {
		content string
		mode    fs.FileMode
		ok      bool
	}{
		"good":            {good + "\n", 0o600, true},
		"read-only":       {good, 0o400, true},
		"group may read":  {good, 0o440, true},
		"group may write": {good, 0o660, false},
		"world may read":  {good, 0o604, false},
		"short":           {good[:40], 0o600, false},
		"not base64":      {strings.Repeat("!", 44), 0o600, false},
		"empty":           {"", 0o600, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kek")
			if err := os.WriteFile(path, []byte(test.content), test.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, test.mode); err != nil { // whatever the umask
				t.Fatal(err)
			}
			if _, err := ReadKEK(t.Context(), secret.File(path), time.Now); (err == nil) != test.ok {
				t.Errorf("error %v", err)
			} else if err != nil && strings.Contains(err.Error(), good[:40]) {
				t.Error("the error tells the key")
			}
		})
	}
}

func TestGeneratedFilesAreNotOverwritten(t *testing.T) {
	h := newHouse(t)
	before, err := os.ReadFile(h.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := CreateKeyring(t.Context(), h.kek, h.file, "live"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second keyring: %v", err)
	}
	if err := GenerateFileKEK(filepath.Join(filepath.Dir(h.file), "kek")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second key-encryption key: %v", err)
	}
	after, _ := os.ReadFile(h.file)
	if !bytes.Equal(before, after) {
		t.Error("the keyring changed")
	}
}

// edit changes the keyring file.
func (h house) edit(t *testing.T, change func(*keyringFile)) {
	t.Helper()
	var content keyringFile
	text, err := os.ReadFile(h.file)
	if err == nil {
		err = json.Unmarshal(text, &content)
	}
	if err != nil {
		t.Fatal(err)
	}
	change(&content)
	if text, err = json.Marshal(content); err == nil {
		err = os.WriteFile(h.file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestKeyringNoticesSwappedEntries(t *testing.T) {
	h := newHouse(t)
	h.edit(t, func(f *keyringFile) { f.Keys[0].Wrapped, f.Keys[1].Wrapped = f.Keys[1].Wrapped, f.Keys[0].Wrapped })
	_, err := NewKeyring(t.Context(), h.kek, secret.File(h.file), h.clock.now)
	wantFailure(t, nil, err, errs.Denied, "KEYRING_CHANGED")
}

func TestKeyringOfAnotherKEK(t *testing.T) {
	h, other := newHouse(t), newHouse(t)
	_, err := NewKeyring(t.Context(), other.kek, secret.File(h.file), h.clock.now)
	wantFailure(t, nil, err, errs.Denied, "KEK_REFUSED")
}

func TestKeyringOpensWhileTheKEKIsAway(t *testing.T) {
	h := newHouse(t)
	h.kek.away.Store(true)
	k, err := NewKeyring(t.Context(), h.kek, secret.File(h.file), h.clock.now)
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewSealer(k, h.keys, h.clock.now).Seal(t.Context(), nil, nil, place)
	wantFailure(t, nil, err, errs.Unavailable, "KEK_AWAY")
	h.kek.away.Store(false)
	if _, err = NewSealer(k, h.keys, h.clock.now).Seal(t.Context(), nil, nil, place); err != nil {
		t.Error(err)
	}
}

func TestTroubleInARunningProcessIsUnavailable(t *testing.T) {
	h := newHouse(t)
	sealed := h.mustSeal(t, "x", place)
	h.keys.wrapped[1][3] = 9 // wrapped by a version this process has no copy of
	opened, err := h.Opener().Open(t.Context(), nil, sealed, place)
	wantFailure(t, opened, err, errs.Unavailable, "DEPLOYMENT_KEY_UNKNOWN")
	if err := os.WriteFile(h.file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	opened, err = h.Opener().Open(t.Context(), nil, sealed, place)
	wantFailure(t, opened, err, errs.Unavailable, "KEYRING_UNREADABLE")
	h.clock.advance(time.Hour) // what cannot be read does not take the place of what could
	if _, err = h.Seal(t.Context(), nil, nil, Binding{Env: "live", Tenant: uuid.UUID{9}, Class: ClassContent}); err != nil {
		t.Error(err)
	}
}

func TestDeploymentKeysAreUnwrappedOncePerHour(t *testing.T) {
	h := newHouse(t)
	before := h.kek.unwraps.Load()
	for i := range 200 {
		b := place
		b.Tenant = uuid.UUID{byte(i), 5}
		h.mustSeal(t, "x", b)
	}
	if n := h.kek.unwraps.Load() - before; n != 0 {
		t.Errorf("%d calls of the key-encryption key for 200 tenants", n)
	}
	h.clock.advance(time.Hour)
	h.mustSeal(t, "x", place)
	if n := h.kek.unwraps.Load() - before; n != 2 {
		t.Errorf("%d calls after an hour, want one per deployment key", n)
	}
}

func TestNewerDeploymentKeyIsTakenUp(t *testing.T) {
	h := newHouse(t)
	old := h.mustSeal(t, "old", place)
	index := indexOf(t, h.keyring, "live", uuid.UUID{1}, "+919812345678")
	h.edit(t, func(f *keyringFile) {
		wrapped, err := h.kek.Wrap(t.Context(), append(randomKey(), keyName("live", 2)...))
		if err != nil {
			t.Fatal(err)
		}
		f.Keys = append(f.Keys, wrappedKey{"live", 2, wrapped})
	})
	fresh, err := NewKeyring(t.Context(), h.kek, secret.File(h.file), h.clock.now)
	if err != nil {
		t.Fatal(err)
	}
	b := place
	b.Tenant = uuid.UUID{8}
	sealed, err := NewSealer(fresh, h.keys, h.clock.now).Seal(t.Context(), nil, []byte("new"), b)
	if err != nil {
		t.Fatal(err)
	}
	if version := h.keys.wrapped[2][3]; version != 2 {
		t.Errorf("the new data key is wrapped by version %d", version)
	}
	// A process with the old copy of the file meets the new key before its hour is over.
	if opened, err := h.Opener().Open(t.Context(), nil, sealed, b); err != nil || string(opened) != "new" {
		t.Errorf("opened %q, %v", opened, err)
	}
	if opened, err := NewOpener(fresh, h.keys, h.clock.now).Open(t.Context(), nil, old, place); err != nil || string(opened) != "old" {
		t.Errorf("opened %q, %v", opened, err)
	}
	if after := indexOf(t, fresh, "live", uuid.UUID{1}, "+919812345678"); !bytes.Equal(index, after) {
		t.Error("the blind index changed with the newer key")
	}
}

func TestUnknownEnvironment(t *testing.T) {
	h := newHouse(t)
	b := place
	b.Env = "staging"
	_, err := h.Seal(t.Context(), nil, nil, b)
	wantFailure(t, nil, err, errs.Denied, "DEPLOYMENT_KEY_UNKNOWN")
}

func indexOf(t *testing.T, k *Keyring, env string, tenant uuid.UUID, value string) []byte {
	t.Helper()
	x, err := k.BlindIndex(env, tenant)
	if err != nil {
		t.Fatal(err)
	}
	return x.Of(nil, value)
}

func TestBlindIndexIsKeyedByTenantAndEnvironment(t *testing.T) {
	h := newHouse(t)
	const number = "+919812345678"
	first := indexOf(t, h.keyring, "live", uuid.UUID{1}, number)
	if len(first) != 16 || !bytes.Equal(first, indexOf(t, h.keyring, "live", uuid.UUID{1}, number)) {
		t.Errorf("not stable: % x", first)
	}
	for _, other := range [][]byte{
		indexOf(t, h.keyring, "live", uuid.UUID{2}, number),
		indexOf(t, h.keyring, "test", uuid.UUID{1}, number),
		indexOf(t, h.keyring, "live", uuid.UUID{1}, "+919812345679"),
	} {
		if bytes.Equal(first, other) {
			t.Error("two places share an index value")
		}
	}
	x, _ := h.keyring.BlindIndex("live", uuid.UUID{1})
	if got := x.Of([]byte("dst"), number); !bytes.Equal(got, append([]byte("dst"), first...)) {
		t.Errorf("appended % x", got)
	}
}

// rotated is a keyring on local files, as services have it, and what changes them.
func rotated(t *testing.T) (k *Keyring, kek, ring string) {
	t.Helper()
	dir := t.TempDir()
	kek, ring = filepath.Join(dir, "kek"), filepath.Join(dir, "keyring.json")
	if err := GenerateFileKEK(kek); err != nil {
		t.Fatal(err)
	}
	first, err := ReadKEK(t.Context(), secret.File(kek), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := CreateKeyring(t.Context(), first, ring, "live", "test"); err != nil {
		t.Fatal(err)
	}
	if k, err = OpenKeyring(t.Context(), secret.File(kek), secret.File(ring), time.Now); err != nil {
		t.Fatal(err)
	}
	return k, kek, ring
}

func TestRotationOfTheKEK(t *testing.T) {
	k, kek, ring := rotated(t)
	before := indexOf(t, k, "live", uuid.UUID{1}, "+919812345678")
	read := func(file string) []byte {
		t.Helper()
		text, err := secret.Read(t.Context(), secret.File(file))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	keys, err := secret.ParseKeys(read(kek))
	if err != nil {
		t.Fatal(err)
	}
	if keys, err = keys.With(time.Time{}); err != nil {
		t.Fatal(err)
	}
	both, err := newLocalKEK(keys.Text(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := RetireKEK(t.Context(), both, read(ring)); err == nil {
		t.Error("retired while the keyring is under version 1")
	}
	rewrapped, err := Rewrap(t.Context(), both, read(ring))
	if err != nil {
		t.Fatal(err)
	}
	alone, err := RetireKEK(t.Context(), both, rewrapped)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.takeKEK(t.Context(), alone); err == nil {
		t.Error("a KEK that does not open the keyring is taken")
	}
	if _, err := k.take(t.Context(), rewrapped); err == nil {
		t.Error("a keyring that the KEK does not open is taken")
	}
	// Both at once: the one finds the other.
	if err := secret.Replace(ring, rewrapped); err != nil {
		t.Fatal(err)
	}
	if err := k.takeKEK(t.Context(), alone); err != nil {
		t.Error(err)
	}
	if after := indexOf(t, k, "live", uuid.UUID{1}, "+919812345678"); !bytes.Equal(before, after) {
		t.Error("numbers are not found any more")
	}
	swapped := bytes.Replace(alone, []byte("2 "), []byte("1 "), 1)
	if err := k.takeKEK(t.Context(), swapped); err != nil {
		t.Errorf("another version with the same key: %v", err)
	}
	other, err := secret.Keys{}.With(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.takeKEK(t.Context(), other.Text()); err == nil {
		t.Error("version 1 became another key")
	}
}
