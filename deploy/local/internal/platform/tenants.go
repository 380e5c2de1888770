package platform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/onlinesms/onlinesms/deploy/local/internal/rundir"
)

// restrictedKey is the variable of the demo key that may be used from one address only.
const restrictedKey = "ONLINESMS_RESTRICTED_KEY"

// tenant is a loaded tenant with its keys by environment, and the one under "restricted" where there is one.
type tenant struct {
	ID   string            `json:"id"`
	Keys map[string]string `json:"keys"`

	owner map[string]string // credentials of its owner, by variable; empty when the demo has none
}

// ownerVariables are the credentials of the demo's owner: address, password, and the seed of his authenticator in base32.
var ownerVariables = []string{"ONLINESMS_ADMIN_EMAIL", "ONLINESMS_ADMIN_PASSWORD", "ONLINESMS_ADMIN_TOTP"}

var tenantLine = regexp.MustCompile(`(?m)^tenant:\s*\{\s*id:\s*"?([0-9a-f-]{36})`)

// readTenant finds the tenant's id in a demo file; the services read the rest.
func readTenant(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	found := tenantLine.FindSubmatch(data)
	if found == nil {
		return "", fmt.Errorf("%s has no line `tenant: {id: …}`", file)
	}
	return string(found[1]), nil
}

// load makes the tenants with their keys and imports their registries; tenants.json tells tests who there is.
func (p *Platform) load(ctx context.Context) error {
	known := map[string]tenant{}
	for _, demo := range p.options.Demo {
		one, err := p.bootstrap(ctx, demo)
		if err != nil {
			return err
		}
		if _, err := p.command(ctx, "compliance", "import", "-file", demo); err != nil {
			return err
		}
		p.tenants = append(p.tenants, one)
		known[one.ID] = one
	}
	data, err := json.MarshalIndent(known, "", "  ")
	if err != nil {
		return err
	}
	return p.dir.WriteFile(filepath.Join("keys", "tenants.json"), append(data, '\n'), 0o600)
}

// bootstrap makes one tenant, its API keys and its owner. They are kept in files of the tenant, where ingest finds those
// that still work: a second start changes nothing.
func (p *Platform) bootstrap(ctx context.Context, demo string) (tenant, error) {
	id, err := readTenant(demo)
	if err != nil {
		return tenant{}, err
	}
	file := p.dir.Path("keys", "tenant-"+id+".env")
	owner := p.dir.Path("keys", "owner-"+id+".env")
	if _, err := p.command(ctx, "ingest", "bootstrap", "-file", demo, "-out", file, "-owner", owner); err != nil {
		return tenant{}, err
	}
	keys, err := rundir.ReadEnvFile(file)
	if err != nil {
		return tenant{}, err
	}
	one := tenant{ID: id, Keys: map[string]string{"live": keys["ONLINESMS_LIVE_KEY"], "test": keys["ONLINESMS_TEST_KEY"]}}
	if key := keys[restrictedKey]; key != "" {
		one.Keys["restricted"] = key
	}
	one.owner, err = rundir.ReadEnvFile(owner)
	if errors.Is(err, fs.ErrNotExist) { // a demo without owner
		return one, nil
	}
	return one, err
}
