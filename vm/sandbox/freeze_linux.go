package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// freezeWait is how long the programs of a machine may take to freeze: one that
// waits for a disk freezes when the disk has answered.
const freezeWait = 20 * time.Second

// freezePoll is how often a group that is freezing is looked at.
const freezePoll = 2 * time.Millisecond

// freezer describes how a version of cgroups freezes a group and all groups below.
type freezer struct {
	// freeze or thaw is written to file. Then read has the line frozen
	// (freezer-subsystem.rst; cgroup-v2.rst, cgroup.freeze).
	file, freeze, thaw string
	read, frozen       string
}

var (
	freezerFirst  = freezer{file: "freezer.state", freeze: "FROZEN", thaw: "THAWED", read: "freezer.state", frozen: "FROZEN"}
	freezerSecond = freezer{file: "cgroup.freeze", freeze: "1", thaw: "0", read: "cgroup.events", frozen: "frozen 1"}
)

// freezer returns what freezes the group of a machine (the group of all machines if
// name is empty), and that group. The error is errors.ErrUnsupported if this host
// has no freezer.
func (g groups) freezer(name string) (f freezer, dir string, err error) {
	for _, h := range g.hierarchies {
		switch {
		case h.second():
			f = freezerSecond
		case slices.Contains(h.controllers, "freezer"):
			f = freezerFirst
		default:
			continue
		}
		return f, filepath.Join(h.mount, g.name, name), nil
	}
	return f, "", fmt.Errorf("%w: the cgroups of this host have no freezer; use \"skiff stop\", which keeps the disks", errors.ErrUnsupported)
}

// freeze suspends all programs of a machine and returns when none runs any more. If
// it fails, they continue.
func (g groups) freeze(ctx context.Context, name string) error {
	f, dir, err := g.freezer(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, freezeWait)
	defer cancel()
	err = f.await(ctx, dir)
	if err == nil || errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return errors.Join(err, f.write(dir, f.thaw))
}

// await writes until the group is frozen: a process that was just started may need
// another write.
func (f freezer) await(ctx context.Context, dir string) error {
	err := wait.PollUntilContextCancel(ctx, freezePoll, true, func(ctx context.Context) (bool, error) {
		if ctx.Err() != nil { // the first look does not wait for anything
			return false, ctx.Err()
		}
		if err := f.write(dir, f.freeze); err != nil {
			return false, err
		}
		content, err := os.ReadFile(filepath.Join(dir, f.read))
		return slices.Contains(strings.Split(string(content), "\n"), f.frozen), err
	})
	if err != nil {
		return fmt.Errorf("freeze the cgroup: %w", err)
	}
	return nil
}

// thaw lets all programs of a machine continue.
func (g groups) thaw(name string) error {
	f, dir, err := g.freezer(name)
	if err != nil {
		return err
	}
	return f.write(dir, f.thaw)
}

// release kills all programs of a machine (of all machines if name is empty),
// including frozen ones, which in cgroups of version 1 do not die as long as they
// are frozen. It does nothing if there are none.
func (g groups) release(name string) {
	f, dir, err := g.freezer(name)
	if err != nil {
		return
	}
	for _, group := range below(dir) {
		kill(group)
		_ = f.write(group, f.thaw)
	}
}

func (f freezer) write(dir, value string) error {
	file, err := os.OpenFile(filepath.Join(dir, f.file), os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) && exists(dir) {
		return fmt.Errorf("%w: this kernel cannot freeze cgroups (%s is missing); use \"skiff stop\", which keeps the disks", errors.ErrUnsupported, f.file)
	}
	if err != nil {
		return fmt.Errorf("write to the cgroup's freezer: %w", err)
	}
	_, err = file.WriteString(value)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write to the cgroup's freezer: %w", err)
	}
	return nil
}
