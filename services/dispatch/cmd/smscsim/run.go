package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/onlinesms/onlinesms/services/dispatch/internal/smsc"
)

// drainTime bounds the drain on SIGTERM, well within the 30 s a process may take.
const drainTime = 10 * time.Second

// addresses is what is told once the simulator listens.
type addresses struct {
	SMPP string `json:"smpp"` // host:port
	HTTP string `json:"http"` // base URL
}

// run serves until ctx ends, then drains.
func run(ctx context.Context, o options, out io.Writer) error {
	server, err := smsc.New(smsc.Config{Accounts: o.accounts, Knobs: o.knobs, Seed: o.seed})
	if err != nil {
		return err
	}
	var listen net.ListenConfig
	smppListener, err := listen.Listen(ctx, "tcp", o.smppAddr)
	if err != nil {
		return err
	}
	httpListener, err := listen.Listen(ctx, "tcp", o.httpAddr)
	if err != nil {
		return errors.Join(err, smppListener.Close())
	}
	control := &http.Server{Handler: server.Handler(), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(smppListener) }()
	go func() { failed <- control.Serve(httpListener) }()
	err = announce(o.readyFile, out, addresses{
		SMPP: smppListener.Addr().String(), HTTP: "http://" + httpListener.Addr().String(),
	})
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-failed:
		}
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	server.Shutdown(drain)
	return errors.Join(err, control.Close())
}

// announce prints the addresses and writes the ready file, whole or not at all.
func announce(file string, out io.Writer, a addresses) error {
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if _, err := out.Write(line); err != nil || file == "" {
		return err
	}
	part := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".part")
	if err := os.WriteFile(part, line, 0o644); err != nil {
		return err
	}
	return os.Rename(part, file)
}

// checkHealth asks a running simulator.
func checkHealth(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/healthz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	return nil
}
