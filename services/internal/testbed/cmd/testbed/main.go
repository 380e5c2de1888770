// Command testbed serves a private PostgreSQL for development, tests and crash tests.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/onlinesms/onlinesms/services/internal/testbed"
)

const usage = `testbed serves a private PostgreSQL.

  testbed postgres -data DIR -password-file F -tls-cert F -tls-key F -tls-ca F [-port N] [-ready-file F] …
                                                                            serve until SIGTERM or SIGINT (fast stop)
  testbed postgres-dir -prefer DIR                                          print a data directory the server can use
  testbed postgres-find                                                     print where the server's programs are

testbed <command> -h shows all flags.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "testbed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		fmt.Print(usage)
		return nil
	}
	flags := flag.NewFlagSet("testbed "+args[0], flag.ExitOnError)
	switch args[0] {
	case "postgres":
		return serve(ctx, flags, args[1:])
	case "postgres-dir":
		prefer := flags.String("prefer", ".", "the directory to use if the server's user can reach it")
		_ = flags.Parse(args[1:]) // exits on error
		dir, err := testbed.DataDir(*prefer)
		if err == nil {
			fmt.Println(dir)
		}
		return err
	case "postgres-find":
		var search testbed.Search
		searchFlags(flags, &search)
		_ = flags.Parse(args[1:])
		found, err := testbed.Find(ctx, search)
		if err == nil {
			fmt.Printf("version %d in %s, libraries %q\n", found.Version, found.Bin, found.Lib)
		}
		return err
	}
	fmt.Print(usage)
	return fmt.Errorf("there is no command %q", args[0])
}

func serve(ctx context.Context, flags *flag.FlagSet, args []string) error {
	var cfg testbed.Config
	searchFlags(flags, &cfg.Search)
	flags.StringVar(&cfg.Data, "data", "", "data directory; made when missing")
	flags.IntVar(&cfg.Port, "port", 0, "port on 127.0.0.1; 0 takes a free one")
	flags.StringVar(&cfg.User, "user", "postgres", "superuser, fixed when the data directory is made")
	flags.StringVar(&cfg.PasswordFile, "password-file", "", "file with the superuser's password; written when missing")
	flags.StringVar(&cfg.TLS.Cert, "tls-cert", "", "file with the server's certificate for localhost, PEM")
	flags.StringVar(&cfg.TLS.Key, "tls-key", "", "file with its private key")
	flags.StringVar(&cfg.TLS.CA, "tls-ca", "", "file with the authority that signed it, for clients to trust")
	flags.StringVar(&cfg.ReadyFile, "ready-file", "", `file to write {"url","port","pid"} to when connections are accepted`)
	flags.IntVar(&cfg.MaxConns, "max-connections", 200, "max_connections")
	flags.StringVar(&cfg.Buffers, "shared-buffers", "512MB", "shared_buffers")
	flags.DurationVar(&cfg.IdleStop, "idle-stop", 0, "end after so long without a client; 0 never")
	fsync := flags.Bool("fsync", true, "write durably; off for tests only")
	_ = flags.Parse(args) // exits on error
	if cfg.Data == "" {
		return fmt.Errorf("-data is missing")
	}
	cfg.NoFsync = !*fsync
	return testbed.Serve(ctx, cfg)
}

func searchFlags(flags *flag.FlagSet, s *testbed.Search) {
	flags.StringVar(&s.BinDir, "bindir", "", "use the programs in this directory only")
	flags.BoolVar(&s.IgnoreSystem, "ignore-system", false, "pass over an installed server: download the Debian packages")
}
