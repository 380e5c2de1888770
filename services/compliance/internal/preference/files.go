package preference

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/onlinesms/onlinesms/services/internal/errs"
)

// The manners of files: mode 0600 in a directory of mode 0700, written beside and renamed into place, file and directory
// synced. A process that dies at any instant leaves the file in force as it was, and litter that the next writer removes.

const partSuffix = ".part"

// prepare makes the directory, takes name in it for this process and removes what a dead writer left. A journal has one
// writer: a second process needs a directory of its own.
func prepare(dir, name string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil { // one that was there may be open to others
		return nil, err
	}
	path := filepath.Join(dir, name)
	unlock, err = lock(path + ".owner")
	if err != nil {
		return nil, fmt.Errorf("%s is in use by another process: %w", dir, err)
	}
	if err := os.Remove(path + partSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(err, unlock())
	}
	return unlock, nil
}

// writing runs write on a new file, which it is to commit. One at a time.
func writing(path string, write func(*os.File) error) (err error) {
	unlock, err := lock(path + ".lock")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	f, err := create(path)
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err == nil {
			return
		}
		if e := os.Remove(f.Name()); !errors.Is(e, os.ErrNotExist) { // committed, and then not taken into force
			err = errors.Join(err, e)
		}
	}()
	return write(f)
}

// create makes the file that is to become path, over what a dead writer left.
func create(path string) (*os.File, error) {
	return os.OpenFile(path+partSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
}

// commit puts a synced file in its place.
func commit(path string) error {
	if err := os.Rename(path+partSuffix, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// lock takes a lock file; the kernel frees it when the process dies.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		err = errors.Join(err, f.Close())
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errs.E(errs.Unavailable, ReasonImportRunning, "Another import is under way; try again when it has ended.", err)
		}
		return nil, err
	}
	return f.Close, nil
}

// sweep removes journals of files that are no longer in force.
func sweep(dir, prefix, keep string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var all error
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, prefix) && strings.HasSuffix(name, ".journal") && name != keep {
			all = errors.Join(all, os.Remove(filepath.Join(dir, name)))
		}
	}
	return all
}

// damaged is a file that cannot be used: for the operator, who has to import again or copy it from another replica.
func damaged(path string, err error) error {
	return errs.E(errs.Internal, "PREFERENCE_FILE_DAMAGED", "The preference file cannot be used; import it again.",
		fmt.Errorf("%s: %w", filepath.Base(path), err))
}
