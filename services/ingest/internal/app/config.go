// Package app builds ingest's rooms and joins them; it decides nothing.
package app

import (
	"errors"

	"github.com/onlinesms/onlinesms/services/internal/eventbus"
	"github.com/onlinesms/onlinesms/services/internal/postgres"
	"github.com/onlinesms/onlinesms/services/internal/secret"
	"github.com/onlinesms/onlinesms/services/internal/tlsconf"
)

// Config is every setting of `ingest serve`, read from the environment.
type Config struct {
	Postgres postgres.Config
	Bus      eventbus.Config
	TLS      tlsconf.Files
	Secrets  Secrets
	Door     DoorConfig
	Access   AccessConfig
	// Verification is the limits of OTP sessions.
	Verification VerificationConfig
	// GRPCAddr is where the inner gRPC server listens (ContentKeyService, mTLS), host:port.
	GRPCAddr string `env:"GRPC_ADDR" envDefault:"127.0.0.1:0"`
	// AdminAddr is where /healthz, /readyz and /metrics are served, host:port; for the machine or the pod only.
	AdminAddr string `env:"ADMIN_ADDR" envDefault:"127.0.0.1:0"`
	// PublicHTTPAddr is where HTTPS with JSON is served, host:port.
	PublicHTTPAddr string `env:"PUBLIC_HTTP_ADDR" envDefault:"127.0.0.1:8443"`
	// PublicGRPCAddr is where public gRPC is served, host:port.
	PublicGRPCAddr string `env:"PUBLIC_GRPC_ADDR" envDefault:"127.0.0.1:9443"`
	// PublicCertFile and PublicKeyFile are the certificate (with intermediates) and key of both public ports, PEM.
	PublicCertFile string `env:"PUBLIC_CERT_FILE"`
	PublicKeyFile  string `env:"PUBLIC_KEY_FILE"`
	// ComplianceAddr is compliance's inner gRPC server, host:port. Without it decisions cannot be asked for and
	// transactional templates do not get the otp lane.
	ComplianceAddr string `env:"COMPLIANCE_ADDR"`
	// DispatchAddr is dispatch's inner gRPC server, host:port. Without it messages cannot be cancelled.
	DispatchAddr string `env:"DISPATCH_ADDR"`
	// AuditAddr is audit's inner gRPC server, host:port. Without it audit events cannot be asked for.
	AuditAddr string `env:"AUDIT_ADDR"`
	// TraceEndpoint is the collector telemetry exports to. Without it the door makes no spans.
	TraceEndpoint string `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`
}

// Secrets says where ingest's secrets are; all are followed.
type Secrets struct {
	// KEK is the key-encryption key; see secret.Keys for its form.
	KEK secret.Ref `env:"KEK"`
	// Keyring is the deployment keys, wrapped by the KEK.
	Keyring secret.Ref `env:"KEYRING"`
	// Pepper is the peppers of API keys and of codes; see secret.Keys for its form.
	Pepper secret.Ref `env:"PEPPER"`
}

// Validate tells what is missing to serve.
func (c Config) Validate() error {
	return errors.Join(c.Verification.Validate(), c.Access.Validate(), missing(map[string]string{
		"POSTGRES_URL": string(c.Postgres.URL), "POSTGRES_TENANT_URL": string(c.Postgres.TenantURL), "NATS_URL": c.Bus.URL,
		"NATS_CA_FILE": c.Bus.CAFile, "NATS_MONITOR_URL": c.Bus.MonitorURL, "TLS_CERT_FILE": c.TLS.Cert, "TLS_KEY_FILE": c.TLS.Key, "TLS_CA_FILE": c.TLS.CA,
		"KEK": string(c.Secrets.KEK), "KEYRING": string(c.Secrets.Keyring), "PEPPER": string(c.Secrets.Pepper),
		"PUBLIC_CERT_FILE": c.PublicCertFile, "PUBLIC_KEY_FILE": c.PublicKeyFile,
	}))
}

// missing names the settings that are empty.
func missing(settings map[string]string) error {
	var all []error
	for name, value := range settings {
		if value == "" {
			all = append(all, errors.New(name+" must be set"))
		}
	}
	return errors.Join(all...)
}
