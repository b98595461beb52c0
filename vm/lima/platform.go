package lima

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	limadriver "github.com/lima-vm/lima/v2/pkg/driver"
	"github.com/lima-vm/lima/v2/pkg/driver/qemu"
	"github.com/lima-vm/lima/v2/pkg/limatype"
	"github.com/lima-vm/lima/v2/pkg/limatype/filenames"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
)

// platform is what differs between Lima's drivers.
type platform interface {
	vmType() limatype.VMType
	// createDisk creates the machine's own sparse disk if there is none.
	createDisk(ctx context.Context, path string, sizeMiB int) error
	// growDisk enlarges that disk of the machine in dir, which may be running. It returns
	// errors.ErrUnsupported if the platform cannot do that to a running machine.
	growDisk(ctx context.Context, dir, path string, sizeMiB int, running bool) error
	// createRoot creates a disk with the content of root, which is shared and
	// read-only.
	createRoot(ctx context.Context, root, path string) error
	networks(socket, mac string) []limatype.Network
	configure(ctx context.Context, inst *limatype.Instance) (limadriver.Driver, error)
	// wait returns when the machine has ended. The end of ctx ends it.
	wait(ctx context.Context, lima limadriver.Driver, ended <-chan error) error
	// pause freezes the running machine in dir, resume lets it continue. pause
	// returns errors.ErrUnsupported if the platform cannot.
	pause(ctx context.Context, dir string) error
	resume(ctx context.Context, dir string) error
	// share lets a machine that is about to start mount the folders. Its result must
	// be closed when the machine has ended.
	share(ctx context.Context, inst *limatype.Instance, folders []machine.Folder) (io.Closer, error)
	// attach opens what a machine in dir connects to when it starts. Its result
	// must be closed when the machine has ended.
	attach(dir string) (io.Closer, error)
	// follow reports to s when the machine in dir stops and continues by itself,
	// until it ends or ctx does.
	follow(ctx context.Context, dir string, s stalls) error
	// usage returns the proportional set size of the machine and its CPU time; 0 if
	// they are unknown.
	usage(dir string) (memoryMiB int, cpu time.Duration)
}

// qemuPlatform runs machines as QEMU processes.
type qemuPlatform struct{}

// environment makes Lima start this program as QEMU, with the acceleration that the
// probe found.
func environment(ctx context.Context, config Config, accel Acceleration) error {
	for name, value := range map[string]string{"LIMA_HOME": config.Dir, envDaemon: fmt.Sprint(os.Getpid())} {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return useQEMU(ctx, config, config.Image.Arch, accel)
}

// useQEMU makes Lima start this program as the QEMU of an architecture.
func useQEMU(ctx context.Context, config Config, arch string, accel Acceleration) error {
	link := filepath.Join(config.Dir, "_bin", qemuName(arch))
	if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
		return err
	}
	if err := remove(link); err != nil {
		return err
	}
	if err := os.Symlink(config.Executable, link); err != nil {
		return err
	}
	command := "'" + strings.ReplaceAll(link, "'", `'\''`) + "'"
	if accel.Emulated() {
		command += " " + strings.Join(emulation(arch), " ")
	}
	if canConfine(ctx, arch) {
		command += " " + strings.Join(confinement, " ")
	}
	name := "QEMU_SYSTEM_" + strings.ToUpper(limatype.NewArch(arch))
	if err := os.Setenv(name, command); err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	return nil
}

// confinement are QEMU's arguments for its seccomp filter: a fault in a device
// must not give a guest the whole account of the user. QEMU may then not start
// programs, change its user, or change its limits.
var confinement = []string{"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"}

// canConfine reports whether QEMU was built with seccomp, which it is not on
// macOS.
func canConfine(ctx context.Context, arch string) bool {
	return exec.CommandContext(ctx, qemuName(arch), append(slices.Clone(confinement), "-version")...).Run() == nil
}

func qemuName(arch string) string { return "qemu-system-" + limatype.NewArch(arch) }

// emulation returns QEMU's arguments where no hypervisor works. The translated code
// of a starting control plane needs 700 MiB, that of a worker 260, and only the
// used part takes memory. With a smaller buffer QEMU discards all code when it is
// full and translates it again.
func emulation(arch string) []string {
	board, cpu := "q35,vmport=off", "max,-la57" // a fifth level of page tables costs time in software
	if arch == "arm64" {
		// The kernel authenticates a pointer in each call, which costs five times as long as all
		// else in software (docs/decisions/0021-architectures.md). No node needs wide vectors.
		board, cpu = "virt", "max,pauth=off,sve=off"
	}
	return []string{"-machine", board, "-accel", "tcg,thread=multi,tb-size=1024", "-cpu", cpu}
}

// emulatedParameters returns kernel parameters for machines without a hypervisor.
// Each avoids something that QEMU's translator does slowly (figures:
// docs/decisions/0001-emulation.md):
//   - the kernel does not trust the TSC of two unknown CPUs and would read the HPET
//     instead, which leaves translated code each time; QEMU gives all CPUs the
//     host's clock, whose frequency is measured here (tscKHz);
//   - no CPU speculates here, so mitigations only cost time;
//   - string instructions are translated to one iteration per byte or word; without
//     them the kernel copies and clears in unrolled loops;
//   - pages would be cleared both when they are allocated and when a process gets
//     them.
func emulatedParameters(arch string) string {
	if arch != "amd64" {
		return "mitigations=off init_on_alloc=0"
	}
	parameters := "tsc=reliable mitigations=off clearcpuid=erms,rep_good init_on_alloc=0"
	if khz := tscKHz(); khz > 0 {
		parameters += fmt.Sprintf(" %s%d", tscParameter, khz)
	}
	return parameters
}

// tscParameter begins the kernel parameter for the frequency of the time stamp counter.
const tscParameter = "tsc_early_khz="

// Available returns driver.ErrUnavailable, with what to install, if this host lacks
// a program that machines of arch need.
func Available(arch string) error {
	if !needsQEMU() {
		return nil
	}
	for _, program := range []string{qemuName(arch), "qemu-img"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: %s is not installed; %s", driver.ErrUnavailable, program, installHint(arch))
		}
	}
	return nil
}

func (qemuPlatform) vmType() limatype.VMType { return limatype.QEMU }

func (qemuPlatform) networks(socket, mac string) []limatype.Network {
	return []limatype.Network{{Socket: socket, MACAddress: mac}}
}

func (qemuPlatform) configure(ctx context.Context, inst *limatype.Instance) (limadriver.Driver, error) {
	configured, err := qemu.New().Configure(ctx, inst)
	if err != nil {
		return nil, err
	}
	return configured.Driver, nil
}

func (qemuPlatform) wait(_ context.Context, _ limadriver.Driver, ended <-chan error) error {
	return <-ended
}

func (qemuPlatform) createDisk(ctx context.Context, path string, sizeMiB int) error {
	return atomically(path, func(temporary string) error {
		return qemuImage(ctx, "create", "-q", "-f", "qcow2", temporary, fmt.Sprintf("%dM", sizeMiB))
	})
}

// growDisk lets QEMU itself enlarge the disk of a running machine, because it has the file
// open.
func (qemuPlatform) growDisk(ctx context.Context, dir, path string, sizeMiB int, running bool) error {
	if running {
		return growOpen(ctx, filepath.Join(dir, filenames.QMPSock), path, int64(sizeMiB)<<20)
	}
	out, err := exec.CommandContext(ctx, "qemu-img", "info", "--output", "json", path).Output()
	if err != nil {
		return fmt.Errorf("qemu-img info %s: %w", path, err)
	}
	var info struct {
		Bytes int64 `json:"virtual-size"`
	}
	if err := json.Unmarshal(out, &info); err != nil {
		return fmt.Errorf("qemu-img info %s: %w", path, err)
	}
	if info.Bytes >= int64(sizeMiB)<<20 {
		return nil
	}
	return qemuImage(ctx, "resize", "-q", "-f", "qcow2", path, fmt.Sprintf("%dM", sizeMiB))
}

// createRoot creates an overlay, so that many machines can read the same root: QEMU,
// which opens disks for writing, locks only the overlay.
func (qemuPlatform) createRoot(ctx context.Context, root, path string) error {
	base := rootOf(path)
	if err := link(root, base); err != nil {
		return err
	}
	if err := remove(path); err != nil {
		return err
	}
	return atomically(path, func(temporary string) error {
		// Relative to the overlay, so that a copy elsewhere has its own root.
		return qemuImage(ctx, "create", "-q", "-f", "qcow2", "-F", "raw", "-b", filepath.Base(base), temporary)
	})
}

// rootOf returns the path of the root that the overlay at path is based on.
func rootOf(path string) string { return path + ".root" }

// pause has QEMU stop all virtual CPUs, and their clock with them.
func (qemuPlatform) pause(ctx context.Context, dir string) error {
	socket := filepath.Join(dir, filenames.QMPSock)
	err := monitor(ctx, socket, "stop")
	if err != nil {
		// QEMU may still execute the command after the wait has ended.
		return errors.Join(err, monitor(context.WithoutCancel(ctx), socket, "cont"))
	}
	return nil
}

func (qemuPlatform) resume(ctx context.Context, dir string) error {
	return monitor(ctx, filepath.Join(dir, filenames.QMPSock), "cont")
}

// attach opens the guest's serial console.
func (qemuPlatform) attach(dir string) (io.Closer, error) { return openConsole(dir) }

func (qemuPlatform) follow(ctx context.Context, dir string, s stalls) error {
	return followEvents(ctx, filepath.Join(dir, eventsSock), s)
}

func (qemuPlatform) usage(dir string) (memoryMiB int, cpu time.Duration) {
	pid, err := readPID(filepath.Join(dir, filenames.PIDFile(limatype.QEMU)))
	if err != nil {
		return 0, 0
	}
	return proportionalMiB(pid), cpuTime(pid)
}

func qemuImage(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "qemu-img", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("qemu-img %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// atomically has fill create a file, which appears at path when it is complete. An
// existing file is kept.
func atomically(path string, fill func(temporary string) error) error {
	if exists(path) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temporary := path + ".new"
	if err := remove(temporary); err != nil {
		return err
	}
	if err := fill(temporary); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return atomicfile.Install(temporary, path, 0o600)
}

// blocks returns the disk space of a directory's own files, in bytes. Hard links to
// the image do not count.
func blocks(dir string) int64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return nil
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink == 1 {
			sum += stat.Blocks * 512
		}
		return nil
	})
	return sum
}
