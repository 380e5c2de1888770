package registry_test

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/onlinesms/onlinesms/services/compliance/internal/policy"
	"github.com/onlinesms/onlinesms/services/compliance/internal/registry"
)

// TestChainHashes runs C01-C12 (requirement 39). A case is added without Go.
func TestChainHashes(t *testing.T) {
	raw, err := os.ReadFile("testdata/cases/chains.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Chains []struct {
			ID      string
			IDs     []string `yaml:"ids"`
			Hash    string
			Refused bool
		}
	}
	if err := yaml.Unmarshal(raw, &file); err != nil || len(file.Chains) < 12 {
		t.Fatalf("%d chains, %v", len(file.Chains), err)
	}
	for _, c := range file.Chains {
		hash, err := registry.ChainHash(c.IDs[0], c.IDs[1:])
		if (err != nil) != c.Refused {
			t.Errorf("%s: %v", c.ID, err)
		}
		if err == nil && hex.EncodeToString(hash[:]) != c.Hash {
			t.Errorf("%s: %x, want %s", c.ID, hash, c.Hash)
		}
	}
}

const (
	principal, aggregator, deliverer = "1101172974420810001", "1101172974420820002", "1101172974420830004"
	hashC02                          = "ba38bbe4ab3780a70aad6071c006e720eed8efc1ff70b00691d3b6844e6497e2"
)

func links() []registry.Link {
	return []registry.Link{{ID: aggregator, Role: registry.RoleAggregator, Status: policy.Active},
		{ID: deliverer, Role: registry.RoleDeliverer, Status: policy.Active}}
}

// TestPortalHash: the hash computed is compared with the one the portal shows (requirement 43).
func TestPortalHash(t *testing.T) {
	for portal, differs := range map[string]bool{
		"": false, hashC02: false, strings.ToUpper(hashC02): false, strings.Replace(hashC02, "b", "c", 1): true,
	} {
		c, err := registry.NewChain(principal, links(), policy.Active, portal)
		if err != nil || c.Differs != differs || hex.EncodeToString(c.Hash) != hashC02 || c.Last != deliverer {
			t.Errorf("portal %q: %+v, %v", portal, c, err)
		}
	}
	for _, portal := range []string{"ba38", hashC02 + "00", "PE,DF"} {
		if _, err := registry.NewChain(principal, links(), policy.Active, portal); err == nil {
			t.Errorf("%q is taken for a hash", portal)
		}
	}
}

// TestChainOfLinks: a chain has the worst status of its telemarketers, and ends with one that delivers (requirement 40).
func TestChainOfLinks(t *testing.T) {
	bad := links()
	bad[0].Status = policy.Blacklisted
	if c, err := registry.NewChain(principal, bad, policy.Active, ""); err != nil || c.Telemarketer != policy.Blacklisted || c.Status != policy.Active {
		t.Errorf("%+v, %v", c, err)
	}
	for name, wrong := range map[string][]registry.Link{"none": nil, "ends with an aggregator": links()[:1], "no id": {{ID: "12"}}} {
		if c, err := registry.NewChain(principal, wrong, policy.Active, ""); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
}
