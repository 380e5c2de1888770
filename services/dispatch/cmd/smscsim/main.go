// Command smscsim is an operator's SMSC with Indian behaviour, for sandbox,
// tests and benchmarks; see package smsc for what it does and its sandbox
// numbers.
//
// When it listens it prints one JSON line, {"smpp": "host:port", "http":
// "http://host:port"}, and writes the same to the ready file. SIGTERM and SIGINT
// drain: what is on its way is delivered, then it unbinds and exits.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	o, err := parseOptions(os.Args[1:], os.Getenv)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err == nil && o.check:
		err = checkHealth(ctx, o.httpAddr)
	case err == nil:
		err = run(ctx, o, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "smscsim:", err)
		os.Exit(1)
	}
}
