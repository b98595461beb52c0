package lima

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
)

func TestPadFillsWholeBlocksAndLeavesRoom(t *testing.T) {
	for _, size := range []int{0, 1, seedBlock - 1, seedBlock, seedBlock + 1} {
		seed := []byte(strings.Repeat("x", size))
		padded := pad(seed)
		if len(padded)%seedBlock != 0 || strings.TrimRight(string(padded), "\n") != string(seed) || len(padded)-size < driver.SeedRoom || len(padded)-size >= driver.SeedRoom+seedBlock {
			t.Errorf("%d bytes became %d", size, len(padded))
		}
	}
}

func TestOverwriteKeepsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seed")
	if err := atomicfile.Write(path, pad([]byte("first and long")), 0o600); err != nil {
		t.Fatal(err)
	}
	open, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	if err := overwrite(path, []byte("second")); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(open)
	if err != nil || strings.TrimRight(string(got), "\n") != "second" || len(got)%seedBlock != 0 {
		t.Errorf("an open file reads %q, %v", strings.TrimSpace(string(got)), err)
	}
	if err := overwrite(path, make([]byte, len(got)+1)); err == nil {
		t.Error("a seed that does not fit was accepted")
	}
}

func TestPathsThatQEMUDoesNotAcceptAreRejected(t *testing.T) {
	for _, dir := range []string{"relative", "/with,comma"} {
		if checkPath(dir) == nil {
			t.Errorf("%s was accepted", dir)
		}
	}
	long := "/" + strings.Repeat("x", 100)
	if err := checkSocket(long); err == nil || !strings.Contains(err.Error(), "SKIFF_HOME") {
		t.Errorf("checkSocket = %v, want a hint to SKIFF_HOME", err)
	}
	if err := checkSocket("/home/somebody/.skiff/clusters/skiff/vm/control-plane-1"); err != nil {
		t.Error(err)
	}
}

func TestKernelParametersDependOnEmulation(t *testing.T) {
	for _, test := range []struct {
		hypervisor, arch, want string
	}{
		{"KVM", "amd64", "quiet"},
		{"vz", "arm64", "quiet"},
		{"", "amd64", "quiet tsc=reliable mitigations=off clearcpuid=erms,rep_good init_on_alloc=0"},
		{"", "arm64", "quiet mitigations=off init_on_alloc=0"},
	} {
		d := &Driver{accel: Acceleration{Hypervisor: test.hypervisor}}
		got, khz, measured := strings.Cut(d.cmdline(machine.Image{Arch: test.arch, Cmdline: "quiet"}), " tsc_early_khz=")
		if got != test.want || measured != (tscKHz() > 0 && strings.Contains(got, "tsc=")) || measured && khz != fmt.Sprint(tscKHz()) {
			t.Errorf("%q, %s: %q, want %q", test.hypervisor, test.arch, got, test.want)
		}
	}
}

func TestMissingQEMUIsReportedWithAHint(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := Available("amd64")
	if !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(err.Error(), "install") {
		t.Errorf("Available = %v", err)
	}
}

func TestLinkReplacesTheTarget(t *testing.T) {
	dir := t.TempDir()
	source, target := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, content := range []string{"first", "second"} {
		if err := atomicfile.Write(source, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := link(source, target); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(target); err != nil || string(got) != content {
			t.Errorf("link leads to %q, %v", got, err)
		}
	}
}

func TestAtomicallyCreatesACompleteFileOrNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir", "disk")
	broken := errors.New("no space")
	err := atomically(path, func(temporary string) error {
		return errors.Join(broken, os.WriteFile(temporary, []byte("half"), 0o600))
	})
	if !errors.Is(err, broken) || exists(path) || exists(path+".new") {
		t.Errorf("after a failure: %v, exists %t", err, exists(path))
	}
	fill := func(content string) func(string) error {
		return func(temporary string) error { return os.WriteFile(temporary, []byte(content), 0o600) }
	}
	for _, content := range []string{"first", "second"} {
		if err := atomically(path, fill(content)); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := os.ReadFile(path); string(got) != "first" {
		t.Errorf("file holds %q, want the first content kept", got)
	}
}

func TestEndStrayKeepsOtherProcesses(t *testing.T) {
	dir := t.TempDir()
	other := exec.Command("sleep", "60")
	if err := other.Start(); err != nil {
		t.Skip(err)
	}
	defer func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	}()
	pidFile := filepath.Join(dir, "worker-1", "qemu.pid")
	if err := os.MkdirAll(filepath.Dir(pidFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(other.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := EndStray(dir); err != nil {
		t.Fatal(err)
	}
	if exists(pidFile) {
		t.Error("the stale pid file is still there")
	}
	if len(commandLine(other.Process.Pid)) == 0 {
		t.Error("a process that is not a machine was killed")
	}
}

func TestEndStrayKillsMachines(t *testing.T) {
	dir := t.TempDir()
	pidFile := filepath.Join(dir, "worker-1", "qemu.pid")
	if err := os.MkdirAll(filepath.Dir(pidFile), 0o700); err != nil {
		t.Fatal(err)
	}
	stray := exec.Command("sh", "-c", "sleep 60; :", "-pidfile", pidFile)
	if err := stray.Start(); err != nil {
		t.Skip(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stray.Wait() }()
	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(stray.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := EndStray(dir); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the machine ended by itself")
	}
}

func TestProbeResultIsValidOnlyForItsKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache", "acceleration.json")
	key := probeKey{Kernel: "sha256:a", Program: "QEMU 7.2", Boot: "b"}
	if _, ok := readProbe(path, key); ok {
		t.Error("found a result without a file")
	}
	want := Acceleration{Hypervisor: "KVM", Program: "QEMU 7.2"}
	if err := writeProbe(path, probeResult{Key: key, Acceleration: want}); err != nil {
		t.Fatal(err)
	}
	if got, ok := readProbe(path, key); !ok || got != want {
		t.Errorf("readProbe = %v, %t", got, ok)
	}
	for _, other := range []probeKey{
		{Kernel: "sha256:b", Program: key.Program, Boot: key.Boot},
		{Kernel: key.Kernel, Program: "QEMU 8", Boot: key.Boot},
		{Kernel: key.Kernel, Program: key.Program, Boot: "c"},
	} {
		if _, ok := readProbe(path, other); ok {
			t.Errorf("the result is used for %+v", other)
		}
	}
}

func TestAnImageOfAnotherArchitectureIsEmulated(t *testing.T) {
	bin := t.TempDir()
	fake := "#!/bin/sh\necho 'QEMU emulator version 9.9.9 (fake)'\n"
	if err := os.WriteFile(filepath.Join(bin, "qemu-system-aarch64"), []byte(fake), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	if runtime.GOARCH == "arm64" {
		t.Skip("this host is arm64")
	}
	accel, err := probe(context.Background(), Config{Image: machine.Image{Arch: "arm64"}})
	if err != nil || !accel.Emulated() || !strings.Contains(accel.Describe(), "emulation") {
		t.Errorf("probe = %+v, %v", accel, err)
	}
}

func TestMachinesOfAnotherArchitectureHaveTheirOwnQEMU(t *testing.T) {
	bin, dir := t.TempDir(), t.TempDir()
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	t.Setenv("PATH", bin)
	name := "QEMU_SYSTEM_" + strings.ToUpper(strings.TrimPrefix(qemuName(other), "qemu-system-"))
	t.Setenv(name, "")
	d := &Driver{
		config: Config{Dir: dir, Executable: "/bin/skiff", Image: machine.Image{Arch: runtime.GOARCH}},
		accel:  Acceleration{Program: "QEMU 1", Hypervisor: "KVM"}, foreign: map[string]Acceleration{},
	}
	if _, err := d.accelerate(t.Context(), other); !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(err.Error(), qemuName(other)+" is not installed") {
		t.Errorf("without QEMU: %v", err)
	}
	for _, program := range []string{qemuName(other), "qemu-img"} { // installed while the daemon runs
		if err := os.WriteFile(filepath.Join(bin, program), []byte("#!/bin/sh\necho 'QEMU emulator version 9.9.9'\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	accel, err := d.accelerate(t.Context(), other)
	if err != nil || !accel.Emulated() || accel.Program != "QEMU 9.9.9" {
		t.Fatalf("%+v, %v", accel, err)
	}
	if got := os.Getenv(name); !strings.Contains(got, filepath.Join(dir, "_bin", qemuName(other))) || !strings.Contains(got, "-accel tcg") {
		t.Errorf("%s = %q", name, got)
	}
	if got := d.accelerated(other); got != accel {
		t.Errorf("%+v", got)
	}
	if got := d.accelerated(runtime.GOARCH); got != d.accel {
		t.Errorf("%+v", got)
	}
}
