package platform

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/onlinesms/onlinesms/deploy/local/internal/supervise"
)

// A service drains for up to 30 s (design invariant 8); then it is killed.
const serviceGrace = 35 * time.Second

// environment is what one replica of a service is told: the same variables as in the images.
func (p *Platform) environment(service string, index int) ([]string, error) {
	var err error
	doors := p.at.replicas[index]
	vars := map[string]string{
		"GRPC_ADDR":         loopback(doors.inner[service]),
		"ADMIN_ADDR":        loopback(doors.admin[service]),
		"NATS_URL":          "tls://" + loopback(p.at.nats),
		"NATS_CA_FILE":      p.dir.Path("tls", "ca.pem"),
		"NATS_CREDS_FILE":   p.dir.Path("keys", service+".creds"),
		"NATS_MONITOR_URL":  p.monitorURL(),
		"NATS_STREAM_BYTES": strconv.FormatInt(p.streamBytes(service), 10),
		"TLS_CERT_FILE":     p.dir.Path("tls", service+".pem"),
		"TLS_KEY_FILE":      p.dir.Path("tls", service+"-key.pem"),
		"TLS_CA_FILE":       p.dir.Path("tls", "ca.pem"),
	}
	if service != "audit" { // it may never open content
		maps.Copy(vars, p.secretFiles())
	}
	if p.postgres.clear {
		vars["POSTGRES_TLS"] = "off"
	}
	for kind, name := range map[string]string{"owner": "POSTGRES_OWNER_URL", "worker": "POSTGRES_URL", "tenant": "POSTGRES_TENANT_URL"} {
		if vars[name], err = p.databaseURL(service, kind); err != nil {
			return nil, err
		}
	}
	for _, other := range services {
		vars[strings.ToUpper(other)+"_ADDR"] = loopback(doors.inner[other])
	}
	if service == "ingest" {
		vars["PUBLIC_HTTP_ADDR"], vars["PUBLIC_GRPC_ADDR"] = loopback(doors.https), loopback(doors.grpc)
		vars["PUBLIC_CERT_FILE"], vars["PUBLIC_KEY_FILE"] = p.dir.Path("tls", "public.pem"), p.dir.Path("tls", "public-key.pem")
		vars["WEBHOOK_IPS"] = "127.0.0.1/32"
		vars["PINS_KEY_FILE"] = p.dir.Path("keys", "pins")
		vars["MAIL_DIR"] = p.dir.Path("mail")
		vars["PINS_NEXT_FILE"], vars["PINS_BACKUP_FILE"] = p.dir.Path("tls", nextPin+".pem"), p.dir.Path("tls", backupPin+".pem")
	}
	if service == "compliance" {
		vars["PREFERENCE_DIR"] = p.dir.Path("preferences", strconv.Itoa(index+1))
		vars["PREFERENCE_STORE_BYTES"] = strconv.FormatInt(int64(float64(p.storeSize)*preferenceShare), 10)
	}
	if service == "dispatch" {
		if vars["ROUTES_FILE"], err = p.routes(); err != nil {
			return nil, err
		}
		// Everything stands on loopback here, receivers of webhooks too; they show certificates of the development CA.
		vars["WEBHOOK_LOOPBACK"], vars["WEBHOOK_CA_FILE"] = "true", p.dir.Path("tls", "ca.pem")
	}
	env := baseEnv()
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	return env, nil
}

// command runs a subcommand of a service to its end; its output joins the service's log.
func (p *Platform) command(ctx context.Context, service string, args ...string) ([]byte, error) {
	env, err := p.environment(service, 0)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(p.dir.Log(service), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, p.dir.Bin(service), args...)
	cmd.Env, cmd.Stderr = env, log
	out, err := cmd.Output()
	if err != nil {
		return nil, &Failure{Process: service, Err: fmt.Errorf("%s %s: %w", service, strings.Join(args, " "), err),
			Remedy: "the log says why; `make reset` starts with fresh data"}
	}
	return out, nil
}

// migrate brings all databases to the schema of this build.
func (p *Platform) migrate(ctx context.Context) error {
	return each(ctx, services, func(ctx context.Context, service string) error {
		_, err := p.command(ctx, service, "migrate")
		return err
	})
}

// startServices starts every replica and waits until each says it is ready.
func (p *Platform) startServices(ctx context.Context) error {
	var waits []func(context.Context) error
	for _, service := range services {
		for index := range p.options.Replicas {
			child, err := p.startService(service, index)
			if err != nil {
				return err
			}
			url := "http://" + loopback(p.at.replicas[index].admin[service]) + "/readyz"
			waits = append(waits, func(ctx context.Context) error {
				return until(ctx, service+suffix(index), child, answers(http.DefaultClient, url))
			})
		}
	}
	return together(ctx, waits...)
}

func (p *Platform) startService(service string, index int) (*supervise.Child, error) {
	env, err := p.environment(service, index)
	if err != nil {
		return nil, err
	}
	return p.set.Start(supervise.Process{
		Name: service + suffix(index), Path: p.dir.Bin(service), Args: []string{"serve"}, Env: env,
		Stop: syscall.SIGTERM, Grace: serviceGrace,
	})
}

// writeCommandEnv writes what commands of compliance need: `set -a; . .run/compliance.env`, then
// `.run/bin/compliance import-preferences …`.
func (p *Platform) writeCommandEnv() error {
	env, err := p.environment("compliance", 0)
	if err != nil {
		return err
	}
	values := map[string]string{}
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		if name != "PATH" && name != "HOME" {
			values[name] = value
		}
	}
	return p.dir.WriteEnvFile("compliance.env", values)
}

// writeEnv writes what stands outside may rely on (design section 7).
func (p *Platform) writeEnv() error {
	if len(p.tenants) == 0 {
		return errors.New("no tenant was loaded")
	}
	demo, doors := p.tenants[0], p.at.replicas[0]
	values := map[string]string{
		"ONLINESMS_API_URL":        "https://" + loopback(doors.https),
		"ONLINESMS_GRPC_ADDR":      loopback(doors.grpc),
		"ONLINESMS_CA_FILE":        p.dir.Path("tls", "ca.pem"),
		"ONLINESMS_LIVE_KEY":       demo.Keys["live"],
		"ONLINESMS_TEST_KEY":       demo.Keys["test"],
		"ONLINESMS_NATS_URL":       "tls://" + loopback(p.at.nats),
		"ONLINESMS_NATS_CREDS":     p.dir.Path("keys", feedUser+".creds"),
		"ONLINESMS_NATS_DATA":      p.dir.Path("nats"),
		"ONLINESMS_POSTGRES_URL":   p.postgres.admin,
		"ONLINESMS_POSTGRES_DATA":  p.postgres.data,
		"ONLINESMS_TENANT_ID":      demo.ID,
		"ONLINESMS_SMSC_ADDR":      loopback(p.at.smsc),
		"ONLINESMS_SMSC_STATS_URL": p.simulatorURL() + "/stats",
	}
	if key := demo.Keys["restricted"]; key != "" {
		values[restrictedKey] = key
	}
	for _, name := range ownerVariables {
		if value := demo.owner[name]; value != "" {
			values[name] = value
		}
	}
	for i, env := range feedEnvs {
		suffix := "" // the first has the plain names
		if i > 0 {
			suffix = "_" + strings.ToUpper(env)
		}
		values["ONLINESMS_NATS_CONSUMER"+suffix] = p.feeds[i].Consumer
		values["ONLINESMS_NATS_FILTER"+suffix] = p.feeds[i].Filter
		values["ONLINESMS_NATS_INBOX_PREFIX"+suffix] = p.feeds[i].Inbox
	}
	if p.options.Replicas > 1 {
		values["ONLINESMS_API_URL_2"] = "https://" + loopback(p.at.replicas[1].https)
		values["ONLINESMS_GRPC_ADDR_2"] = loopback(p.at.replicas[1].grpc)
	}
	return p.dir.WriteEnv(values)
}
