// Package app builds the compliance service's rooms and joins them; it decides nothing.
package app

import (
	"errors"
	"slices"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
)

// Config is every setting of the service, read from the environment.
type Config struct {
	Postgres postgres.Config
	Bus      eventbus.Config
	TLS      tlsconf.Files
	// KEKFile holds the key-encryption key: 32 bytes in base64, mode 0600.
	KEKFile string `env:"KEK_FILE"`
	// KeyringFile holds the deployment keys, wrapped by it.
	KeyringFile string `env:"KEYRING_FILE"`
	// IngestAddr is ingest's inner gRPC server, host:port, which hands out content keys.
	IngestAddr string `env:"INGEST_ADDR"`
	// GRPCAddr is where the inner gRPC server listens, host:port.
	GRPCAddr string `env:"GRPC_ADDR" envDefault:"127.0.0.1:0"`
	// AdminAddr is where /healthz, /readyz and /metrics are served, host:port; for the machine or the pod only.
	AdminAddr string `env:"ADMIN_ADDR" envDefault:"127.0.0.1:0"`
}

// Validate tells what is missing to serve.
func (c Config) Validate() error {
	required := map[string]string{
		"POSTGRES_URL": c.Postgres.URL, "POSTGRES_TENANT_URL": c.Postgres.TenantURL, "NATS_URL": c.Bus.URL,
		"NATS_CA_FILE": c.Bus.CAFile, "NATS_MONITOR_URL": c.Bus.MonitorURL, "TLS_CERT_FILE": c.TLS.Cert, "TLS_KEY_FILE": c.TLS.Key, "TLS_CA_FILE": c.TLS.CA,
		"KEK_FILE": c.KEKFile, "KEYRING_FILE": c.KeyringFile, "INGEST_ADDR": c.IngestAddr,
	}
	var missing []string
	for name, value := range required {
		if value == "" {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	var wrong []error
	for _, name := range missing {
		wrong = append(wrong, errors.New(name+" must be set"))
	}
	return errors.Join(wrong...)
}
