package service

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
