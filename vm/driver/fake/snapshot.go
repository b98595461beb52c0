package fake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
)

// copyFile holds the copy of a machine in its directory.
const copyFile = "fake.json"

// copied is the content of copyFile.
type copied struct {
	Disk   string
	Memory bool
	Spec   machine.Machine
	Time   time.Time
	Sealed bool
}

var _ driver.Snapshotter = (*Driver)(nil)

// SnapshotBytes returns the same size for all machines.
func (d *Driver) SnapshotBytes(_ context.Context, name string) (int64, error) {
	if _, err := d.process("copy", name); err != nil {
		return 0, err
	}
	return savedBytes, nil
}

// process returns the state of a machine that has a process.
func (d *Driver) process(call, name string) (*state, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.machines[name]
	if s == nil || !s.running() {
		return nil, fmt.Errorf("%s machine %s: %w", call, name, driver.ErrNotFound)
	}
	return s, nil
}

// Precopy copies the disk, which may change until Capture.
func (d *Driver) Precopy(ctx context.Context, name, dir string) error {
	if err := d.ask(ctx, "precopy", name); err != nil {
		return err
	}
	if _, err := d.process("copy", name); err != nil {
		return err
	}
	return write(dir, copied{Disk: d.Disk(name)})
}

// Capture copies the disk and, unless NoMemory is set, with what the machine was started.
func (d *Driver) Capture(ctx context.Context, name, dir string) error {
	if err := d.ask(ctx, "capture", name); err != nil {
		return err
	}
	s, err := d.process("copy", name)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !s.paused {
		return fmt.Errorf("copy machine %s: it is not paused", name)
	}
	c := copied{Disk: s.disk, Memory: d.NoMemory == nil, Spec: s.spec, Time: time.Now()}
	c.Spec.Seed = nil
	return write(dir, c)
}

// Seal marks the copy as complete.
func (d *Driver) Seal(ctx context.Context, name, dir string) (machine.Snapshot, error) {
	if err := d.ask(ctx, "seal", name); err != nil {
		return machine.Snapshot{}, err
	}
	c, err := read(dir)
	if err != nil {
		return machine.Snapshot{}, err
	}
	c.Sealed = true
	described := machine.Snapshot{Memory: c.Memory, Bytes: savedBytes}
	if d.NoMemory != nil && !errors.Is(d.NoMemory, errors.ErrUnsupported) {
		described.NoMemory = d.NoMemory.Error()
	}
	return described, write(dir, c)
}

// Unpack copies the copy, for Load.
func (d *Driver) Unpack(ctx context.Context, name, dir, machines string, memory bool) error {
	if err := d.ask(ctx, "unpack", name); err != nil {
		return err
	}
	c, err := read(dir)
	if err != nil {
		return &driver.DamagedError{Reason: err.Error()}
	}
	if !c.Sealed {
		return &driver.DamagedError{Reason: "it is not complete"}
	}
	c.Memory = c.Memory && memory
	target := filepath.Join(machines, name)
	if err := os.MkdirAll(target, 0o700); err != nil {
		return err
	}
	return write(target, c)
}

// Load replaces all machines by those that Unpack made below a directory, if there are any,
// as they would be in the files of a real driver.
func (d *Driver) Load(machines string) error {
	found, err := filepath.Glob(filepath.Join(machines, "*", copyFile))
	if err != nil || len(found) == 0 {
		return err
	}
	loaded := map[string]*state{}
	for _, path := range found {
		dir := filepath.Dir(path)
		c, err := read(dir)
		if err != nil {
			return err
		}
		s := &state{disk: c.Disk}
		if c.Memory {
			s.saved = &memory{spec: c.Spec, time: c.Time, disk: c.Disk}
		}
		loaded[filepath.Base(dir)] = s
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.machines = loaded
	return nil
}

func read(dir string) (c copied, err error) {
	content, err := os.ReadFile(filepath.Join(dir, copyFile))
	if err == nil {
		err = json.Unmarshal(content, &c)
	}
	return c, err
}

func write(dir string, c copied) error {
	content, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, copyFile), content, 0o600)
}
