package home

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ErrLocked reports that another process holds a lock.
var ErrLocked = errors.New("another process is working on it")

// Lock is held by the only process that may change the files of a cluster or of the
// registry, or that serves the web entry. The kernel releases it when the process
// ends, for whatever reason.
type Lock struct{ file *os.File }

// Acquire takes the cluster's lock and creates its directory if it is missing. The
// error wraps ErrLocked if another process holds the lock.
func (c Cluster) Acquire() (*Lock, error) {
	lock, err := acquire(string(c), c.Lock())
	if err != nil {
		return nil, fmt.Errorf("lock the cluster: %w", err)
	}
	return lock, nil
}

// AcquireSnapshots takes the lock of the cluster's snapshots, which exists beside that of the
// cluster because snapshots are also removed while a daemon runs. The error wraps ErrLocked if
// another process holds the lock.
func (c Cluster) AcquireSnapshots() (*Lock, error) {
	lock, err := acquire(string(c), c.join("snapshots.lock"))
	if err != nil {
		return nil, fmt.Errorf("lock the cluster's snapshots: %w", err)
	}
	return lock, nil
}

// ShareSnapshots takes the lock of the cluster's snapshots for reading, which several processes
// can do. The error wraps ErrLocked if another process changes them.
func (c Cluster) ShareSnapshots() (*Lock, error) {
	lock, err := take(string(c), c.join("snapshots.lock"), unix.LOCK_SH)
	if err != nil {
		return nil, fmt.Errorf("lock the cluster's snapshots: %w", err)
	}
	return lock, nil
}

// acquire takes the lock file at path in the directory dir, which is created if it
// is missing.
func acquire(dir, path string) (*Lock, error) {
	lock, err := take(dir, path, unix.LOCK_EX)
	if err == nil {
		// The content is for Holder only; the lock does not depend on it.
		_ = lock.file.Truncate(0)
		_, _ = lock.file.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	}
	return lock, err
}

func take(dir, path string, how int) (*Lock, error) {
	for {
		if err := create(dir); err != nil {
			return nil, err
		}
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
		if errors.Is(err, os.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(file.Fd()), how|unix.LOCK_NB); err != nil {
			_ = file.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, ErrLocked
			}
			return nil, err
		}
		if same(file, path) {
			return &Lock{file}, nil
		}
		// The previous holder removed the directory, and with it this lock file.
		_ = file.Close()
	}
}

// Held reports whether a process holds the cluster's lock. It creates nothing.
func (c Cluster) Held() bool { return held(c.Lock()) }

func held(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	return errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// Holder returns the process that took the cluster's lock last, 0 if it is not
// known.
func (c Cluster) Holder() int {
	content, err := os.ReadFile(c.Lock())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(string(content))
	if err != nil {
		return 0
	}
	return pid
}

// Release releases the lock.
func (l *Lock) Release() error { return l.file.Close() }

func same(file *os.File, path string) bool {
	a, err := file.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}
