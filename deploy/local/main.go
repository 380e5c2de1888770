// Command local runs the whole platform on this machine for `make up`, `make down` and `make reset`.
//
//	local up     [-run dir] [-detach] [-replicas n] [-random-ports] [-demo file]… [-no-message]
//	local keys   [-run dir]
//	local down   [-run dir]
//	local reset  [-run dir]
//	local secrets   -out dir [-owner uid] …   for containers: keys, certificates, NATS identities, addresses
//	local provision -out dir                  for containers: databases and roles on the server of POSTGRES_URL
//
// up starts a supervisor in a session of its own (`local supervise`, not meant to be called by hand), shows its
// progress, and stays until Ctrl-C unless -detach is given. keys replaces those demo keys that no longer work.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/onlinesms/onlinesms/deploy/local/internal/platform"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		if !errors.Is(err, errShown) {
			fmt.Fprintln(os.Stderr, "local:", err)
		}
		os.Exit(1)
	}
}

// errShown is an error whose text has been printed already.
var errShown = errors.New("failed")

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("usage: local up|keys|down|reset [flags]")
	}
	switch args[0] {
	case "secrets":
		return secrets(ctx, args[1:])
	case "provision":
		return provision(ctx, args[1:])
	case "up", "supervise", "keys", "down", "reset":
	default:
		return fmt.Errorf("no command %q: up, keys, down, reset, secrets or provision", args[0])
	}
	options, err := parse(args)
	if err != nil {
		return err
	}
	switch args[0] {
	case "up":
		return up(ctx, options, args[1:])
	case "supervise":
		return supervise(ctx, options)
	case "keys":
		return platform.Keys(ctx, options, os.Stdout)
	case "down":
		return platform.Down(options, os.Stdout)
	default:
		return platform.Reset(ctx, options, os.Stdout)
	}
}

func parse(args []string) (platform.Options, error) {
	options := platform.FromEnvironment()
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.StringVar(&options.Repo, "repo", options.Repo, "root of the checkout")
	flags.StringVar(&options.Run, "run", "", "run directory (default <repo>/.run)")
	flags.BoolVar(&options.Detach, "detach", options.Detach, "return when ready; also DETACH=1")
	flags.IntVar(&options.Replicas, "replicas", options.Replicas, "replicas of each service, 1 or 2; also REPLICAS")
	flags.BoolVar(&options.RandomPorts, "random-ports", false, "do not try the default ports")
	flags.BoolVar(&options.NoFirstMessage, "no-message", false, "send no message through")
	flags.Func("demo", "file of a tenant and its registry; may be repeated", func(file string) error {
		options.Demo = append(options.Demo, file)
		return nil
	})
	if err := flags.Parse(args[1:]); err != nil {
		return options, err
	}
	return options.Complete()
}
