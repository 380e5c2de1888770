package testbed

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// errLocked is returned by TryLock when another process holds the lock.
var errLocked = errors.New("locked by another process")

// Lock takes the lock file path (flock) and waits for it as long as it takes. The kernel frees it when the process
// ends, however it ends. Call the returned function to free it.
func Lock(path string) (unlock func(), err error) { return lock(path, syscall.LOCK_EX) }

// tryLock is Lock without waiting: errLocked when another process holds it.
func tryLock(path string) (unlock func(), err error) {
	return lock(path, syscall.LOCK_EX|syscall.LOCK_NB)
}

func lock(path string, how int) (func(), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil {
		return func() { _ = f.Close() }, nil // closing frees it
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errLocked
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}
