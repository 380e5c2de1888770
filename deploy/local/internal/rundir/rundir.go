// Package rundir knows the layout of `.run`, the directory that holds all state of one local platform: programs, data,
// keys, logs, pid files, and the shell file `env` by which tests and people find them (design section 7).
package rundir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Dir is the absolute path of a run directory.
type Dir string

// Open makes the directory and its folders. It is readable by other users, so that PostgreSQL, which never runs as root,
// can reach its data; what is secret is protected file by file.
func Open(path string) (Dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for _, folder := range []string{"", "bin", "logs", "pids", "tls", "nats", "keys", "preferences"} {
		if err := os.MkdirAll(filepath.Join(abs, folder), 0o755); err != nil {
			return "", fmt.Errorf("make run directory: %w", err)
		}
	}
	// Preferences hold numbers in clear (mode 0700, in no backup): one directory a replica of compliance.
	return Dir(abs), errors.Join(os.Chmod(filepath.Join(abs, "keys"), 0o700), os.Chmod(filepath.Join(abs, "preferences"), 0o700))
}

// Path joins parts to the directory.
func (d Dir) Path(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}

// Bin is the path of a program.
func (d Dir) Bin(name string) string { return d.Path("bin", name) }

// Log is the path of a process's log.
func (d Dir) Log(process string) string { return d.Path("logs", process+".log") }

// Pid is the path of a process's pid file.
func (d Dir) Pid(process string) string { return d.Path("pids", process) }

// WriteFile writes a file so that a reader sees either the old or the new content, never a part.
func (d Dir) WriteFile(name string, data []byte, mode os.FileMode) error {
	file, err := os.CreateTemp(string(d), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // gone already after the rename
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := file.Chmod(mode); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), d.Path(name))
}

// WriteEnv writes the shell file `env`; names are sorted, values quoted, mode 0600 since keys and passwords stand in it.
func (d Dir) WriteEnv(values map[string]string) error { return d.WriteEnvFile("env", values) }

// WriteEnvFile writes another file of the same form.
func (d Dir) WriteEnvFile(file string, values map[string]string) error {
	var text strings.Builder
	fmt.Fprintf(&text, "# Written by `make up`; source it: . .run/%s\n", file)
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&text, "export %s='%s'\n", name, strings.ReplaceAll(values[name], "'", `'\''`))
	}
	return d.WriteFile(file, []byte(text.String()), 0o600)
}

// ReadEnv reads the shell file `env` back.
func (d Dir) ReadEnv() (map[string]string, error) { return ReadEnvFile(d.Path("env")) }

// ReadEnvFile reads a shell file of assignments, quoted by single quotes or not at all.
func ReadEnvFile(file string) (map[string]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if ok && !strings.HasPrefix(name, "#") {
			values[name] = strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(value, "'"), "'"), `'\''`, "'")
		}
	}
	return values, nil
}

// Tail answers the last lines of a process's log, for failures.
func (d Dir) Tail(process string, lines int) string {
	data, err := os.ReadFile(d.Log(process))
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
