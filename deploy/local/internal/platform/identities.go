package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/onlinesms/onlinesms/deploy/local/internal/natsauth"
)

// storeCeiling and storeShare bound what NATS may store: min(20 GB, a quarter of the free disk) (design section 5).
const (
	storeCeiling = 20_000_000_000
	storeShare   = 4
	memoryStore  = 64 << 20
)

// tool runs one of our programs to its end and answers what it printed.
func (p *Platform) tool(ctx context.Context, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(p.programs, name), args...)
	cmd.Env = append(baseEnv(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, lastLines(stderr.String()))
	}
	return out, nil
}

func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}

// makeIdentities makes what is missing of keys, certificates and credentials, and nats.conf anew.
func (p *Platform) makeIdentities(ctx context.Context) error {
	size, err := p.chooseStoreSize()
	if err != nil {
		return err
	}
	p.storeSize = size
	if err := p.makeCertificates(ctx, nil, "nats", "postgres"); err != nil {
		return err
	}
	return p.makeNATS(ctx, natsauth.Config{
		Host: "127.0.0.1", Port: p.at.nats, MonitorPort: p.at.monitor, StoreDir: p.dir.Path("nats"), MaxFileStore: size,
		Cert: p.dir.Path("tls", "nats.pem"), Key: p.dir.Path("tls", "nats-key.pem"),
	})
}

// nextPin and backupPin are the certificates whose keys the pin set announces beside that of the public door.
const (
	nextPin   = "public-next"
	backupPin = "public-backup"
)

// makeCertificates makes the authority and the certificates; hosts are further names of the public door, nats and
// postgres those of the stores.
func (p *Platform) makeCertificates(ctx context.Context, hosts []string, nats, postgres string) error {
	_, err := p.tool(ctx, nil, "devca", "-dir", p.dir.Path("tls"),
		"-service", strings.Join(services, ","),
		"-server", strings.Join([]string{strings.Join(append([]string{"public"}, hosts...), "="), nextPin, backupPin,
			"nats=" + nats, "postgres=" + postgres}, ","))
	return err
}

// secretFiles are the key-encryption key, the deployment keys wrapped by it, and the pepper of API keys.
func (p *Platform) secretFiles() map[string]string {
	return map[string]string{"KEK_FILE": p.dir.Path("keys", "kek"), "KEYRING_FILE": p.dir.Path("keys", "keyring.json"),
		"PEPPER_FILE": p.dir.Path("keys", "pepper")}
}

// makeSecretFiles makes those that are missing; only ingest knows how.
func (p *Platform) makeSecretFiles(ctx context.Context) error {
	var env []string
	for name, file := range p.secretFiles() {
		env = append(env, name+"="+file)
	}
	env = append(env, "PINS_KEY_FILE="+p.dir.Path("keys", "pins"))
	_, err := p.tool(ctx, env, "ingest", "init-secrets")
	return err
}

// chooseStoreSize settles it once: a later, smaller one could not hold the streams that are there.
func (p *Platform) chooseStoreSize() (int64, error) {
	file := p.dir.Path("nats-store-bytes")
	if data, err := os.ReadFile(file); err == nil {
		var size int64
		_, err := fmt.Sscan(string(data), &size)
		return size, err
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(string(p.dir), &disk); err != nil {
		return 0, fmt.Errorf("free disk: %w", err)
	}
	size := min(storeCeiling, int64(disk.Bavail)*disk.Bsize/storeShare)
	return size, os.WriteFile(file, fmt.Appendln(nil, size), 0o644)
}

// streamShares say how much of the store each service's streams may take; dispatch holds FEED too. They add up to less
// than one, with preferenceShare: the server keeps the rest for itself.
var streamShares = map[string]float64{"ingest": 0.35, "compliance": 0.15, "dispatch": 0.33, "audit": 0.05}

// preferenceShare is how much of the store sealed preference files may take.
const preferenceShare = 0.1

func (p *Platform) streamBytes(service string) int64 {
	return int64(float64(p.storeSize) * streamShares[service])
}

// makeNATS writes credentials and nats.conf.
func (p *Platform) makeNATS(ctx context.Context, config natsauth.Config) error {
	grants, err := p.grants(ctx)
	if err != nil {
		return err
	}
	var users []string
	for _, grant := range grants {
		users = append(users, grant.User)
	}
	keys, err := natsauth.OpenKeys(p.dir.Path("keys", "nats.json"), users)
	if err != nil {
		return err
	}
	config.MaxMemoryStore = memoryStore
	var exports []natsauth.Export
	if err := p.ask(ctx, &exports, "exports"); err != nil {
		return err
	}
	if config.Identities, err = keys.Issue(grants, exports, p.dir.Path("keys")); err != nil {
		return err
	}
	return p.dir.WriteFile("nats.conf", []byte(config.String()), 0o600)
}

// feedUser is the NATS user of the first tenant's outside consumer.
const feedUser = "feed"

// feedEnvs are the environments it may read, the one that is told first.
var feedEnvs = []string{"test", "live"}

// feed is what an outside consumer may do and what it must call itself, as natsgrants tells.
type feed struct {
	natsauth.Grant
	Consumer string `json:"consumer"`
	Filter   string `json:"filter"`
	Inbox    string `json:"inbox_prefix"`
}

// grants asks the services' plumbing what each service needs, and adds one outside consumer for the first tenant.
func (p *Platform) grants(ctx context.Context) ([]natsauth.Grant, error) {
	var byService map[string]natsauth.Grant
	if err := p.ask(ctx, &byService); err != nil {
		return nil, err
	}
	var grants []natsauth.Grant
	for service, grant := range byService {
		grant.User = service
		grants = append(grants, grant)
	}
	tenant, err := readTenant(p.options.Demo[0])
	if err != nil {
		return nil, err
	}
	outside := natsauth.Grant{User: feedUser, Outside: true}
	p.feeds = nil
	for _, env := range feedEnvs {
		var one feed
		if err := p.ask(ctx, &one, "feed", tenant, env); err != nil {
			return nil, err
		}
		outside.Publish = append(outside.Publish, one.Publish...)
		outside.Subscribe = append(outside.Subscribe, one.Subscribe...)
		p.feeds = append(p.feeds, one)
	}
	return append(grants, outside), nil
}

func (p *Platform) ask(ctx context.Context, into any, args ...string) error {
	out, err := p.tool(ctx, nil, "natsgrants", args...)
	if err != nil {
		return err
	}
	return json.Unmarshal(out, into)
}
