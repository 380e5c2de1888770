package testbed

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user PostgreSQL runs as; nil is the user we are.
type account struct {
	name     string
	uid, gid int
}

// unprivileged picks the account: ourselves, or when we are root postgres or nobody, because PostgreSQL refuses root.
func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return &account{name, uid, gid}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody to run it as")
}

// become makes cmd run as the account.
func (a *account) become(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	if a != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
}

// own gives path to the account.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

// reaches tells whether the account can enter the existing directory dir, by entering it.
func (a *account) reaches(dir string) bool {
	if a == nil {
		return true
	}
	cmd := exec.CommandContext(context.Background(), "/bin/true")
	cmd.Dir = dir // entered after the change of user
	a.become(cmd)
	return cmd.Run() == nil
}

// DataDir answers a directory PostgreSQL can use: preferred itself, or when the user it would run as cannot get there
// (a checkout under a closed home, started by root) one in /var/tmp that is always the same for the same preferred.
func DataDir(preferred string) (string, error) {
	who, err := unprivileged()
	if err != nil {
		return "", err
	}
	return who.usable(preferred)
}

func (a *account) usable(preferred string) (string, error) {
	preferred, err := filepath.Abs(preferred)
	if err != nil {
		return "", err
	}
	if a.reaches(nearest(preferred)) {
		return preferred, nil
	}
	sum := sha256.Sum256([]byte(preferred))
	other := fmt.Sprintf("/var/tmp/onlinesms-%d/%x/%s", os.Geteuid(), sum[:6], filepath.Base(preferred))
	if !a.reaches(nearest(other)) {
		return "", fmt.Errorf("user %s can reach neither %s nor /var/tmp", a.name, preferred)
	}
	return other, nil
}

// nearest is the closest ancestor of path, or path itself, that exists.
func nearest(path string) string {
	for path != filepath.Dir(path) {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return path
		}
		path = filepath.Dir(path)
	}
	return path
}

// makeDir makes dir and its missing parents; the account may pass through the parents, whatever the umask.
func (a *account) makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := a.makeDir(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if a == nil {
		return nil
	}
	return os.Chmod(dir, 0o755)
}

// currentUser is the name of the user we are; apt drops root for it, so that it can write where we can.
func currentUser() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "root"
}
