package main

import (
	"context"
	"flag"
	"os"
	"strings"

	"github.com/onlinesms/onlinesms/deploy/local/internal/platform"
)

// secrets is the first step of the compose file and of the dev overlay.
func secrets(ctx context.Context, args []string) error {
	var o platform.SecretsOptions
	flags := flag.NewFlagSet("secrets", flag.ContinueOnError)
	flags.StringVar(&o.Out, "out", "/secrets", "directory to fill")
	flags.StringVar(&o.Programs, "programs", "/", "directory of devca, natsgrants and ingest")
	flags.IntVar(&o.Owner, "owner", -1, "user id to give everything to")
	flags.IntVar(&o.PostgresOwner, "postgres-owner", -1, "user id to give PostgreSQL's certificate and rules to")
	flags.StringVar(&o.NATS, "nats", "nats", "host name of NATS, as the services reach it")
	flags.Int64Var(&o.StoreBytes, "store-bytes", 2_000_000_000, "what NATS may store")
	flags.StringVar(&o.Postgres, "postgres", "postgres:5432", "host:port of PostgreSQL, as the services reach it")
	flags.StringVar(&o.SMSC, "smsc", "smscsim:2775", "host:port of the simulator")
	flags.StringVar(&o.Demo, "demo", "/demo.yaml", "file of the demo tenant")
	flags.StringVar(&o.Preferences, "preferences", "", "directory to make for preference registers, for the owner alone; empty for none")
	hosts := flags.String("hosts", "ingest", "names of the public door beside localhost, separated by commas")
	if err := flags.Parse(args); err != nil {
		return err
	}
	o.Hosts = strings.Split(*hosts, ",")
	return platform.Secrets(ctx, o)
}

// provision is the second step.
func provision(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("provision", flag.ContinueOnError)
	out := flags.String("out", "/secrets", "directory that `local secrets` filled")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return platform.Provision(ctx, *out, os.Getenv("POSTGRES_URL"))
}
