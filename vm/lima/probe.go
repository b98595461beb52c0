package lima

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/internal/owner"
)

// How long a kernel may take under KVM to boot until it panics, and until it prints
// something. Where KVM works, that is about a second and less than a tenth of a
// second.
const (
	probeLimit   = 10 * time.Second
	silenceLimit = 4 * time.Second
)

// appleVirtualization is the Hypervisor of vz.
const appleVirtualization = "Apple's virtualization"

// Acceleration describes what runs guest code on this host.
type Acceleration struct {
	// Hypervisor is "KVM", "HVF" or appleVirtualization, empty for emulation.
	Hypervisor string `json:"hypervisor"`
	// Reason is why emulation is used, one clause.
	Reason string `json:"reason,omitempty"`
	// Program is the first line of QEMU's version, or "vz".
	Program string `json:"program"`
}

// Emulated reports whether no hypervisor is used.
func (a Acceleration) Emulated() bool { return a.Hypervisor == "" }

// CanPause reports whether machines can be paused: Lima offers no way to pause
// those of Apple's virtualization.
func (a Acceleration) CanPause() bool { return a.Hypervisor != appleVirtualization }

// Describe returns one line for users.
func (a Acceleration) Describe() string {
	if a.Emulated() {
		return fmt.Sprintf("%s; using emulation, 10 to 20 times slower", a.Reason)
	}
	return fmt.Sprintf("%s with %s", a.Program, a.Hypervisor)
}

// probeKey is what the result of a probe depends on.
type probeKey struct {
	Kernel  string `json:"kernel"`
	Program string `json:"program"`
	// Boot is the boot ID of the host: a reboot may repair its hypervisor.
	Boot string `json:"boot"`
}

type probeResult struct {
	Key          probeKey     `json:"key"`
	Acceleration Acceleration `json:"acceleration"`
}

// Probe returns what would run guest code on this host. It uses only Cache and Image
// of config. The error wraps driver.ErrUnavailable if a program is missing.
func Probe(ctx context.Context, config Config) (Acceleration, error) {
	if err := Available(config.Image.Arch); err != nil {
		return Acceleration{}, err
	}
	return probe(ctx, config)
}

// probe finds out what runs guest code on this host. On Linux it boots the image's
// kernel under KVM with a time limit, because a KVM that exists need not work. A
// clear result is cached until the host, QEMU or the image changes.
func probe(ctx context.Context, config Config) (Acceleration, error) {
	program, err := version(ctx, config.Image.Arch)
	if err != nil {
		return Acceleration{}, err
	}
	if config.Image.Arch != runtime.GOARCH {
		return foreign(program, config.Image.Arch), nil
	}
	if known, ok := native(program); ok {
		return known, nil
	}
	if reason := kvmAbsent(); reason != "" {
		return Acceleration{Program: program, Reason: reason}, nil
	}
	key := probeKey{Kernel: config.Image.KernelDigest, Program: program, Boot: bootID()}
	path := filepath.Join(config.Cache, "acceleration.json")
	if cached, ok := readProbe(path, key); ok {
		return cached, nil
	}
	outcome := bootUnderKVM(ctx, config)
	if err := ctx.Err(); err != nil {
		return Acceleration{}, err
	}
	result := Acceleration{Program: program, Hypervisor: "KVM"}
	if outcome != bootedUnderKVM {
		result = Acceleration{Program: program, Reason: "KVM on this host does not boot a kernel"}
	}
	// A kernel that started and was too slow may have been slowed by a busy host.
	if outcome == slowUnderKVM {
		return result, nil
	}
	return result, writeProbe(path, probeResult{Key: key, Acceleration: result})
}

func readProbe(path string, key probeKey) (Acceleration, bool) {
	content, err := os.ReadFile(path)
	if err != nil {
		return Acceleration{}, false
	}
	var result probeResult
	if err := json.Unmarshal(content, &result); err != nil || result.Key != key {
		return Acceleration{}, false
	}
	return result.Acceleration, true
}

func writeProbe(path string, result probeResult) error {
	content, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return fmt.Errorf("cache the result of the probe: %w", err)
	}
	if err := owner.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("cache the result of the probe: %w", err)
	}
	if err := atomicfile.Write(path, content, 0o600); err != nil {
		return fmt.Errorf("cache the result of the probe: %w", err)
	}
	return nil
}

type kvmOutcome int

const (
	deadUnderKVM kvmOutcome = iota
	slowUnderKVM
	bootedUnderKVM
)

// bootUnderKVM boots the kernel without a root file system. It panics, which turns
// the machine off, after it has passed everything that hangs where KVM is broken.
func bootUnderKVM(ctx context.Context, config Config) kvmOutcome {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	board, console := "q35", "ttyS0"
	if config.Image.Arch == "arm64" {
		board, console = "virt", "ttyAMA0"
	}
	cmd := exec.CommandContext(ctx, qemuName(config.Image.Arch),
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-machine", board+",accel=kvm", "-cpu", "host", "-m", "256", "-smp", "1",
		"-serial", "stdio", "-kernel", config.Image.Kernel,
		"-append", "console="+console+" panic=-1")
	dieWithUs(cmd)
	// A kernel that prints nothing for a while is given up early.
	silent := time.AfterFunc(silenceLimit, cancel)
	defer silent.Stop()
	output := &consoleOutput{first: func() { silent.Stop() }}
	cmd.Stdout = output
	err := cmd.Run()
	switch {
	case err == nil && bytes.Contains(output.text, []byte("Kernel panic")):
		return bootedUnderKVM
	case len(output.text) > 0:
		return slowUnderKVM
	default:
		return deadUnderKVM
	}
}

// consoleOutput keeps what is written to it and calls first before the first write.
type consoleOutput struct {
	first func()
	text  []byte
}

func (h *consoleOutput) Write(p []byte) (int, error) {
	if len(h.text) == 0 {
		h.first()
	}
	h.text = append(h.text, p...)
	return len(p), nil
}

// version returns the first line of QEMU's version.
func version(ctx context.Context, arch string) (string, error) {
	if !needsQEMU() {
		return "vz", nil
	}
	out, err := exec.CommandContext(ctx, qemuName(arch), "--version").Output()
	if err != nil {
		return "", fmt.Errorf("get the version of %s: %w", qemuName(arch), err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.Replace(strings.TrimSpace(line), "emulator version ", "", 1), nil
}

func bootID() string {
	content, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

// kvmAbsent returns why KVM cannot be tried; empty if it can.
func kvmAbsent() string {
	file, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	switch {
	case err == nil:
		_ = file.Close()
		return ""
	case errors.Is(err, fs.ErrNotExist):
		return "this host has no KVM"
	case errors.Is(err, fs.ErrPermission):
		return "this user has no access to /dev/kvm (run \"sudo usermod -aG kvm $USER\" and log in again)"
	default:
		return "KVM on this host cannot be opened"
	}
}
