package platform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
)

// tenant is a loaded tenant with its keys by environment.
type tenant struct {
	ID   string            `json:"id"`
	Keys map[string]string `json:"keys"`
}

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

// load makes the tenants with their keys and imports their registries. Keys are shown once, when they are made: they
// are kept in keys/tenants.json, so that a second start has them.
func (p *Platform) load(ctx context.Context) error {
	file := p.dir.Path("keys", "tenants.json")
	known := map[string]tenant{}
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &known)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read %s: %w", file, err)
	}
	for _, demo := range p.options.Demo {
		id, err := readTenant(demo)
		if err != nil {
			return err
		}
		if _, ok := known[id]; !ok {
			made, err := p.bootstrap(ctx, demo, id)
			if err != nil {
				return err
			}
			known[id] = made
		}
		if _, err := p.command(ctx, "compliance", "import", "-file", demo); err != nil {
			return err
		}
		p.tenants = append(p.tenants, known[id])
	}
	if data, err = json.MarshalIndent(known, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o600)
}

// bootstrap makes one tenant and its API keys, which ingest prints as JSON.
func (p *Platform) bootstrap(ctx context.Context, demo, id string) (tenant, error) {
	out, err := p.command(ctx, "ingest", "bootstrap", "-file", demo)
	if err != nil {
		return tenant{}, err
	}
	made := tenant{ID: id, Keys: map[string]string{}}
	if err := json.Unmarshal(out, &made); err != nil {
		return tenant{}, fmt.Errorf("ingest bootstrap: %w", err)
	}
	return made, nil
}
