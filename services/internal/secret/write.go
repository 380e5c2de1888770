package secret

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// Create writes a new file, mode 0600; one that is there is an error (fs.ErrExist) and stays.
func Create(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Sync(), file.Close())
}

// Replace puts text into the place of a file in one step: readers see the old content or the new. Its mode and
// owner stay; a new file gets 0600.
func Replace(path string, text []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name()) // the first error counts
		}
	}()
	var kept error
	if info, err := os.Stat(path); err == nil {
		kept = file.Chmod(info.Mode().Perm())
		if owner, ok := info.Sys().(*syscall.Stat_t); ok {
			kept = errors.Join(kept, file.Chown(int(owner.Uid), int(owner.Gid)))
		}
	}
	_, err = file.Write(text)
	if err = errors.Join(kept, err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
