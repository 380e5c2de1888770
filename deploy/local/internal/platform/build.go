package platform

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const natsServer = "github.com/nats-io/nats-server/v2"

// Programs built before the rest: with them the stores and the simulator start while the services are still building.
var tools = []string{
	"./services/internal/testbed/cmd/testbed",
	"./services/internal/tlsconf/cmd/devca",
	"./services/internal/eventbus/cmd/natsgrants",
	natsServer,
	"./services/dispatch/cmd/smscsim",
}

// Services in the order they start; they stop the other way round.
var services = []string{"audit", "dispatch", "compliance", "ingest"}

func servicePackages() []string {
	var packages []string
	for _, service := range services {
		packages = append(packages, "./services/"+service+"/cmd/"+service)
	}
	return packages
}

// build compiles packages of the checkout into the run directory's bin, in its workspace.
func (p *Platform) build(ctx context.Context, packages ...string) error {
	args := append([]string{"build", "-o", p.dir.Path("bin") + string(os.PathSeparator)}, packages...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = p.options.Repo
	// Whoever started us may have switched the workspace off for himself.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK="+filepath.Join(p.options.Repo, "go.work"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return &Failure{
			Err:    fmt.Errorf("go build: %w\n%s", err, strings.TrimSpace(string(out))),
			Remedy: "mend what the compiler says; for missing modules see that `go env GOPROXY` can be reached",
		}
	}
	return nil
}
