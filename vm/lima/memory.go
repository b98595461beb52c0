package lima

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/lima-vm/lima/v2/pkg/limatype/filenames"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/driver/process"
	"github.com/skiff-dev/skiff/vm/driver/saved"
	"github.com/skiff-dev/skiff/vm/machine"
)

// incomingFile in a machine's directory lets QEMU's wrapper start it without memory, which
// Wake then loads.
const incomingFile = "incoming"

// keeper is implemented by platforms that can keep the memory of machines on disk.
type keeper interface {
	// allocated returns how much memory the machine in dir has used, in bytes.
	allocated(dir string) (int64, error)
	// process returns the executable and the arguments of the machine in dir.
	process(dir string) (path string, arguments []string, err error)
	// save writes the memory and the devices of the paused machine in dir to its files.
	save(ctx context.Context, dir string) (memory, devices saved.File, err error)
	// load gives them to a machine that was started without memory. It is paused then.
	load(ctx context.Context, dir string, m saved.Manifest) error
	// copyMemory makes the memory in the directory target that of the machine in dir, which
	// may run, and returns how many bytes it had to write.
	copyMemory(ctx context.Context, dir, target string) (written int64, err error)
	// copyDevices writes the state of the devices of the paused machine in dir to target.
	copyDevices(ctx context.Context, dir, target string) (saved.File, error)
	// linkRoot gives the disk of a machine at path, which was copied, the root that it is
	// based on.
	linkRoot(root, path string) error
}

// errNoSave is the error of platforms that are not keepers.
var errNoSave = fmt.Errorf("%w: the memory of machines can be kept only with QEMU on Linux", errors.ErrUnsupported)

// CanSave returns how many bytes of memory the machine has used.
func (d *Driver) CanSave(_ context.Context, name string) (int64, error) {
	k, ok := d.platform.(keeper)
	if !ok {
		return 0, errNoSave
	}
	if d.machines.Running(name) == nil {
		return 0, fmt.Errorf("machine %s: %w", name, driver.ErrNotFound)
	}
	if reason := d.machines.Stalled(name); reason != "" {
		return 0, fmt.Errorf("%s is halted: %s", name, reason)
	}
	if len(d.spec(name).Folders) > 0 {
		return 0, fmt.Errorf("%s shares folders with this host", name)
	}
	bytes, err := k.allocated(d.dir(name))
	if err != nil {
		return 0, fmt.Errorf("the memory of %s: %w", name, err)
	}
	return bytes, nil
}

// Save writes the memory and the devices of a paused machine to disk.
func (d *Driver) Save(ctx context.Context, name string) error {
	if _, err := d.CanSave(ctx, name); err != nil {
		return fmt.Errorf("save machine %s: %w", name, err)
	}
	if d.machines.State(name, false) != machine.StatePaused {
		return fmt.Errorf("save machine %s: it is not paused", name)
	}
	if saved.Exists(d.dir(name)) {
		return ctx.Err() // by an earlier call: the machine has not run since
	}
	if err := saved.Discard(d.dir(name)); err != nil {
		return fmt.Errorf("save machine %s: %w", name, err)
	}
	if err := d.save(ctx, d.platform.(keeper), name); err != nil {
		return fmt.Errorf("save machine %s: %w", name, errors.Join(err, saved.Discard(d.dir(name))))
	}
	return nil
}

func (d *Driver) save(ctx context.Context, k keeper, name string) error {
	dir := d.dir(name)
	manifest := saved.Manifest{Format: saved.Format, Time: time.Now().UTC()}
	var err error
	if manifest.Memory, manifest.Devices, err = k.save(ctx, dir); err != nil {
		return err
	}
	// QEMU has written its caches and has given its disks up.
	if manifest.Origin, err = d.origin(d.spec(name)); err != nil {
		return err
	}
	if manifest.Origin.Path, manifest.Origin.Arguments, err = k.process(dir); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return saved.Commit(dir, manifest)
}

// origin returns what the state of a machine depends on, as far as that is known before its
// process runs.
func (d *Driver) origin(m machine.Machine) (saved.Origin, error) {
	accel := d.accelerated(m.Image.Arch)
	origin := saved.Origin{
		Program: accel.Program, Hypervisor: accel.Hypervisor,
		CPUs: m.CPUs, MemoryMiB: m.MemoryMiB,
		Image: m.Image.Digest, Kernel: m.Image.KernelDigest, Settings: m.Settings,
	}
	if !accel.Emulated() {
		origin.HostCPU = hostCPU()
	}
	for _, path := range []string{d.disk(m.Name), filepath.Join(d.dir(m.Name), filenames.Disk)} {
		disk, err := saved.Stat(path)
		if err != nil {
			return origin, err
		}
		origin.Disks = append(origin.Disks, disk)
	}
	return origin, nil
}

// Saved describes the saved memory of a machine.
func (d *Driver) Saved(name string) (machine.Saved, error) {
	if d.machines.Running(name) != nil {
		return machine.Saved{}, fmt.Errorf("saved memory of machine %s: %w", name, driver.ErrNotFound)
	}
	described, err := saved.Describe(d.dir(name))
	if errors.Is(err, fs.ErrNotExist) {
		return described, fmt.Errorf("saved memory of machine %s: %w", name, driver.ErrNotFound)
	}
	return described, err
}

// Discard removes the saved memory of a machine.
func (d *Driver) Discard(_ context.Context, name string) error { return saved.Discard(d.dir(name)) }

// Wake starts a saved machine where Save left it.
func (d *Driver) Wake(ctx context.Context, m machine.Machine) error {
	dir := d.dir(m.Name)
	if d.machines.Running(m.Name) != nil || !exists(d.disk(m.Name)) || !saved.Exists(dir) {
		return fmt.Errorf("wake machine %s: %w", m.Name, driver.ErrNotFound)
	}
	p, err := d.wake(ctx, m)
	switch {
	case ctx.Err() != nil:
		return errors.Join(err, ctx.Err())
	case err != nil:
		return &driver.UnusableError{Reason: err.Error()}
	}
	d.add(m, p)
	return nil
}

func (d *Driver) wake(ctx context.Context, m machine.Machine) (*process.Process, error) {
	k, ok := d.platform.(keeper)
	if !ok {
		return nil, errNoSave
	}
	dir := d.dir(m.Name)
	manifest, err := saved.Read(dir)
	if err != nil {
		return nil, err
	}
	if _, err := d.accelerate(ctx, m.Image.Arch); err != nil {
		return nil, err
	}
	origin, err := d.origin(m)
	if err != nil {
		return nil, err
	}
	if m.Inherited != "" && manifest.Origin.Settings == m.Inherited {
		origin.Settings = m.Inherited
	}
	if reason := saved.Mismatch(manifest.Origin, origin); reason != "" {
		return nil, errors.New(reason)
	}
	if err := d.prepareWake(k, m); err != nil {
		return nil, err
	}
	p, err := d.run(ctx, m)
	if err != nil {
		return nil, err
	}
	if err := d.load(ctx, k, dir, manifest, p); err != nil {
		p.Kill()
		return nil, err
	}
	return p, nil
}

// prepareWake changes the files of a saved machine for its start. Its disks stay what they
// are.
func (d *Driver) prepareWake(k keeper, m machine.Machine) error {
	dir := d.dir(m.Name)
	seed := filepath.Join(dir, filenames.CIDataISO)
	if !exists(seed) { // it was unpacked from a snapshot
		if err := errors.Join(d.writeBoot(m), k.linkRoot(m.Image.Root, filepath.Join(dir, filenames.Disk))); err != nil {
			return err
		}
	}
	if err := overwrite(seed, m.Seed); err != nil {
		return err
	}
	for _, leftover := range []string{filenames.PIDFile(d.platform.vmType()), qemuLog} {
		if err := remove(filepath.Join(dir, leftover)); err != nil {
			return err
		}
	}
	return atomicfile.Write(filepath.Join(dir, incomingFile), nil, 0o600)
}

// load fills a machine that was started without memory and lets it continue. The saved
// state ends before the guest runs.
func (d *Driver) load(ctx context.Context, k keeper, dir string, manifest saved.Manifest, p *process.Process) error {
	var is saved.Origin
	var err error
	if is.Path, is.Arguments, err = k.process(dir); err != nil {
		return err
	}
	if reason := saved.MismatchOfProcess(manifest.Origin, is); reason != "" {
		return errors.New(reason)
	}
	if err := untilEnd(ctx, p, func(ctx context.Context) error { return k.load(ctx, dir, manifest) }); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := saved.Consume(dir); err != nil {
		return err
	}
	if err := d.platform.resume(context.WithoutCancel(ctx), dir); err != nil {
		return err
	}
	if err := saved.Discard(dir); err != nil {
		d.config.Log.Warn("cannot remove memory that was used", "machine", filepath.Base(dir), "error", err)
	}
	return nil
}

// untilEnd calls do with a context that ends with ctx or with the process. If the process has
// ended, the error is how.
func untilEnd(ctx context.Context, p *process.Process, do func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	returned := make(chan struct{})
	defer close(returned)
	go func() {
		select {
		case <-p.Done():
			cancel()
		case <-returned:
		}
	}()
	err := do(ctx)
	select {
	case <-p.Done():
		return fmt.Errorf("the process ended: %w", exit(p))
	default:
		return err
	}
}
