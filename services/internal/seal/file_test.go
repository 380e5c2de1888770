package seal

import (
	"bytes"
	"crypto/rand"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/secret"
)

func fileKeyring(t *testing.T) *Keyring {
	t.Helper()
	dir := t.TempDir()
	kekFile, ringFile := filepath.Join(dir, "kek"), filepath.Join(dir, "ring")
	if err := GenerateFileKEK(kekFile); err != nil {
		t.Fatal(err)
	}
	kek, err := ReadKEK(t.Context(), secret.File(kekFile), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := CreateKeyring(t.Context(), kek, ringFile, "live", "test"); err != nil {
		t.Fatal(err)
	}
	k, err := OpenKeyring(t.Context(), secret.File(kekFile), secret.File(ringFile), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestFile: what was sealed opens, for its purpose and environment only, and not when it was changed or cut anywhere.
func TestFile(t *testing.T) {
	k := fileKeyring(t)
	for _, size := range []int{1, 64 << 10, 200_001} {
		plain := make([]byte, size)
		rand.Read(plain)
		var sealed bytes.Buffer
		w, err := k.SealFile(t.Context(), "live", "x/v1", &sealed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if size > 16 && bytes.Contains(sealed.Bytes(), plain[:16]) {
			t.Error("in clear")
		}
		open := func(env, purpose string, b []byte) ([]byte, error) {
			r, err := k.OpenFile(t.Context(), env, purpose, bytes.NewReader(b))
			if err != nil {
				return nil, err
			}
			return io.ReadAll(r)
		}
		if got, err := open("live", "x/v1", sealed.Bytes()); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes: %v", size, err)
		}
		for _, place := range []string{"test x/v1", "live y/v1"} {
			if _, err := open(place[:4], place[5:], sealed.Bytes()); err == nil {
				t.Error(size, "opens for", place)
			}
		}
		for _, cut := range []int{0, 3, fileHeader, fileHeader + 5, sealed.Len() - 1} {
			if got, err := open("live", "x/v1", sealed.Bytes()[:cut]); err == nil {
				t.Errorf("%d bytes cut at %d: %d read", size, cut, len(got))
			}
		}
		for _, at := range []int{0, 5, 20, fileHeader + 20, sealed.Len() - 1} {
			changed := bytes.Clone(sealed.Bytes())
			changed[at] ^= 1
			if _, err := open("live", "x/v1", changed); err == nil {
				t.Errorf("%d bytes changed at %d: opens", size, at)
			}
		}
	}
}
