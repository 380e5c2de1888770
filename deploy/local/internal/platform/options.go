package platform

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// Options say what to bring up; the zero value of a field means its default.
type Options struct {
	// Repo is the root of the checkout that is built.
	Repo string
	// Run is the run directory; default <Repo>/.run.
	Run string
	// Detach leaves the platform running when the command ends.
	Detach bool
	// RandomPorts keeps away from the default ports, for the platforms of tests.
	RandomPorts bool
	// Replicas of each service, 1 (default) or 2.
	Replicas int
	// Demo lists files of tenants and registries; default deploy/local/demo.yaml.
	Demo []string
	// PostgresURL is a server to use instead of a private one, as a superuser, by sslmode=verify-full unless it is on
	// loopback; empty for a private one.
	PostgresURL string
	// SMSC is host:port of an outside SMSC for the live route; empty for the simulator.
	SMSC string
	// SMSCSystemID and SMSCPassword log in there.
	SMSCSystemID, SMSCPassword string
	// SMSCTPS is how many submits a second it takes; 0 for the default.
	SMSCTPS int
	// NoFirstMessage skips sending one message through.
	NoFirstMessage bool
}

// FromEnvironment reads what `make up` takes as variables: DETACH, REPLICAS, POSTGRES_URL, SMSC, SMSC_SYSTEM_ID,
// SMSC_PASSWORD, SMSC_TPS.
func FromEnvironment() Options {
	replicas, _ := strconv.Atoi(os.Getenv("REPLICAS")) // not a number: Complete says so
	tps, _ := strconv.Atoi(os.Getenv("SMSC_TPS"))      // likewise: the default
	return Options{
		Repo:         ".",
		Detach:       truthy(os.Getenv("DETACH")),
		Replicas:     replicas,
		PostgresURL:  os.Getenv("POSTGRES_URL"),
		SMSC:         os.Getenv("SMSC"),
		SMSCSystemID: os.Getenv("SMSC_SYSTEM_ID"),
		SMSCPassword: os.Getenv("SMSC_PASSWORD"),
		SMSCTPS:      tps,
	}
}

func truthy(word string) bool { return word != "" && word != "0" && word != "false" && word != "no" }

// Complete fills defaults, makes paths absolute and refuses what cannot work.
func (o Options) Complete() (Options, error) {
	repo, err := filepath.Abs(o.Repo)
	if err != nil {
		return o, err
	}
	if _, err := os.Stat(filepath.Join(repo, "go.work")); err != nil {
		return o, fmt.Errorf("%s is not the root of the checkout (no go.work): run make there", repo)
	}
	o.Repo = repo
	if o.Run == "" {
		o.Run = filepath.Join(repo, ".run")
	}
	if o.Run, err = filepath.Abs(o.Run); err != nil {
		return o, err
	}
	o.Replicas = max(o.Replicas, 1)
	if o.Replicas > 2 {
		return o, fmt.Errorf("REPLICAS is 1 or 2")
	}
	if len(o.Demo) == 0 {
		o.Demo = []string{filepath.Join(repo, "deploy", "local", "demo.yaml")}
	}
	if o.SMSC == "" {
		return o, nil
	}
	if _, _, err := net.SplitHostPort(o.SMSC); err != nil {
		return o, fmt.Errorf("SMSC is host:port: %w", err)
	}
	if o.SMSCSystemID == "" {
		return o, fmt.Errorf("SMSC needs SMSC_SYSTEM_ID, and SMSC_PASSWORD if the operator gave one")
	}
	return o, nil
}
