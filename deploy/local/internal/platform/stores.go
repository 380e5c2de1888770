package platform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/onlinesms/onlinesms/deploy/local/internal/provision"
	"github.com/onlinesms/onlinesms/deploy/local/internal/supervise"
)

// database says how PostgreSQL is reached.
type database struct {
	admin     string            // as superuser
	data      string            // directory; empty for a server of somebody else
	passwords map[string]string // by role
	clear     bool              // somebody else's server on loopback, reached without TLS
}

// Connections: four services with two pools of 16, twice when there are two replicas, and people.
const maxConnections = 320

// dataPathFile holds the path of the private server's data, which `make reset` deletes.
const dataPathFile = "postgres-data-path"

// startPostgres starts the private server unless one was named, and makes databases and roles.
func (p *Platform) startPostgres(ctx context.Context) error {
	p.postgres = database{admin: p.options.PostgresURL}
	if p.postgres.admin != "" {
		if err := p.judgeServer(); err != nil {
			return err
		}
	} else {
		if err := p.report.Step("PostgreSQL accepts connections", func() error { return p.ownPostgres(ctx) }); err != nil {
			return err
		}
	}
	var err error
	if p.postgres.passwords, err = provision.OpenPasswords(p.dir.Path("keys", "postgres.json"), services); err != nil {
		return err
	}
	if err := provision.Databases(ctx, p.postgres.admin, services, p.postgres.passwords); err != nil {
		return &Failure{Err: fmt.Errorf("databases and roles: %w", err),
			Remedy: "POSTGRES_URL must name a superuser of a server that can be reached"}
	}
	return nil
}

// judgeServer decides how the services may reach the server of POSTGRES_URL. They refuse one whose certificate they
// cannot check, but for development on this machine.
func (p *Platform) judgeServer() error {
	verified, near, err := provision.Transport(p.postgres.admin)
	if err != nil {
		return &Failure{Err: fmt.Errorf("POSTGRES_URL: %w", err), Remedy: "give it as postgres://user:password@host:port/postgres?sslmode=…"}
	}
	if verified {
		return nil
	}
	if !near {
		return &Failure{Err: errors.New("POSTGRES_URL leaves this machine without verified TLS"),
			Remedy: "add sslmode=verify-full and sslrootcert=<file of the server's authority> to it"}
	}
	p.postgres.clear = true
	p.report.Say("warning: the server of POSTGRES_URL is reached without verified TLS, which is taken on loopback only; " +
		"the services run with POSTGRES_TLS=off")
	return nil
}

func (p *Platform) ownPostgres(ctx context.Context) error {
	out, err := p.tool(ctx, nil, "testbed", "postgres-dir", "-prefer", p.dir.Path("postgres"))
	if err != nil {
		return err
	}
	p.postgres.data = strings.TrimSpace(string(out))
	if err := p.dir.WriteFile(dataPathFile, []byte(p.postgres.data), 0o644); err != nil {
		return err
	}
	ready := p.dir.Path("postgres.ready")
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	child, err := p.set.Start(supervise.Process{
		Name: "postgres", Path: p.dir.Bin("testbed"), Env: baseEnv(), Stop: syscall.SIGTERM, Grace: 40 * time.Second,
		Args: []string{"postgres", "-data", p.postgres.data, "-port", strconv.Itoa(p.at.postgres), "-ready-file", ready,
			"-password-file", p.dir.Path("keys", "postgres-password"), "-tls-cert", p.dir.Path("tls", "postgres.pem"),
			"-tls-key", p.dir.Path("tls", "postgres-key.pem"), "-tls-ca", p.dir.Path("tls", "ca.pem"), "-max-connections", strconv.Itoa(maxConnections)},
	})
	if err != nil {
		return err
	}
	return until(ctx, "postgres", child, func(context.Context) error {
		data, err := os.ReadFile(ready)
		if err != nil {
			return errors.New("no connections yet")
		}
		var told struct{ URL string }
		if err := json.Unmarshal(data, &told); err != nil {
			return err
		}
		p.postgres.admin = told.URL
		return nil
	})
}

// databaseURL is the address of a service's database as one of its roles.
func (p *Platform) databaseURL(service, kind string) (string, error) {
	address, err := url.Parse(p.postgres.admin)
	if err != nil {
		return "", errors.New("POSTGRES_URL is not an address")
	}
	role := service + "_" + kind
	address.User = url.UserPassword(role, p.postgres.passwords[role])
	address.Path = "/" + service
	return address.String(), nil
}

// startNATS starts nats-server and waits until JetStream answers.
func (p *Platform) startNATS(ctx context.Context) error {
	return p.report.Step("NATS accepts connections", func() error {
		child, err := p.set.Start(supervise.Process{
			Name: "nats-server", Path: p.dir.Bin("nats-server"), Args: []string{"-c", p.dir.Path("nats.conf")},
			Env: baseEnv(), Stop: syscall.SIGTERM, Grace: 30 * time.Second,
		})
		if err != nil {
			return err
		}
		client, err := trusting(p.dir.Path("tls", "ca.pem"))
		if err != nil {
			return err
		}
		return until(ctx, "nats-server", child, answers(client, p.monitorURL()+"/healthz"))
	})
}

func (p *Platform) monitorURL() string { return "https://" + loopback(p.at.monitor) }

// startSimulator starts the operator; it is there for the test route even when an outside SMSC takes the live one.
func (p *Platform) startSimulator(ctx context.Context) error {
	return p.report.Step("SMSC simulator accepts binds", func() error {
		child, err := p.set.Start(supervise.Process{
			Name: "smscsim", Path: p.dir.Bin("smscsim"), Stop: syscall.SIGTERM, Grace: 15 * time.Second,
			Args: []string{"-smpp-addr", loopback(p.at.smsc), "-http-addr", loopback(p.at.stats)},
			Env: append(baseEnv(), "SMSCSIM_ACCOUNTS="+simulatorAccounts["live"]+":"+simulatorPassword+","+
				simulatorAccounts["test"]+":"+simulatorPassword),
		})
		if err != nil {
			return err
		}
		return until(ctx, "smscsim", child, answers(http.DefaultClient, p.simulatorURL()+"/healthz"))
	})
}

func (p *Platform) simulatorURL() string { return "http://" + loopback(p.at.stats) }

// baseEnv is what every process gets of our own environment: where programs and temporary files are, and what the Go
// runtime and OpenTelemetry are told by their standard variables.
func baseEnv() []string {
	var kept []string
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		switch {
		case name == "PATH", name == "HOME", name == "TMPDIR", name == "USER", name == "LANG",
			name == "GOGC", name == "GOMEMLIMIT", name == "GODEBUG", name == "XDG_CACHE_HOME",
			strings.HasPrefix(name, "OTEL_"), strings.HasSuffix(strings.ToLower(name), "_proxy"):
			kept = append(kept, pair)
		}
	}
	return kept
}
