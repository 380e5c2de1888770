// Package app builds the compliance service's rooms and joins them; it decides nothing.
package app

import (
	"errors"
	"slices"
	"strings"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
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
	// ReleaseRate is how many held messages a second each replica releases of a lane at most, when they fall due together.
	// 0 takes the default, 16000.
	ReleaseRate int `env:"RELEASE_RATE" envDefault:"16000"`
	// PreferenceDir is this replica's directory for the preference register: on a volume of its own, in no backup. It is made
	// with mode 0700; another process needs another one.
	PreferenceDir string `env:"PREFERENCE_DIR"`
	// PreferenceStoreBytes is the room for sealed preference files in the object store; two of them must fit.
	PreferenceStoreBytes int64 `env:"PREFERENCE_STORE_BYTES" envDefault:"1073741824"`
	// Live is what is known of the routes that live messages take; Test of those of test messages.
	Live RouteConfig `envPrefix:"ROUTE_LIVE_"`
	Test RouteConfig `envPrefix:"ROUTE_TEST_"`
}

// RouteConfig is what the rules need to know of the routes of an environment. Left empty, nothing is known: any telemarketer
// may submit, headers of letters are not for promotion.
type RouteConfig struct {
	// Telemarketer is the id, 19 digits, of who submits on the route: chains must end with it.
	Telemarketer string `env:"TELEMARKETER"`
	// AlphaPromo says that the operator has confirmed promotional templates on headers of letters.
	AlphaPromo bool `env:"ALPHA_PROMO"`
	// SixOnly says that the operator takes headers of exactly six letters.
	SixOnly bool `env:"SIX_ONLY"`
}

func (c RouteConfig) validate(prefix string) error {
	if c.Telemarketer != "" && !policy.IsID(c.Telemarketer) {
		return errors.New(prefix + "TELEMARKETER is not 19 digits")
	}
	return nil
}

// route is the policy's view of the routes of an environment.
func (c Config) route(env string) policy.Route {
	r := c.Test
	if env == "live" {
		r = c.Live
	}
	return policy.Route{Telemarketer: r.Telemarketer, AlphaPromo: r.AlphaPromo, SixOnly: r.SixOnly}
}

// Validate tells what is missing to serve.
func (c Config) Validate() error {
	required := map[string]string{
		"POSTGRES_URL": string(c.Postgres.URL), "POSTGRES_TENANT_URL": string(c.Postgres.TenantURL), "NATS_URL": c.Bus.URL,
		"NATS_CA_FILE": c.Bus.CAFile, "NATS_MONITOR_URL": c.Bus.MonitorURL, "TLS_CERT_FILE": c.TLS.Cert, "TLS_KEY_FILE": c.TLS.Key, "TLS_CA_FILE": c.TLS.CA,
		"KEK": string(c.KEK), "KEYRING": string(c.Keyring), "INGEST_ADDR": c.IngestAddr,
		"PREFERENCE_DIR": c.PreferenceDir,
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
	if c.PreferenceStoreBytes < 0 {
		wrong = append(wrong, errors.New("PREFERENCE_STORE_BYTES must not be negative"))
	}
	if c.ReleaseRate < 0 {
		wrong = append(wrong, errors.New("RELEASE_RATE must not be negative"))
	}
	for _, operator := range c.LiveOperators {
		if !registry.IsOperator(operator) {
			wrong = append(wrong, errors.New("LIVE_OPERATORS: the operators are "+strings.Join(registry.Operators(), ", ")))
		}
	}
	return errors.Join(append(wrong, c.Live.validate("ROUTE_LIVE_"), c.Test.validate("ROUTE_TEST_"))...)
}
