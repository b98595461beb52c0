package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// fault is one way to break a member. What it does is over when do returns, or
// is mended by arena.heal.
type fault struct {
	name string
	do   func(ctx context.Context, a *arena, victim int) error
}

// How long a fault lasts: longer than a leader keeps its office.
const (
	down    = 3 * time.Second
	asleep  = 6 * time.Second
	cutOff  = 8 * time.Second
	diskFor = 5 * time.Second
)

var faults = []fault{
	{"killed", func(ctx context.Context, a *arena, v int) error {
		a.all[v].kill()
		return pause(ctx, down)
	}},
	{"stopped well", func(ctx context.Context, a *arena, v int) error {
		a.all[v].signal(syscall.SIGTERM)
		return pause(ctx, down)
	}},
	{"asleep", func(ctx context.Context, a *arena, v int) error {
		a.all[v].signal(syscall.SIGSTOP)
		defer a.all[v].signal(syscall.SIGCONT)
		return pause(ctx, asleep)
	}},
	{"cut off", func(ctx context.Context, _ *arena, v int) (err error) {
		if err := ip("-n " + hub + " link set " + link(v) + " down"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, ip("-n "+hub+" link set "+link(v)+" up")) }()
		return pause(ctx, cutOff)
	}},
	{"out of disk", func(ctx context.Context, a *arena, v int) error {
		filler := filepath.Join(a.all[v].dir, "state", "filler")
		defer os.Remove(filler)
		if err := fill(filler); err != nil {
			return err
		}
		return pause(ctx, diskFor)
	}},
	{"killed with all others", func(ctx context.Context, a *arena, _ int) error {
		for _, m := range a.all {
			m.kill()
		}
		return pause(ctx, time.Second)
	}},
}

// fill takes all that is left of a disk.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("fill a disk: %w", err)
	}
	defer f.Close()
	chunk := make([]byte, 1<<20)
	for {
		if _, err := f.Write(chunk); errors.Is(err, syscall.ENOSPC) {
			return nil
		} else if err != nil {
			return fmt.Errorf("fill a disk: %w", err)
		}
	}
}
