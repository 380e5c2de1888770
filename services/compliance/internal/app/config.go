// Package app builds the compliance service's rooms and joins them; it decides nothing.
package app

import (
	"errors"
	"slices"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
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
	// ReleaseRate is how many held messages a second each replica releases of a lane at most, when they fall due together.
	// 0 takes the default, 16000.
	ReleaseRate int `env:"RELEASE_RATE" envDefault:"16000"`
	// Live is what is known of the route that live messages take; Test of that of test messages.
	Live RouteConfig `envPrefix:"ROUTE_LIVE_"`
	Test RouteConfig `envPrefix:"ROUTE_TEST_"`
}

// RouteConfig is what the rules need to know of a route. Left empty, nothing is known: statuses with single operators are
// not looked at, any telemarketer may submit, headers of letters are not for promotion.
type RouteConfig struct {
	// Operator is whose DLT platform the route's operator uses, as registrations name it: AIRTEL, BSNL, JIO, MTNL, QTL,
	// SMARTPING, TATA or VI.
	Operator string `env:"OPERATOR"`
	// Telemarketer is the id, 19 digits, of who submits on the route: chains must end with it.
	Telemarketer string `env:"TELEMARKETER"`
	// AlphaPromo says that the operator has confirmed promotional templates on headers of letters.
	AlphaPromo bool `env:"ALPHA_PROMO"`
	// SixOnly says that the operator takes headers of exactly six letters.
	SixOnly bool `env:"SIX_ONLY"`
}

func (c RouteConfig) validate(prefix string) error {
	var wrong []error
	if c.Operator != "" && !registry.IsOperator(c.Operator) {
		wrong = append(wrong, errors.New(prefix+"OPERATOR is no operator of the registry, such as AIRTEL, JIO or VI"))
	}
	if c.Telemarketer != "" && !policy.IsID(c.Telemarketer) {
		wrong = append(wrong, errors.New(prefix+"TELEMARKETER is not 19 digits"))
	}
	return errors.Join(wrong...)
}

// route is the policy's view of the route of an environment.
func (c Config) route(env string) policy.Route {
	r := c.Test
	if env == "live" {
		r = c.Live
	}
	return policy.Route(r)
}

// Validate tells what is missing to serve.
func (c Config) Validate() error {
	required := map[string]string{
		"POSTGRES_URL": c.Postgres.URL, "POSTGRES_TENANT_URL": c.Postgres.TenantURL, "NATS_URL": c.Bus.URL,
		"NATS_MONITOR_URL": c.Bus.MonitorURL, "TLS_CERT_FILE": c.TLS.Cert, "TLS_KEY_FILE": c.TLS.Key, "TLS_CA_FILE": c.TLS.CA,
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
	if c.ReleaseRate < 0 {
		wrong = append(wrong, errors.New("RELEASE_RATE must not be negative"))
	}
	return errors.Join(append(wrong, c.Live.validate("ROUTE_LIVE_"), c.Test.validate("ROUTE_TEST_"))...)
}
