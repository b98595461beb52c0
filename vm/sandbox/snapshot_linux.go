package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
)

// snapshotFile describes the copy of a machine. The copy of its data directory is beside it.
const snapshotFile = "sandbox.json"

// snapshotFormat is the version of the copies that this program makes.
const snapshotFormat = 1

// sealed is the content of snapshotFile.
type sealed struct {
	Format int `json:"format"`
	// CRC32C is that of sumTree.
	CRC32C uint32 `json:"crc32c"`
	Bytes  int64  `json:"bytes"`
}

var _ driver.Snapshotter = (*Driver)(nil)

// Unpacker implements driver.Unpacker. It needs nothing of a driver.
type Unpacker struct{}

// SnapshotBytes returns the size of the machine's data directory.
func (d *Driver) SnapshotBytes(_ context.Context, name string) (int64, error) {
	if d.machines.Running(name) == nil {
		return 0, fmt.Errorf("copy machine %s: %w", name, driver.ErrNotFound)
	}
	return blocks(d.data(name)), nil
}

// Precopy copies the machine's data directory while it is in use.
func (d *Driver) Precopy(ctx context.Context, name, dir string) error {
	if d.machines.Running(name) == nil {
		return fmt.Errorf("copy machine %s: %w", name, driver.ErrNotFound)
	}
	// A page that a program has mapped changes the time of its file only with the first write
	// after the page was written to disk.
	if err := syncTree(d.data(name)); err != nil {
		return fmt.Errorf("copy machine %s: %w", name, err)
	}
	return d.copyData(ctx, name, dir)
}

func (d *Driver) copyData(ctx context.Context, name, dir string) error {
	d.mu.Lock()
	before := d.copies[dir]
	d.mu.Unlock()
	now, err := copyTree(ctx, d.data(name), filepath.Join(dir, "data"), before)
	if err != nil {
		return fmt.Errorf("copy machine %s: %w", name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.copies[dir] = now
	return nil
}

// Capture copies what has changed since.
func (d *Driver) Capture(ctx context.Context, name, dir string) error {
	if d.machines.Running(name) == nil {
		return fmt.Errorf("copy machine %s: %w", name, driver.ErrNotFound)
	}
	if d.machines.State(name, false) != machine.StatePaused {
		return fmt.Errorf("copy machine %s: it is not paused", name)
	}
	err := d.copyData(ctx, name, dir)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.copies, dir)
	return err
}

// Seal computes the checksum of the copy.
func (d *Driver) Seal(ctx context.Context, name, dir string) (machine.Snapshot, error) {
	sum, bytes, err := sumTree(ctx, filepath.Join(dir, "data"))
	if err == nil {
		err = syncTree(dir)
	}
	var content []byte
	if err == nil {
		content, err = json.Marshal(sealed{Format: snapshotFormat, CRC32C: sum, Bytes: bytes})
	}
	if err == nil {
		err = atomicfile.Write(filepath.Join(dir, snapshotFile), content, 0o600)
	}
	if err != nil {
		return machine.Snapshot{}, fmt.Errorf("copy machine %s: %w", name, err)
	}
	return machine.Snapshot{Bytes: bytes}, nil
}

// Unpack copies the copy of the data directory.
func (Unpacker) Unpack(ctx context.Context, name, dir, machines string, _ bool) error {
	content, err := os.ReadFile(filepath.Join(dir, snapshotFile))
	var want sealed
	if err == nil {
		err = json.Unmarshal(content, &want)
	}
	switch {
	case err != nil:
		return &driver.DamagedError{Reason: err.Error()}
	case want.Format != snapshotFormat:
		return &driver.DamagedError{Reason: fmt.Sprintf("the copy of %s was made by another version of skiff", name)}
	}
	sum, _, err := sumTree(ctx, filepath.Join(dir, "data"))
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return &driver.DamagedError{Reason: err.Error()}
	case sum != want.CRC32C:
		return &driver.DamagedError{Reason: "the checksum of the disk of " + name + " is wrong"}
	}
	target := filepath.Join(machines, name)
	if err := os.MkdirAll(target, 0o700); err != nil {
		return err
	}
	if _, err := copyTree(ctx, filepath.Join(dir, "data"), filepath.Join(target, "data"), copied{}); err != nil {
		return fmt.Errorf("restore machine %s: %w", name, err)
	}
	return syncTree(target)
}

// syncTree writes what the file system of a directory holds in memory to disk.
func syncTree(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(file.Fd())), file.Close())
}
