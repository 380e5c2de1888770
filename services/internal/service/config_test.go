package service

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onlinesms/onlinesms/services/internal/secret"
	"github.com/onlinesms/onlinesms/services/internal/secret/secrettest"
)

type database struct {
	URL      string `env:"POSTGRES_URL"`
	MaxConns int32  `env:"POSTGRES_MAX_CONNS" envDefault:"16"`
}

type config struct {
	Postgres database
	Addr     string        `env:"GRPC_ADDR"`
	Key      string        `env:"TLS_KEY"`
	KeyFile  string        `env:"TLS_KEY_FILE"`
	Password string        `env:"SMPP_PASSWORD"`
	Empty    string        `env:"EMPTY"`
	Linger   time.Duration `env:"LINGER" envDefault:"5ms"`
}

func (c *config) Validate() error {
	if c.Addr == "forbidden" {
		return errors.New("GRPC_ADDR: forbidden")
	}
	return nil
}

func TestSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var cfg config
	shown, err := load(&cfg, map[string]string{
		"POSTGRES_URL":       "postgres://worker:secret@db:5432/ingest?password=secret2",
		"GRPC_ADDR":          ":9000",
		"TLS_KEY_FILE":       "/run/tls/ingest-key.pem",
		"SMPP_PASSWORD_FILE": file,
	})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Password != "hunter2" || cfg.Key != "" || cfg.KeyFile != "/run/tls/ingest-key.pem" ||
		cfg.Postgres.MaxConns != 16 || cfg.Linger != 5*time.Millisecond || cfg.Addr != ":9000" {
		t.Errorf("read %+v", cfg)
	}
	slices.Sort(shown)
	want := []string{
		"EMPTY=unset", "GRPC_ADDR=:9000", "LINGER=5ms", "POSTGRES_MAX_CONNS=16", "POSTGRES_URL=postgres://db:5432/ingest",
		"SMPP_PASSWORD=set", "TLS_KEY=unset", "TLS_KEY_FILE=/run/tls/ingest-key.pem",
	}
	if diff := cmp.Diff(want, slices.Compact(shown)); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
}

func TestWrongSettings(t *testing.T) {
	for name, environ := range map[string]map[string]string{
		"malformed":        {"LINGER": "soon"},
		"refused":          {"GRPC_ADDR": "forbidden"},
		"file is not here": {"SMPP_PASSWORD_FILE": "/does/not/exist"},
	} {
		var cfg config
		if _, err := load(&cfg, environ); err == nil {
			t.Errorf("%s: accepted as %+v", name, cfg)
		}
	}
}

func TestConnectionStringsAreNotShown(t *testing.T) {
	for value, want := range map[string]string{
		"host=db user=worker password=secret": "set",
		"nats://user:secret@127.0.0.1:4222":   "nats://127.0.0.1:4222",
		"%zz":                                 "set",
	} {
		if got := showURL(value); got != want {
			t.Errorf("%q is shown as %q, want %q", value, got, want)
		}
	}
}

func TestLoadConfig(t *testing.T) {
	t.Setenv("GRPC_ADDR", "127.0.0.1:0")
	cfg, err := LoadConfig[config]()
	if err != nil || cfg.Addr != "127.0.0.1:0" {
		t.Errorf("read %+v, %v", cfg, err)
	}
}

// A reference is kept as it is, however it was given, and shown as set or unset only.
func TestReferencesAreSettings(t *testing.T) {
	type inner struct {
		Pepper secret.Ref `env:"PEPPER"`
		Pins   secret.Ref `env:"PINS_KEY"`
	}
	var cfg struct {
		KEK   secret.Ref `env:"KEK"`
		Creds secret.Ref `env:"CREDS"`
		Inner inner
	}
	shown, err := load(&cfg, map[string]string{
		"KEK_FILE": "/run/kek", "PEPPER": "hunter2", "CREDS": "vault:kv/sms/ingest#creds", "CREDS_FILE": "/ignored",
	})
	if err != nil {
		t.Fatal(err)
	}
	if path, ok := cfg.KEK.Path(); !ok || path != "/run/kek" || string(cfg.Inner.Pepper) != "hunter2" ||
		string(cfg.Creds) != "vault:kv/sms/ingest#creds" || cfg.Inner.Pins != "" {
		t.Errorf("read %q %q %q", string(cfg.KEK), string(cfg.Inner.Pepper), string(cfg.Creds))
	}
	slices.Sort(shown)
	if diff := cmp.Diff([]string{"CREDS=set", "KEK=set", "PEPPER=set", "PINS_KEY=unset"}, shown); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	if _, err := load(&cfg, map[string]string{"KEK": "vault:hunter2"}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a malformed reference: %v", err)
	}
}

// Every setting may be a reference to Vault; an error names it, and says what is missing.
func TestSettingsFromVault(t *testing.T) {
	var cfg config
	_, err := load(&cfg, map[string]string{"SMPP_PASSWORD": "vault:kv/sms#smpp"})
	if err == nil || !strings.Contains(err.Error(), "SMPP_PASSWORD") || !strings.Contains(err.Error(), "vault:kv/sms#smpp") ||
		!strings.Contains(err.Error(), "VAULT_ADDR") {
		t.Error(err)
	}
	t.Cleanup(func() { _ = secret.UseVault(secret.Vault{}) })
	vault := secrettest.Start(t)
	vault.Put("kv/sms", "smpp", "hunter2")
	var log strings.Builder
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	for name, value := range map[string]string{
		"VAULT_ADDR": vault.URL, "VAULT_CACERT": vault.CA, "VAULT_TOKEN": "root", "SMPP_PASSWORD": "vault:kv/sms#smpp",
	} {
		t.Setenv(name, value)
	}
	if cfg, err = LoadConfig[config](); err != nil || cfg.Password != "hunter2" {
		t.Errorf("read %q, %v", cfg.Password, err)
	}
	for _, setting := range []string{"SMPP_PASSWORD=set", "VAULT_TOKEN=set", "VAULT_SECRET_ID=unset"} {
		if !strings.Contains(log.String(), setting) || strings.Contains(log.String(), "hunter2") || strings.Contains(log.String(), "=root") {
			t.Errorf("without %s, or with a secret: %s", setting, log.String())
		}
	}
	t.Setenv("VAULT_ADDR", "http://127.0.0.1:8200")
	if _, err := LoadConfig[config](); err == nil || !strings.Contains(err.Error(), "https") {
		t.Errorf("Vault in clear: %v", err)
	}
}
