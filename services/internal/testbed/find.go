package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// oldest is the first major version this project's SQL is meant for.
const oldest = 14

// Installation is where PostgreSQL's programs are.
type Installation struct {
	Bin     string   // directory of postgres and initdb
	Lib     []string // LD_LIBRARY_PATH they need; empty for an installed server
	Version int      // major version
}

// Search says where to look for PostgreSQL.
type Search struct {
	BinDir       string    // look only here; optional
	IgnoreSystem bool      // pass over what is installed, to try the download
	Log          io.Writer // says what is being done; os.Stderr when nil
}

// Find looks for PostgreSQL: s.BinDir if set; else PATH, then /usr/lib/postgresql and /usr/pgsql-* (newest first), then
// the Debian packages, downloaded and unpacked into the user's cache. The error says what to install.
func Find(ctx context.Context, s Search) (Installation, error) {
	if s.Log == nil {
		s.Log = os.Stderr
	}
	if s.BinDir != "" {
		return inspect(ctx, s.BinDir)
	}
	if !s.IgnoreSystem {
		for _, dir := range installed() {
			if found, err := inspect(ctx, dir); err == nil {
				return found, nil
			}
		}
	}
	found, err := debian(ctx, s.Log)
	if err != nil {
		return Installation{}, fmt.Errorf("no PostgreSQL: install version %d or later so that postgres and initdb are on PATH "+
			"(Debian and Ubuntu: apt-get install postgresql), or set POSTGRES_URL to a running server: %w", oldest, err)
	}
	return found, nil
}

// installed lists the directories where a server may be installed, the likeliest first.
func installed() []string {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	var found []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"} {
		matches, _ := filepath.Glob(pattern) // the patterns are well formed
		found = append(found, matches...)
	}
	slices.SortFunc(found, func(a, b string) int { return number(b) - number(a) })
	return append(dirs, found...)
}

var digits = regexp.MustCompile(`[0-9]+`)

// number is the first number in s, 0 without one.
func number(s string) int {
	n, _ := strconv.Atoi(digits.FindString(s))
	return n
}

// inspect checks that dir holds a server new enough.
func inspect(ctx context.Context, dir string, lib ...string) (Installation, error) {
	found := Installation{Bin: dir, Lib: lib}
	for _, program := range []string{"postgres", "initdb"} {
		if _, err := os.Stat(filepath.Join(dir, program)); err != nil {
			return found, err
		}
	}
	out, err := found.command(ctx, "postgres", "--version").Output()
	if err != nil {
		return found, fmt.Errorf("%s/postgres --version: %w", dir, withStderr(err))
	}
	// postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)
	found.Version = number(string(out))
	if found.Version < oldest {
		return found, fmt.Errorf("%s holds PostgreSQL %d, older than %d", dir, found.Version, oldest)
	}
	return found, nil
}

// command makes a command of one of the programs. The locale is C: its output is read by us.
func (i Installation) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(i.Bin, program), args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "LANG=C")
	cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, "PG") })
	if len(i.Lib) > 0 {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+strings.Join(i.Lib, ":"))
	}
	return cmd
}

// withStderr adds what a failed program said.
func withStderr(err error) error {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && len(exit.Stderr) > 0 {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	return err
}
