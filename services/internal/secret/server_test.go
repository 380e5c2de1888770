package secret_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/openbao/openbao/api/v2"

	"github.com/onlinesms/onlinesms/services/internal/secret"
)

// TestVaultServer runs what the tests beside it run against their own server at a real one: VAULT_BINARY names a program
// of OpenBao or HashiCorp Vault. Neither can be had as a Go module that builds in the time of the gate (10 minutes of
// processor), so it is for whoever has one: VAULT_BINARY=$(which bao) go test -run TestVaultServer ./secret.
func TestVaultServer(t *testing.T) {
	binary := os.Getenv("VAULT_BINARY")
	if binary == "" {
		t.Skip("VAULT_BINARY is not set")
	}
	dir := t.TempDir()
	addr := freeAddr(t)
	server := exec.CommandContext(t.Context(), binary, "server", "-dev", "-dev-tls", "-dev-root-token-id=root",
		"-dev-listen-address="+addr, "-dev-tls-cert-dir="+dir)
	server.Env = append(os.Environ(), "HOME="+dir) // the dev server keeps its token there
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(dir, "vault-ca.pem")
	eventually(t, "the server's certificate", func() bool { _, err := os.Stat(ca); return err == nil })
	root := rootClient(t, addr, ca)
	eventually(t, "the server", func() bool {
		health, err := root.Sys().HealthWithContext(t.Context())
		return err == nil && health.Initialized && !health.Sealed
	})
	role, id := appRole(t, root)
	put := func(value string) {
		if _, err := root.KVv2("secret").Put(t.Context(), "sms/ingest", map[string]any{"kek": value}); err != nil {
			t.Fatal(err)
		}
	}
	put("one")

	cfg := secret.Vault{Addr: "https://" + addr, CACert: ca, Poll: time.Second, Patience: 20 * time.Second, RoleID: role, SecretID: secret.Ref(id)}
	if err := secret.UseVault(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = secret.UseVault(secret.Vault{}) })
	seen := make(chan string, 10)
	take := func(text []byte) error { seen <- string(text); return nil }
	if err := secret.Follow(t.Context(), "KEK", "vault:secret/sms/ingest#kek", take); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, seen); got != "one" {
		t.Errorf("took %q", got)
	}
	for i := range 12 { // a second each; the role's tokens live for 3 s, with renewals for 8
		value := fmt.Sprintf("version %d", i)
		put(value)
		if got := receive(t, seen); got != value {
			t.Errorf("took %q", got)
		}
	}
	for _, ref := range []secret.Ref{"vault:secret/sms/other#kek", "vault:secret/sms/ingest#pepper", "vault:nowhere/sms#kek"} {
		if got, err := secret.Read(t.Context(), ref); err == nil {
			t.Errorf("read %q at %s", got, string(ref))
		} else {
			t.Log(err)
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func rootClient(t *testing.T, addr, ca string) *api.Client {
	t.Helper()
	cfg := api.NewConfig()
	cfg.Address = "https://" + addr
	if err := cfg.ConfigureTLS(&api.TLSConfig{CACert: ca}); err != nil {
		t.Fatal(err)
	}
	client, err := api.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	client.SetToken("root")
	return client
}

// appRole makes a role that may read one secret.
func appRole(t *testing.T, root *api.Client) (role, id string) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(root.Sys().EnableAuthWithOptionsWithContext(ctx, "approle", &api.EnableAuthOptions{Type: "approle"}))
	must(root.Sys().PutPolicyWithContext(ctx, "ingest", `path "secret/data/sms/*" { capabilities = ["read"] }`))
	_, err := root.Logical().WriteWithContext(ctx, "auth/approle/role/ingest",
		map[string]any{"token_policies": "ingest", "token_ttl": "3s", "token_max_ttl": "8s"})
	must(err)
	read, err := root.Logical().ReadWithContext(ctx, "auth/approle/role/ingest/role-id")
	must(err)
	made, err := root.Logical().WriteWithContext(ctx, "auth/approle/role/ingest/secret-id", nil)
	must(err)
	return read.Data["role_id"].(string), made.Data["secret_id"].(string)
}
