package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/home"
)

// lockEvery is how often a lock that another process holds is tried again.
const lockEvery = 100 * time.Millisecond

// Lock waits until no other process has the store in dir open, and keeps others from
// opening it until release is called. A process that opens a store twice ends as if the
// store were damaged, and the one of a daemon that was killed takes a while to end.
func Lock(ctx context.Context, dir string, log *slog.Logger) (release func(), err error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, fmt.Errorf("lock the log store: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(filepath.Dir(dir), home.LogLock), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the log store: %w", err)
	}
	for waits := false; ; waits = true {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if errors.Is(err, unix.EWOULDBLOCK) {
			if !waits {
				log.Info("waiting for another process to close the log store")
			}
			err = pause.For(ctx, lockEvery)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock the log store: %w", err), file.Close())
		}
	}
}
