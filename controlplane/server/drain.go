package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	// drainLinger is how long clients find out that the API server is about to stop
	// while it still serves them.
	drainLinger = time.Second
	// drainedLimit is how long a control plane serves nobody: within that its member
	// is to have left etcd, and its machine is to end.
	drainedLimit = 2 * time.Minute
	// drainPoll is how often whoever asked for it looks.
	drainPoll = 20 * time.Millisecond
)

// errStays ends Run, so that whoever supervises this process starts it again.
var errStays = fmt.Errorf("drained %s ago, and still there", drainedLimit)

// drainFile is there from the moment that draining is asked for until it is done.
// What is in PrivateDir does not survive the machine.
func (s Settings) drainFile() string { return filepath.Join(s.PrivateDir, "drain") }

// Drain has the control plane of s, which is another process, serve nobody any
// more, and returns when that is so: leases are given back, requests have ended, and
// clients connect elsewhere. Its member of etcd goes on, since the others may not
// be a majority without it. A control plane that is still there two minutes later
// starts again. It is an error if the draining takes until ctx ends; nothing is
// asked for then.
func (s Settings) Drain(ctx context.Context) error {
	if err := os.WriteFile(s.drainFile(), nil, 0o600); err != nil {
		return fmt.Errorf("drain the control plane: %w", err)
	}
	for {
		if _, err := os.Stat(s.drainFile()); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("drain the control plane: %w", context.Cause(ctx)), drained(s.drainFile()))
		case <-time.After(drainPoll):
		}
	}
}

// drain calls letGo when draining is asked for, and fails if nothing has come of
// it.
func (r *run) drain(ctx context.Context, letGo func()) error {
	file := r.settings.drainFile()
	// Asked of a process that has died meanwhile.
	if err := drained(file); err != nil {
		return err
	}
	asked, err := watchRequests([]string{file})
	if err != nil {
		return err
	}
	defer asked.close()
	if err := asked.next(ctx); !errors.Is(err, ErrRequested) {
		return err
	}
	letGo()
	r.phase("drained")
	ctx, cancel := context.WithTimeout(ctx, drainedLimit)
	defer cancel()
	for {
		if err := drained(file); err != nil {
			return err
		}
		if err := asked.next(ctx); !errors.Is(err, ErrRequested) {
			return errors.Join(err, errStays)
		}
	}
}

// drained tells whoever waits for it.
func drained(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("end the draining: %w", err)
	}
	return nil
}
