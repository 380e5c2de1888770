// Package app builds the compliance service's rooms and joins them; it decides nothing.
package app

import (
	"errors"
	"slices"
	"strings"

	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
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
	// KEK is the key-encryption key; see secret.Keys for its form.
	KEK secret.Ref `env:"KEK"`
	// Keyring is the deployment keys, wrapped by it.
	Keyring secret.Ref `env:"KEYRING"`
	// IngestAddr is ingest's inner gRPC server, host:port, which hands out content keys.
	IngestAddr string `env:"INGEST_ADDR"`
	// LiveOperators are the operators behind the live routes, for example VI,JIO: what is not active with any of them is
	// refused. Empty: only portal-wide statuses count.
	LiveOperators []string `env:"LIVE_OPERATORS"`
	// GRPCAddr is where the inner gRPC server listens, host:port.
	GRPCAddr string `env:"GRPC_ADDR" envDefault:"127.0.0.1:0"`
	// AdminAddr is where /healthz, /readyz and /metrics are served, host:port; for the machine or the pod only.
	AdminAddr string `env:"ADMIN_ADDR" envDefault:"127.0.0.1:0"`
}

// Validate tells what is missing to serve.
func (c Config) Validate() error {
	required := map[string]string{
		"POSTGRES_URL": string(c.Postgres.URL), "POSTGRES_TENANT_URL": string(c.Postgres.TenantURL), "NATS_URL": c.Bus.URL,
		"NATS_CA_FILE": c.Bus.CAFile, "NATS_MONITOR_URL": c.Bus.MonitorURL, "TLS_CERT_FILE": c.TLS.Cert, "TLS_KEY_FILE": c.TLS.Key, "TLS_CA_FILE": c.TLS.CA,
		"KEK": string(c.KEK), "KEYRING": string(c.Keyring), "INGEST_ADDR": c.IngestAddr,
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
	for _, operator := range c.LiveOperators {
		if !registry.IsOperator(operator) {
			wrong = append(wrong, errors.New("LIVE_OPERATORS: the operators are "+strings.Join(registry.Operators(), ", ")))
		}
	}
	return errors.Join(wrong...)
}
