//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The demo tenant's registry (deploy/local/demo.yaml).
const (
	demoTenant = "01930000-0000-7000-8000-000000000001"
	demoEntity = "1701158019811140068"
	demoHeader = "ABCBNK"

	otpTemplate     = "1107160000000000011"
	serviceTemplate = "1107160000000000022"
	hindiTemplate   = "1107160000000000044"
	anyTemplate     = "1107160000000000055"
)

// sender is one tenant as it sends: its ids and its OTP template, whose one variable takes any number.
type sender struct {
	tenant, entity, header, template string
	format                           string // of the text, with one %d or %s
}

func demoSender() sender {
	return sender{tenant: demoTenant, entity: demoEntity, header: demoHeader, template: otpTemplate,
		format: "%s is your OTP for ABC login. Do not share it. - ABCBNK"}
}

// otherSender is tenant n (2..4), made for these tests.
func otherSender(n int) sender {
	return sender{
		tenant:   fmt.Sprintf("01930000-0000-7000-8000-00000000000%d", n),
		entity:   fmt.Sprintf("170115801981114010%d", n),
		header:   fmt.Sprintf("TENAN%c", 'A'+n),
		template: fmt.Sprintf("110716000000000100%d", n),
		format:   fmt.Sprintf("%%s is your code for shop %d. - TENAN%c", n, 'A'+n),
	}
}

func senders() []sender {
	return []sender{demoSender(), otherSender(2), otherSender(3), otherSender(4)}
}

// writeTenants writes the files of the other tenants beside the demo's and answers all of them.
func writeTenants(dir, demo string) ([]string, error) {
	files := []string{demo}
	quoted, err := json.Marshal(allScopes())
	if err != nil {
		return nil, err
	}
	scopes := strings.Trim(string(quoted), "[]")
	for n := 2; n <= 4; n++ {
		s := otherSender(n)
		text := fmt.Sprintf(`tenant: {id: %s, name: Tenant %d}
keys:
  - {env: live, scopes: [%s, "content:read"]}
  - {env: test, scopes: [%s]}
registry:
  telemarketers:
    - {id: "1302157243747322354", name: OnlineSMS Demo TM, role: TM-DF}
  entities:
    - {id: %q, name: Shop %d, status: active, chain: ["1302157243747322354"]}
  headers:
    - {header: %s, entity: %q, kind: other, status: active}
  templates:
    - {id: %q, entity: %q, headers: [%s], category: transactional, body: "{#numeric#} is your code for shop %d. - %s"}
`, s.tenant, n, scopes, scopes, s.entity, n, s.header, s.entity, s.template, s.entity, s.header, n, s.header)
		file := filepath.Join(dir, fmt.Sprintf("tenant-%d.yaml", n))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// keyOf answers a tenant's API key of an environment.
func keyOf(t *testing.T, tenant, env string) string {
	t.Helper()
	tenants, err := platform.Tenants()
	if err != nil {
		t.Fatalf("tenants: %v", err)
	}
	key := tenants[tenant].Keys[env]
	if key == "" {
		t.Fatalf("tenant %s has no %s key", tenant, env)
	}
	return key
}
