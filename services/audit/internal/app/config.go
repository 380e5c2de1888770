// Package app builds the audit service's rooms and joins them; it decides nothing.
package app

import (
	"errors"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
)

// Config is every setting of the service, read from the environment.
type Config struct {
	Postgres postgres.Config
	Bus      eventbus.Config
	TLS      tlsconf.Files
	// GRPCAddr is where the inner gRPC server listens, host:port.
	GRPCAddr string `env:"GRPC_ADDR" envDefault:"127.0.0.1:0"`
	// AdminAddr is where /healthz, /readyz and /metrics are served, host:port; for the machine or the pod only.
	AdminAddr string `env:"ADMIN_ADDR" envDefault:"127.0.0.1:0"`
}

// Validate tells what is missing to serve.
func (c Config) Validate() error {
	var missing []error
	for name, value := range map[string]string{
		"POSTGRES_URL": string(c.Postgres.URL), "POSTGRES_TENANT_URL": string(c.Postgres.TenantURL), "NATS_URL": c.Bus.URL,
		"NATS_CA_FILE": c.Bus.CAFile, "NATS_MONITOR_URL": c.Bus.MonitorURL, "TLS_CERT_FILE": c.TLS.Cert, "TLS_KEY_FILE": c.TLS.Key, "TLS_CA_FILE": c.TLS.CA,
	} {
		if value == "" {
			missing = append(missing, errors.New(name+" must be set"))
		}
	}
	return errors.Join(missing...)
}
