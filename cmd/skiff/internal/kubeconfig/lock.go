package kubeconfig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

const (
	lockPatience = 10 * time.Second
	lockInterval = 50 * time.Millisecond
	// lockMark distinguishes our lock files from kubectl's, which are empty.
	lockMark = "skiff\n"
)

// lock keeps other programs from changing the file at path. It takes two locks. The
// first is flock(2) on the directory: it ends with the process and leaves no file.
// The second is that of kubectl, a file path+".lock" that must not exist (lockFile in
// client-go's tools/clientcmd), which a killed process leaves behind. If the first
// lock is ours, a lock file with our mark is such a leftover.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("lock the kubeconfig: %w", err)
	}
	err = retry(ctx, func() error { return syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }, syscall.EWOULDBLOCK)
	if err != nil {
		dir.Close()
		return nil, fmt.Errorf("lock %s: another skiff is changing a kubeconfig there: %w", filepath.Dir(path), err)
	}
	name := path + ".lock"
	if content, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(content), lockMark) {
		os.Remove(name)
	}
	if err := retry(ctx, func() error { return create(name) }, os.ErrExist); err != nil {
		dir.Close()
		if errors.Is(err, os.ErrExist) {
			return nil, &daemonapi.Failure{
				Cause: fmt.Sprintf("%s exists: another program is changing the kubeconfig", name),
				Hint:  "if no other program is running, remove that file and try again",
			}
		}
		return nil, fmt.Errorf("lock the kubeconfig: %w", err)
	}
	return func() {
		os.Remove(name)
		dir.Close()
	}, nil
}

func create(name string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(lockMark)
	return errors.Join(err, f.Close())
}

// retry calls try until it returns something other than busy, or until ctx ends.
func retry(ctx context.Context, try func() error, busy error) error {
	for {
		err := try()
		if !errors.Is(err, busy) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(lockInterval):
		}
	}
}
