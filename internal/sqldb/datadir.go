package sqldb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// DirLock holds a data directory for this process.
type DirLock struct{ file *os.File }

// ErrInUse says that another process has locked the data directory.
var ErrInUse = errors.New("in use by another gatehouse process")

// LockDir makes the data directory with mode 0700, or narrows its mode to that, and locks it. The lock
// goes with the process, however it ends. Two gateways on one directory would both write its JetStream
// store, which nothing else prevents.
func LockDir(dir string) (*DirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("closing the data directory to others: %w", err)
	}
	return LockMade(dir)
}

// LockMade locks a data directory that is there already, and leaves its mode alone.
func LockMade(dir string) (*DirLock, error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the data directory: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %s is %w", dir, ErrInUse)
		}
		return nil, fmt.Errorf("locking the data directory: %w", err)
	}
	return &DirLock{file: file}, nil
}

// Unlock lets the directory go.
func (l *DirLock) Unlock() error { return l.file.Close() }
