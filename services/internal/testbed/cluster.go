package testbed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// cluster is a data directory with the programs and the account that serve it.
type cluster struct {
	cfg        Config
	programs   Installation
	who        *account
	password   string
	unlockIdle func() // frees the lock idle took; does nothing before
}

// prepare makes the data directory if it is not there yet: initdb aside, then a rename.
func (c *cluster) prepare(ctx context.Context) error {
	version, err := os.ReadFile(filepath.Join(c.cfg.Data, "PG_VERSION"))
	if err == nil {
		return c.checkVersion(strings.TrimSpace(string(version)))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	aside := c.cfg.Data + ".new"
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	if err := os.Mkdir(aside, 0o700); err != nil {
		return err
	}
	if err := c.who.own(aside); err != nil {
		return err
	}
	if err := c.initdb(ctx, aside); err != nil {
		return err
	}
	// An empty directory in the way is replaced, one with content is an error: it is not ours.
	return os.Rename(aside, c.cfg.Data)
}

func (c *cluster) checkVersion(data string) error {
	if data != strconv.Itoa(c.programs.Version) {
		return fmt.Errorf("%s was made by PostgreSQL %s, but %s is version %d: name a server of that version, or drop the data (make reset)",
			c.cfg.Data, data, c.programs.Bin, c.programs.Version)
	}
	return nil
}

func (c *cluster) initdb(ctx context.Context, dir string) error {
	// The server's user must be able to read the password: a file of its own for the moment.
	secret := dir + ".password"
	if err := os.WriteFile(secret, []byte(c.password+"\n"), 0o600); err != nil {
		return err
	}
	defer func() { _ = os.Remove(secret) }()
	if err := c.who.own(secret); err != nil {
		return err
	}
	cmd := c.programs.command(ctx, "initdb", "--pgdata="+dir, "--username="+c.cfg.user(), "--pwfile="+secret,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions")
	cmd.Dir = dir
	c.who.become(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// server makes the command of the server itself.
func (c *cluster) server(port int) *exec.Cmd {
	// Not CommandContext: it would kill -9 at the end of the context, where a fast stop is wanted.
	cmd := c.programs.command(context.Background(), "postgres", "-D", c.cfg.Data)
	for _, setting := range c.settings(port) {
		cmd.Args = append(cmd.Args, "-c", setting)
	}
	cmd.Dir = c.cfg.Data
	cmd.Stdout, cmd.Stderr = c.cfg.Log, c.cfg.Log
	c.who.become(cmd)
	return cmd
}

// settings are given on the command line: a change of them needs no new cluster. Durable as decided in design §2.1,
// and silent about parameters, which may be content.
func (c *cluster) settings(port int) []string {
	settings := []string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(port), "unix_socket_directories=",
		"password_encryption=scram-sha-256",
		"ssl=on", "ssl_cert_file=" + certFile, "ssl_key_file=" + keyFile, "ssl_min_protocol_version=TLSv1.3",
		"max_connections=" + strconv.Itoa(c.cfg.maxConns()), "shared_buffers=" + c.cfg.sharedBuffers(),
		"max_wal_size=8GB", "checkpoint_timeout=15min", "jit=off",
		"timezone=GMT", "log_timezone=GMT", // GMT is built in: no zone files are needed
		"logging_collector=off", "log_destination=stderr", "log_statement=none", "log_checkpoints=off",
		"log_parameter_max_length=0", "log_parameter_max_length_on_error=0",
		"log_min_duration_statement=-1", "log_error_verbosity=terse", // terse leaves out DETAIL, which quotes rows
		"log_min_error_statement=panic", // nor the statement, which might hold a literal
	}
	durable := "on"
	if c.cfg.NoFsync {
		durable = "off"
	}
	for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		settings = append(settings, name+"="+durable)
	}
	return settings
}
