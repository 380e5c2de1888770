// Package app builds the dispatch service's rooms and joins them; it decides nothing.
package app

import (
	"errors"
	"time"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/secret"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
)

// Config is every setting of the service, read from the environment.
type Config struct {
	Postgres postgres.Config
	Bus      eventbus.Config
	TLS      tlsconf.Files
	Webhooks WebhookConfig
	// AdminAddr is where /healthz, /readyz and /metrics are served, host:port; for the machine or the pod only.
	AdminAddr string `env:"ADMIN_ADDR" envDefault:"127.0.0.1:0"`
	// GRPCAddr is where the inner gRPC server listens (DispatchService, mTLS), host:port.
	GRPCAddr string `env:"GRPC_ADDR" envDefault:"127.0.0.1:0"`
	// IngestAddr is ingest's inner gRPC server, host:port, for wrapped content keys.
	IngestAddr string `env:"INGEST_ADDR"`
	// KEK is the key-encryption key; see secret.Keys for its form.
	KEK secret.Ref `env:"KEK"`
	// Keyring is the deployment keys, wrapped by it.
	Keyring secret.Ref `env:"KEYRING"`
	// RoutesFile is the YAML file of routes; see package route.
	RoutesFile string `env:"ROUTES_FILE"`
	// LeaseTTL is how long the binds and parcels of a replica that went silent stay its own, 1 s or more; renewed three
	// times within. A crashed replica's messages wait that long.
	LeaseTTL time.Duration `env:"LEASE_TTL" envDefault:"10s"`
}

// Validate tells what is missing to serve.
func (c Config) Validate() error {
	var problems []error
	for _, setting := range []struct{ name, value string }{
		{"POSTGRES_URL", string(c.Postgres.URL)}, {"POSTGRES_TENANT_URL", string(c.Postgres.TenantURL)}, {"NATS_URL", c.Bus.URL},
		{"NATS_CA_FILE", c.Bus.CAFile}, {"NATS_MONITOR_URL", c.Bus.MonitorURL}, {"TLS_CERT_FILE", c.TLS.Cert}, {"TLS_KEY_FILE", c.TLS.Key},
		{"TLS_CA_FILE", c.TLS.CA}, {"INGEST_ADDR", c.IngestAddr}, {"KEK", string(c.KEK)}, {"KEYRING", string(c.Keyring)},
		{"ROUTES_FILE", c.RoutesFile},
	} {
		if setting.value == "" {
			problems = append(problems, errors.New(setting.name+" must be set"))
		}
	}
	if c.LeaseTTL < time.Second {
		problems = append(problems, errors.New("LEASE_TTL must be 1s or more"))
	}
	problems = append(problems, c.Webhooks.validate(c.GRPCAddr, c.AdminAddr, c.IngestAddr, c.Bus.URL))
	return errors.Join(problems...)
}
