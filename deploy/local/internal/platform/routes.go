package platform

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/onlinesms/onlinesms/deploy/local/internal/rundir"
)

// The simulator's two accounts: a route has an account of its own, and the two environments never share one.
var simulatorAccounts = map[string]string{"live": "onlinesms-live", "test": "onlinesms-test"}

const simulatorPassword = "secret" // of a simulator nobody else can reach

// smppRoute is one line of the routes file; passwordFile is its path as dispatch sees it.
type smppRoute struct {
	name, env, addr, systemID, passwordFile string
	window, tps                             int
}

// What the simulator takes, and what an operator is asked for unless SMSC_TPS says otherwise.
const (
	simulatorWindow, simulatorTPS = 1000, 50_000
	outsideWindow, outsideTPS     = 100, 1000
)

// routes writes the file of SMPP routes: both environments by the simulator, or live by an outside SMSC.
func (p *Platform) routes() (string, error) {
	simulated := p.dir.Path("keys", "smsc-simulator")
	all := simulatorRoutes(loopback(p.at.smsc), simulated)
	if p.options.SMSC != "" {
		all[0] = smppRoute{"smsc-live", "live", p.options.SMSC, p.options.SMSCSystemID, p.dir.Path("keys", "smsc-live"),
			outsideWindow, cmp.Or(p.options.SMSCTPS, outsideTPS)}
	}
	for name, password := range map[string]string{"smsc-simulator": simulatorPassword, "smsc-live": p.options.SMSCPassword} {
		if err := p.dir.WriteFile(filepath.Join("keys", name), []byte(password+"\n"), 0o600); err != nil {
			return "", err
		}
	}
	return p.dir.Path("routes.yaml"), writeRoutes(p.dir, all)
}

func simulatorRoutes(addr, passwordFile string) []smppRoute {
	return []smppRoute{
		{"sim-live", "live", addr, simulatorAccounts["live"], passwordFile, simulatorWindow, simulatorTPS},
		{"sim-test", "test", addr, simulatorAccounts["test"], passwordFile, simulatorWindow, simulatorTPS},
	}
}

func writeRoutes(dir rundir.Dir, all []smppRoute) error {
	var text strings.Builder
	text.WriteString("# Written by deploy/local; every setting is explained in services/dispatch/internal/route.\nroutes:\n")
	for _, r := range all {
		fmt.Fprintf(&text, "  - {name: %s, env: [%s], addr: %q, system_id: %q, password_file: %q, binds: 2, window: %d, tps: %d}\n",
			r.name, r.env, r.addr, r.systemID, r.passwordFile, r.window, r.tps)
	}
	return dir.WriteFile("routes.yaml", []byte(text.String()), 0o644)
}
