package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// eventually polls until done is true.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline.C:
			t.Fatalf("waited too long for %s", what)
		case <-tick.C:
		}
	}
}

func receive(t *testing.T, from <-chan string) string {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(30 * time.Second):
		t.Fatal("waited too long for the secret")
		return ""
	}
}

// A reference never shows what it holds, however it is printed.
func TestReferencesShowNothing(t *testing.T) {
	const hidden = "hunter2"
	cfg := struct {
		Password secret.Ref
		Unset    secret.Ref
		Keys     secret.Keys
	}{Password: hidden, Keys: secret.Keys{{Version: 3, Bytes: []byte(hidden)}}}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", slog.Any("cfg", cfg), slog.Any("ref", cfg.Password))
	encoded, err := json.Marshal(cfg.Password)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{
		fmt.Sprint(cfg.Password), fmt.Sprintf("%+v %#v", cfg, cfg), fmt.Sprintf("%q %s", cfg.Password, cfg.Password), string(encoded),
		fmt.Sprintf("%v %+v %#v", cfg.Keys[0], cfg.Keys[0], cfg.Keys[0]),
	} {
		if strings.Contains(shown, hidden) || !strings.Contains(shown, "set") && !strings.Contains(shown, "version 3") {
			t.Errorf("shown as %s", shown)
		}
	}
	if strings.Contains(log.String(), hidden) {
		t.Errorf("logged as %s", log.String())
	}
	if cfg.Unset.String() != "unset" || cfg.Password.String() != "set" {
		t.Error("set and unset")
	}
}

func TestReferences(t *testing.T) {
	var ref secret.Ref
	if err := ref.UnmarshalText([]byte("vault:kv")); err == nil || strings.Contains(err.Error(), "kv#") {
		t.Errorf("a malformed reference: %v", err)
	}
	if err := ref.UnmarshalText([]byte("pa:ss/word#1")); err != nil {
		t.Error(err)
	}
	if got, err := secret.Read(t.Context(), ref); err != nil || string(got) != "pa:ss/word#1" {
		t.Errorf("%q, %v", got, err)
	}
	if secret.File("") != "" {
		t.Error("no file is a reference")
	}
	if path, ok := secret.File("/a").Path(); path != "/a" || !ok {
		t.Error(path)
	}
	large := write(t, "large", strings.Repeat("x", 1<<20+1))
	if _, err := secret.Read(t.Context(), secret.File(large)); err == nil {
		t.Error("a large file is read")
	}
}

func TestFilesAreFollowed(t *testing.T) {
	file := write(t, "pepper", "one\n")
	seen := make(chan string, 10)
	take := func(text []byte) error {
		if strings.HasPrefix(string(text), "bad") {
			return errors.New("a bad one")
		}
		seen <- string(text)
		return nil
	}
	if err := secret.Follow(t.Context(), "FOLLOWED", secret.File(file), take); err != nil || receive(t, seen) != "one" {
		t.Fatal(err)
	}
	stale := func(why string) func() bool {
		return func() bool {
			return slices.ContainsFunc(secret.Problems(), func(p string) bool { return strings.HasPrefix(p, "FOLLOWED") && strings.Contains(p, why) })
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(secret.Replace(file, []byte("bad\n")))
	eventually(t, "the bad value to be reported", stale("a bad one"))
	must(os.Remove(file))
	eventually(t, "the missing file to be reported", stale("no such file"))
	must(os.WriteFile(file, []byte("two"), 0o644))
	eventually(t, "the open file to be reported", stale("0644"))
	must(os.Chmod(file, 0o600))
	if got := receive(t, seen); got != "two" {
		t.Errorf("took %q", got)
	}
	eventually(t, "the report to end", func() bool { return !stale("")() })
	must(secret.Replace(file, []byte("bad again")))
	eventually(t, "the bad value to be reported", stale("a bad one"))
	must(secret.Replace(file, []byte("two"))) // back to what is in force
	eventually(t, "the report to end", func() bool { return !stale("")() })
	if len(seen) != 0 {
		t.Errorf("took %q", <-seen)
	}
}

func TestTheFirstValueMustBeGood(t *testing.T) {
	bad := func([]byte) error { return errors.New("refused") }
	for _, ref := range []secret.Ref{secret.File(filepath.Join(t.TempDir(), "none")), "literal"} {
		if err := secret.Follow(t.Context(), "X", ref, bad); err == nil || !strings.HasPrefix(err.Error(), "X: ") || strings.Contains(err.Error(), "literal") {
			t.Errorf("%v", err)
		}
	}
}

func TestFilesAreReplacedInOneStep(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kek")
	if err := secret.Create(file, []byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := secret.Create(file, []byte("b")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created again: %v", err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := secret.Replace(file, []byte("b")); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(file)
	info, _ := os.Stat(file)
	if string(text) != "b" || info.Mode().Perm() != 0o640 {
		t.Errorf("%q with mode %v", text, info.Mode())
	}
	if err := secret.Replace(filepath.Join(file, "x"), nil); err == nil {
		t.Error("replaced nothing")
	}
	if entries, _ := os.ReadDir(filepath.Dir(file)); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestKeysFollow(t *testing.T) {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	first, err := secret.Keys{}.With(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	both, err := first.With(at)
	if err != nil {
		t.Fatal(err)
	}
	read, err := secret.ParseKeys(both.Text())
	if err != nil || len(read) != 2 || read.Follows(first) != nil || read.String() != "versions 1, 2" {
		t.Fatal(read, err)
	}
	if before, after := read.Current(at.Add(-time.Second)), read.Current(at); before.Version != 1 || after.Version != 2 {
		t.Errorf("%v before its time, %v after", before, after)
	}
	other, _ := secret.Keys{}.With(time.Time{})
	if other.Follows(first) == nil {
		t.Error("another key of the same version follows")
	}
	if both[1:].Current(at.Add(-time.Hour)).Version != 2 || read.Of(3) != nil {
		t.Error("the only key makes, whatever its time")
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte("1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= 2026-01-02T03:04:05Z\n\n2 QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="))
	f.Add([]byte("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := secret.ParseKeys(text)
		if err != nil {
			return
		}
		again, err := secret.ParseKeys(keys.Text())
		if err != nil || !bytes.Equal(again.Text(), keys.Text()) || again.Follows(keys) != nil {
			t.Errorf("%q reads back as %v, %v", text, again, err)
		}
	})
}
