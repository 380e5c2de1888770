package secret_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/secret"
	"github.com/onlinesms/onlinesms/services/internal/secret/secrettest"
)

const planted = "hunter2-in-vault"

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestVaultLogins(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *secret.Vault){
		"token":      func(_ *testing.T, c *secret.Vault) { c.Token = "root" },
		"token file": func(t *testing.T, c *secret.Vault) { c.Token = secret.File(write(t, "token", "root\n")) },
		"namespace":  func(_ *testing.T, c *secret.Vault) { c.Token, c.Namespace = "root", "sms" },
		"AppRole": func(t *testing.T, c *secret.Vault) {
			c.RoleID, c.SecretID = secrettest.RoleID, secret.File(write(t, "id", secrettest.SecretID))
		},
		"Kubernetes": func(t *testing.T, c *secret.Vault) {
			c.KubernetesRole, c.KubernetesJWT, c.AuthMount = "ingest", secret.File(write(t, "jwt", secrettest.PodJWT)), "pods"
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := secrettest.Start(t)
			k.Put("kv/sms/ingest", "kek", planted+"\n")
			k.Use(func(c *secret.Vault) { change(t, c) })
			got, err := secret.Read(t.Context(), "vault:kv/sms/ingest#kek")
			if err != nil || string(got) != planted {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// Errors name the reference and neither the secret nor what it takes to get it.
func TestVaultRefusals(t *testing.T) {
	k := secrettest.Start(t)
	k.Put("kv/sms", "kek", planted)
	k.Put("kv/sms", "empty", "")
	wrong := func(c *secret.Vault) { c.Token = "not-the-token" }
	right := func(c *secret.Vault) { c.Token = "root" }
	for name, test := range map[string]struct {
		change func(*secret.Vault)
		ref    secret.Ref
		want   string
	}{
		"token":          {wrong, "vault:kv/sms#kek", "403"},
		"secret id":      {func(c *secret.Vault) { c.RoleID, c.SecretID = secrettest.RoleID, "not-the-token" }, "vault:kv/sms#kek", "400"},
		"namespace":      {func(c *secret.Vault) { c.Token, c.Namespace = "root", "other" }, "vault:kv/sms#kek", "not found"},
		"path":           {right, "vault:kv/other#kek", "not found"},
		"field":          {right, "vault:kv/sms#pepper", `no text in field "pepper"`},
		"empty field":    {right, "vault:kv/sms#empty", "no text"},
		"other CA":       {func(c *secret.Vault) { c.Token, c.CACert = "root", "" }, "vault:kv/sms#kek", "certificate"},
		"malformed":      {right, "vault:kv#kek", "vault:<mount>/<path>#<field>"},
		"no token file":  {func(c *secret.Vault) { c.Token = secret.File("/does/not/exist") }, "vault:kv/sms#kek", "/does/not/exist"},
		"climbing paths": {right, "vault:kv/../sys/raw#x", "vault:<mount>/<path>#<field>"},
	} {
		t.Run(name, func(t *testing.T) {
			k.Use(test.change)
			got, err := secret.Read(t.Context(), test.ref)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), string(test.ref)) {
				t.Fatalf("%q, %v", got, err)
			}
			for _, hidden := range []string{planted, "not-the-token", secrettest.SecretID} {
				if strings.Contains(err.Error(), hidden) {
					t.Errorf("the error tells a secret: %v", err)
				}
			}
		})
	}
	if _, err := secret.Read(t.Context(), "vault:kv/sms#kek"); err == nil {
		_ = secret.UseVault(secret.Vault{})
		if _, err := secret.Read(t.Context(), "vault:kv/sms#kek"); err == nil || !strings.Contains(err.Error(), "VAULT_ADDR is not set") {
			t.Errorf("without Vault: %v", err)
		}
	}
}

// A token goes to the configured address only.
func TestVaultRedirectIsNotFollowed(t *testing.T) {
	followed := false
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer other.Close()
	k := secrettest.Start(t)
	k.Config.Handler = http.RedirectHandler(other.URL, http.StatusTemporaryRedirect)
	k.Use(func(c *secret.Vault) { c.Token = "root" })
	if got, err := secret.Read(t.Context(), "vault:kv/sms#kek"); err == nil || followed {
		t.Errorf("%q, %v, followed %v", got, err, followed)
	}
}

func TestVaultIsWaitedForAtTheStart(t *testing.T) {
	k := secrettest.Start(t)
	k.Put("kv/sms", "kek", planted)
	k.Seal(true)
	k.Use(func(c *secret.Vault) { c.Token = "root" })
	unseal := time.AfterFunc(300*time.Millisecond, func() { k.Seal(false) })
	defer unseal.Stop()
	if got, err := secret.Read(t.Context(), "vault:kv/sms#kek"); err != nil || string(got) != planted {
		t.Errorf("%q, %v", got, err)
	}
	k.Seal(true) // from here on a failure is told at once
	if _, err := secret.Read(t.Context(), "vault:kv/sms#kek"); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("sealed: %v", err)
	}
	k.Use(func(c *secret.Vault) { c.Token, c.Patience = "root", 50*time.Millisecond })
	if _, err := secret.Read(t.Context(), "vault:kv/sms#kek"); err == nil || !strings.Contains(err.Error(), "vault:kv/sms#kek") {
		t.Errorf("sealed for longer than the patience: %v", err)
	}
}

// A token is renewed before it ends, replaced when it was revoked, and a change of the secret is found meanwhile.
func TestVaultTokenLives(t *testing.T) {
	k := secrettest.Start(t)
	k.Put("kv/sms", "kek", "one")
	k.Use(func(c *secret.Vault) { c.RoleID, c.SecretID = secrettest.RoleID, secrettest.SecretID })
	seen := make(chan string, 10)
	take := func(text []byte) error { seen <- string(text); return nil }
	if err := secret.Follow(t.Context(), "KEK", "vault:kv/sms#kek", take); err != nil || <-seen != "one" {
		t.Fatal(err)
	}
	eventually(t, "a renewal", func() bool {
		renewals, logins := k.Counts()
		return renewals > 0 && logins == 1
	})
	k.Revoke()
	k.Put("kv/sms", "kek", "two")
	got := receive(t, seen)
	if _, logins := k.Counts(); got != "two" || logins < 2 {
		t.Errorf("took %q after %d logins", got, logins)
	}
}

func TestVaultSettings(t *testing.T) {
	for name, cfg := range map[string]secret.Vault{
		"plain":      {Addr: "http://127.0.0.1:8200", Token: "x", Poll: time.Second},
		"no login":   {Addr: "https://127.0.0.1:8200", Poll: time.Second},
		"no host":    {Addr: "https://", Token: "x", Poll: time.Second},
		"poll":       {Addr: "https://127.0.0.1:8200", Token: "x", Poll: time.Millisecond},
		"unreadable": {Addr: "%zz", Token: "x", Poll: time.Second},
	} {
		if cfg.Validate() == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := (secret.Vault{}).Validate(); err != nil {
		t.Error(err)
	}
	if err := secret.UseVault(secret.Vault{Addr: "https://127.0.0.1:8200", CACert: "/does/not/exist"}); err == nil {
		t.Error("a missing CA is taken")
	}
}
