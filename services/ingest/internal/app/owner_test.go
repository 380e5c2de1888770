package app

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"testing"

	ingestv1 "github.com/onlinesms/onlinesms/proto/gen/onlinesms/ingest/v1"
)

// The owner of a demo file logs in with what stands in his file; a second run keeps it, and one without it makes it anew.
func TestOwnerBootstrap(t *testing.T) {
	w := newWorld(t)
	w.freeze()
	demo := "tenant: {id: " + demoTenant.String() + ", name: Demo}\nowner: {email: Boss@demo.example}\n"
	if err := os.WriteFile(w.path("owner.yaml"), []byte(demo), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func() (h human) {
		if err := bootstrapOwner(t.Context(), w.store, w.secrets(), w.path("owner.yaml"), w.path("owner.env"), io.Discard); err != nil {
			t.Fatal(err)
		}
		held, err := readVariables(w.path("owner.env"), ownerVariables)
		if err != nil {
			t.Fatal(err)
		}
		return human{email: held["email"], password: held["password"], seed: held["totp"]}
	}
	first := run()
	if first.email != "boss@demo.example" || len(first.password) < 30 {
		t.Errorf("%s with a password of %d characters", first.email, len(first.password))
	}
	if again := run(); again != first {
		t.Error("a second run changes the credentials")
	}
	token := w.login(t, first)
	if _, err := w.users().ListUsers(as(t, token), &ingestv1.ListUsersRequest{}); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(w.path("owner.env")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.Remove(w.path("owner.env")); err != nil {
		t.Fatal(err)
	}
	anew := run()
	if anew.password == first.password || anew.seed == first.seed || w.count(t, "users") != 1 {
		t.Error("lost credentials are not made anew")
	}
	w.login(t, anew)
	var out bytes.Buffer
	if err := bootstrapOwner(t.Context(), w.store, w.secrets(), w.path("owner.yaml"), onScreen, &out); err != nil {
		t.Fatal(err)
	}
	var printed struct {
		Owner struct{ Email, Password, TOTP string }
	}
	if err := json.Unmarshal(out.Bytes(), &printed); err != nil {
		t.Fatal(err)
	}
	w.login(t, human{email: printed.Owner.Email, password: printed.Owner.Password, seed: printed.Owner.TOTP})
}
