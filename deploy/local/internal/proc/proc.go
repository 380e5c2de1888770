// Package proc looks at operating-system processes through /proc: whether one runs, and whether it is the one we mean.
// A pid alone proves nothing: after a crash it may belong to somebody else, and must then not be signalled.
package proc

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Info is what /proc says of a process.
type Info struct {
	Pid int
	// Exe is the path of its program, without " (deleted)" when the file was replaced since; empty when we may not know.
	Exe string
	// Args is its command line.
	Args []string
}

// Find looks a process up. It reports false for one that does not exist, has ended (a zombie) or may not be looked at.
func Find(pid int) (Info, bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil || pid <= 0 {
		return Info{}, false
	}
	// The state is the first field after the name, which may itself hold blanks and parentheses (proc(5)).
	if _, rest, ok := bytes.Cut(stat[bytes.LastIndexByte(stat, ')'):], []byte(" ")); !ok || rest[0] == 'Z' || rest[0] == 'X' {
		return Info{}, false
	}
	cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return Info{}, false
	}
	exe, err := os.Readlink(filepath.Join(dir, "exe"))
	if err != nil && !errors.Is(err, os.ErrPermission) {
		return Info{}, false
	}
	args := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
	return Info{Pid: pid, Exe: strings.TrimSuffix(exe, " (deleted)"), Args: args}, true
}

// All lists every process that may be looked at.
func All() []Info {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var all []Info
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			if info, ok := Find(pid); ok {
				all = append(all, info)
			}
		}
	}
	return all
}

// Under reports whether the process's program lies below dir. The services forbid being looked into, so that for anyone
// but root their Exe is unknown; then the path they were called by counts.
func (i Info) Under(dir string) bool {
	program := i.Exe
	if program == "" {
		program = i.Args[0]
	}
	return strings.HasPrefix(program, strings.TrimSuffix(dir, "/")+"/")
}

// HasArg reports whether arg stands in the command line as a word.
func (i Info) HasArg(arg string) bool {
	for _, a := range i.Args {
		if a == arg {
			return true
		}
	}
	return false
}

// Signal sends a signal; a process that has ended meanwhile is no error.
func (i Info) Signal(sig syscall.Signal) error {
	if err := syscall.Kill(i.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// ReadPid reads the process id on the first line of a pid file (PostgreSQL's postmaster.pid has more lines).
func ReadPid(file string) (int, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strconv.Atoi(strings.TrimSpace(line))
}
