package lima

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lima-vm/lima/v2/pkg/limatype/filenames"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/driver/saved"
	"github.com/skiff-dev/skiff/vm/machine"
)

// Names of the files in the directory of a copy, beside those of package saved.
const (
	snapshotFile = "lima.json"
	dataCopy     = "data"
	rootCopy     = "root"
)

// snapshotFormat is the version of the copies that this program makes.
const snapshotFormat = 1

// The memory of a running machine is copied again and again, until a pass has less than
// fewBytes to write, at most maxPasses times.
const (
	fewBytes  = 32 << 20
	maxPasses = 4
)

// copied is the content of snapshotFile.
type copied struct {
	Format int `json:"format"`
	// State is what saved.Manifest is for the machine that was copied; nil if the copy has no
	// memory. Its disks are those of the machine that was copied; Unpack replaces them.
	State *saved.Manifest `json:"state,omitempty"`
	// NoMemory says why, if the driver keeps the memory of other machines.
	NoMemory string `json:"noMemory,omitempty"`
	// Disks has the checksums of dataCopy and rootCopy.
	Disks map[string]saved.File `json:"disks"`
	// Sealed is set once all checksums are known.
	Sealed bool `json:"sealed"`
}

var _ driver.Snapshotter = (*Driver)(nil)

// NewUnpacker returns what makes machines that will be in the directory dir.
func NewUnpacker(dir string) driver.Unpacker { return &Driver{config: Config{Dir: dir}} }

// SnapshotBytes returns how much the machine's memory and disk take.
func (d *Driver) SnapshotBytes(ctx context.Context, name string) (int64, error) {
	if d.machines.Running(name) == nil {
		return 0, fmt.Errorf("copy machine %s: %w", name, driver.ErrNotFound)
	}
	bytes := blocks(filepath.Dir(d.disk(name)))
	if memory, err := d.CanSave(ctx, name); err == nil {
		bytes += memory
	}
	return bytes, nil
}

// Precopy copies the disk and the memory, both of which change meanwhile.
func (d *Driver) Precopy(ctx context.Context, name, dir string) error {
	if d.machines.Running(name) == nil {
		return fmt.Errorf("copy machine %s: %w", name, driver.ErrNotFound)
	}
	err := ctx.Err()
	for pass, written := 0, int64(fewBytes); err == nil && written >= fewBytes && pass < maxPasses; pass++ {
		written, err = d.copyParts(ctx, name, dir)
	}
	if err != nil {
		return fmt.Errorf("copy machine %s: %w", name, err)
	}
	return nil
}

// copyParts makes the copies of the disks and, if it can be kept, of the memory equal to those
// of the machine, and returns how many bytes it had to write.
func (d *Driver) copyParts(ctx context.Context, name, dir string) (written int64, err error) {
	for file, path := range d.copies(name) {
		bytes, err := copyDisk(ctx, filepath.Join(dir, file), path)
		if err != nil {
			return 0, err
		}
		written += bytes
	}
	if _, err := d.CanSave(ctx, name); err != nil {
		return written, nil //nolint:nilerr // a machine whose memory cannot be kept is copied without it
	}
	bytes, err := d.platform.(keeper).copyMemory(ctx, d.dir(name), dir)
	return written + bytes, err
}

// copies returns the disks of a machine by the names of their copies.
func (d *Driver) copies(name string) map[string]string {
	return map[string]string{dataCopy: d.disk(name), rootCopy: filepath.Join(d.dir(name), filenames.Disk)}
}

// copyDisk makes target what source is, and returns how many bytes it had to write.
func copyDisk(ctx context.Context, target, source string) (written int64, err error) {
	from, err := os.Open(source)
	if err != nil {
		return 0, err
	}
	defer func() { _ = from.Close() }()
	to, err := os.OpenFile(target, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return 0, err
	}
	if saved.Clone(to, from) {
		return 0, to.Close()
	}
	written, err = saved.Update(to, from, ctx.Err)
	return written, errors.Join(err, to.Close())
}

// Capture copies the state of the devices, and what has changed since Precopy.
func (d *Driver) Capture(ctx context.Context, name, dir string) error {
	if d.machines.Running(name) == nil {
		return fmt.Errorf("copy machine %s: %w", name, driver.ErrNotFound)
	}
	if d.machines.State(name, false) != machine.StatePaused || d.machines.Stalled(name) != "" {
		return fmt.Errorf("copy machine %s: it is not paused", name)
	}
	c := copied{Format: snapshotFormat, Disks: map[string]saved.File{}}
	err := ctx.Err()
	if err == nil {
		err = d.captureState(ctx, name, dir, &c)
	}
	if err == nil {
		// QEMU has written its caches.
		_, err = d.copyParts(ctx, name, dir)
	}
	if err == nil {
		err = c.write(dir)
	}
	if err != nil {
		return fmt.Errorf("copy machine %s: %w", name, err)
	}
	return nil
}

// captureState copies the state of the devices, unless the memory cannot be kept. QEMU finishes
// all work on memory and disks before that.
func (d *Driver) captureState(ctx context.Context, name, dir string, c *copied) error {
	if _, err := d.CanSave(ctx, name); err != nil {
		if !errors.Is(err, errors.ErrUnsupported) {
			c.NoMemory = err.Error()
		}
		return nil
	}
	k := d.platform.(keeper)
	state := saved.Manifest{Format: saved.Format, Time: time.Now().UTC()}
	var err error
	if state.Devices, err = k.copyDevices(ctx, d.dir(name), dir); err != nil {
		return err
	}
	if state.Origin, err = d.origin(d.spec(name)); err != nil {
		return err
	}
	state.Origin.Path, state.Origin.Arguments, err = k.process(d.dir(name))
	c.State = &state
	return err
}

// Seal computes the checksums of the copies.
func (d *Driver) Seal(ctx context.Context, name, dir string) (machine.Snapshot, error) {
	described, err := seal(ctx, dir)
	if err != nil {
		return machine.Snapshot{}, fmt.Errorf("copy machine %s: %w", name, err)
	}
	return described, nil
}

func seal(ctx context.Context, dir string) (machine.Snapshot, error) {
	c, err := readCopied(dir)
	if err != nil {
		return machine.Snapshot{}, err
	}
	for _, file := range []string{dataCopy, rootCopy} {
		if c.Disks[file], err = sumAndSync(ctx, filepath.Join(dir, file)); err != nil {
			return machine.Snapshot{}, err
		}
	}
	if c.State != nil {
		if c.State.Memory, err = saved.SumMemory(dir, ctx.Err); err != nil {
			return machine.Snapshot{}, err
		}
		if err := saved.Sync(dir); err != nil {
			return machine.Snapshot{}, err
		}
	}
	c.Sealed = true
	content, err := json.Marshal(c)
	if err == nil {
		err = atomicfile.Write(filepath.Join(dir, snapshotFile), content, 0o600)
	}
	if err != nil {
		return machine.Snapshot{}, err
	}
	return machine.Snapshot{Memory: c.State != nil, NoMemory: c.NoMemory, Bytes: blocks(dir)}, nil
}

func sumAndSync(ctx context.Context, path string) (sum saved.File, err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return sum, err
	}
	sum, err = saved.Sum(file, ctx.Err)
	if err == nil {
		err = file.Sync()
	}
	return sum, errors.Join(err, file.Close())
}

// Unpack copies the disks. Memory and devices become files with two names, because a machine
// only reads them.
func (d *Driver) Unpack(ctx context.Context, name, dir, machines string, memory bool) error {
	c, err := readCopied(dir)
	switch {
	case err != nil:
		return &driver.DamagedError{Reason: err.Error()}
	case c.Format != snapshotFormat:
		return &driver.DamagedError{Reason: fmt.Sprintf("the copy of %s was made by another version of skiff", name)}
	case !c.Sealed:
		return &driver.DamagedError{Reason: fmt.Sprintf("the copy of %s is not complete", name)}
	}
	there := &Driver{config: Config{Dir: machines}}
	for file, path := range there.copies(name) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := unpackDisk(ctx, path, filepath.Join(dir, file), c.Disks[file]); err != nil {
			return err
		}
	}
	if c.State == nil || !memory {
		return nil
	}
	return d.unpackState(name, dir, there, *c.State)
}

// unpackState makes the machine, whose disks are there, a saved one.
func (d *Driver) unpackState(name, dir string, there *Driver, state saved.Manifest) error {
	// The machines' directory will have the name of this driver's.
	here, copies := d.copies(name), there.copies(name)
	state.Origin = d.moved(name, state.Origin)
	state.Origin.Disks = nil
	for _, file := range []string{dataCopy, rootCopy} { // in the order of origin
		disk, err := saved.Stat(copies[file])
		if err != nil {
			return err
		}
		disk.Path = here[file]
		state.Origin.Disks = append(state.Origin.Disks, disk)
	}
	if err := saved.Link(dir, there.dir(name)); err != nil {
		return err
	}
	return saved.Commit(there.dir(name), state)
}

// moved returns the origin of a machine that was copied as that of this driver's machine. The
// arguments have the paths of the cluster's files, beside the directory of machines.
func (d *Driver) moved(name string, origin saved.Origin) saved.Origin {
	within, err := filepath.Rel(d.config.Dir, d.disk(name))
	if err != nil || len(origin.Disks) == 0 {
		return origin
	}
	was, ok := strings.CutSuffix(origin.Disks[0].Path, "/"+within)
	if !ok {
		return origin
	}
	return origin.Moved(filepath.Dir(was), filepath.Dir(d.config.Dir))
}

// unpackDisk copies the copy of a disk, which must have the checksum.
func unpackDisk(ctx context.Context, target, source string, want saved.File) error {
	from, err := os.Open(source)
	if err != nil {
		return &driver.DamagedError{Reason: err.Error()}
	}
	defer func() { _ = from.Close() }()
	to, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	var sum saved.File
	if saved.Clone(to, from) {
		sum, err = saved.Sum(to, ctx.Err)
	} else {
		sum, err = saved.Copy(to, from, ctx.Err)
	}
	if err == nil && sum != want {
		err = &driver.DamagedError{Reason: "the checksum of a disk is wrong"}
	}
	if err == nil {
		err = to.Sync()
	}
	return errors.Join(err, to.Close(), atomicfile.SyncDir(filepath.Dir(target)))
}

// write writes c without a sync, because the machine is paused.
func (c copied) write(dir string) error {
	content, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, snapshotFile), content, 0o600)
}

func readCopied(dir string) (c copied, err error) {
	content, err := os.ReadFile(filepath.Join(dir, snapshotFile))
	if err == nil {
		err = json.Unmarshal(content, &c)
	}
	return c, err
}
