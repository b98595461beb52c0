package lima

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lima-vm/lima/v2/pkg/limatype"
	"github.com/lima-vm/lima/v2/pkg/limatype/filenames"

	"github.com/skiff-dev/skiff/vm/driver/saved"
)

func TestMemoryIsAFileInMemory(t *testing.T) {
	dir := t.TempDir()
	want := []string{"-object", "memory-backend-memfd,id=ram,share=on,size=2048M", "-machine", "memory-backend=ram"}
	if got, err := memoryArguments(dir, []string{"-m", "2048"}); err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(dir, incomingFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := memoryArguments(dir, []string{"-m", "2048"})
	if err != nil || !slices.Equal(got, append(slices.Clone(want), "-incoming", "defer")) || !slices.Equal(lasting(got), want) {
		t.Errorf("a machine that waits for its state: %q, %v", got, err)
	}
	if _, err := memoryArguments(dir, nil); err == nil {
		t.Error("no error without the size of the memory")
	}
}

func TestAMeasuredFrequencyIsNoOtherArgument(t *testing.T) {
	of := func(khz string) []string {
		return lasting([]string{"-m", "2048", "-append", "quiet tsc_early_khz=" + khz + " panic=10"})
	}
	if got := of("2596122"); !slices.Equal(got, of("2596123")) || !slices.Equal(got, []string{"-m", "2048", "-append", "quiet panic=10"}) {
		t.Errorf("%q", got)
	}
}

func TestTheDigestOfACPUIgnoresItsLoad(t *testing.T) {
	const one = "processor\t: 0\nmodel name\t: A\ncpu MHz\t\t: 1\nflags\t\t: x y\n\nprocessor\t: 1\n"
	if cpuDigest(one) != cpuDigest(strings.Replace(one, "MHz\t\t: 1", "MHz\t\t: 2", 1)) {
		t.Error("it depends on the clock")
	}
	for _, change := range []string{"name\t: B", "x y z"} {
		if cpuDigest(one) == cpuDigest(strings.NewReplacer("name\t: A", change, "x y", change).Replace(one)) {
			t.Errorf("it does not depend on %q", change)
		}
	}
}

// run starts QEMU in dir. It ends with the test, or when the result is called.
func run(t *testing.T, dir string, wait bool) (end func()) {
	t.Helper()
	program, err := exec.LookPath(qemuName("amd64"))
	if err != nil {
		t.Skip(err)
	}
	pidFile := filepath.Join(dir, filenames.PIDFile(limatype.QEMU))
	_, _, _ = os.Remove(pidFile), os.Remove(filepath.Join(dir, filenames.QMPSock)), os.Remove(filepath.Join(dir, incomingFile))
	if wait {
		if err := os.WriteFile(filepath.Join(dir, incomingFile), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-accel", "tcg", "-m", "32",
		"-qmp", "unix:" + filepath.Join(dir, filenames.QMPSock) + ",server=on,wait=off", "-pidfile", pidFile,
	}
	memory, err := memoryArguments(dir, args)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program, slices.Concat(args, memory, balloon)...)
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	end = func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	}
	t.Cleanup(end)
	for !exists(pidFile) {
		time.Sleep(5 * time.Millisecond)
	}
	if err := awaitMonitor(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	return end
}

// ask returns QEMU's answer to one command.
func ask(t *testing.T, dir, command string, arguments map[string]any) (answer string) {
	t.Helper()
	if err := monitored(t.Context(), filepath.Join(dir, filenames.QMPSock), func(conn net.Conn, in *json.Decoder) error {
		result, err := execute(conn, in, command, arguments)
		answer = string(result)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestQEMULoadsTheMemoryAndTheDevicesThatItSaved(t *testing.T) {
	dir := shortDir(t)
	var q qemuPlatform
	end := run(t, dir, false)
	if err := q.pause(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	memory, err := openMemory(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = memory.Close() }()
	const at, text = 20<<20 + 5, "what the guest knows"
	if _, err := memory.WriteAt([]byte(text), at); err != nil {
		t.Fatal(err)
	}
	manifest := saved.Manifest{Format: saved.Format, Time: time.Now()}
	if manifest.Memory, manifest.Devices, err = q.save(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if manifest.Origin.Path, manifest.Origin.Arguments, err = q.process(dir); err != nil {
		t.Fatal(err)
	}
	registers := ask(t, dir, "human-monitor-command", map[string]any{"command-line": "info registers"})
	if err := q.resume(t.Context(), dir); err != nil {
		t.Fatalf("the machine does not continue after a save: %v", err)
	}
	end()

	for _, file := range []string{"saved.memory", "saved.devices"} {
		if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	}
	run(t, dir, true)
	var is saved.Origin
	if is.Path, is.Arguments, err = q.process(dir); err != nil || saved.MismatchOfProcess(manifest.Origin, is) != "" {
		t.Errorf("%+v does not match %+v: %v", is, manifest.Origin, err)
	}
	if err := q.load(t.Context(), dir, manifest); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, dir, "human-monitor-command", map[string]any{"command-line": "info registers"}); got != registers {
		t.Errorf("registers %s, want %s", got, registers)
	}
	if got := ask(t, dir, "query-status", nil); !strings.Contains(got, `"paused"`) {
		t.Errorf("status %s", got)
	}
	loaded, err := openMemory(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = loaded.Close() }()
	got := make([]byte, len(text))
	if _, err := loaded.ReadAt(got, at); err != nil || string(got) != text {
		t.Errorf("memory has %q, %v", got, err)
	}
	if err := q.resume(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedFilesAreNotLoaded(t *testing.T) {
	dir := shortDir(t)
	var q qemuPlatform
	end := run(t, dir, false)
	if err := q.pause(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	manifest := saved.Manifest{Format: saved.Format}
	var err error
	if manifest.Memory, manifest.Devices, err = q.save(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	end()
	for file, want := range map[string]string{"saved.memory": "its memory: the checksum", "saved.devices": "devices: the checksum"} {
		t.Run(file, func(t *testing.T) {
			path := filepath.Join(dir, file)
			good, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			bad := slices.Clone(good)
			bad[len(bad)/2] ^= 1
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			end := run(t, dir, true)
			if err := q.load(t.Context(), dir, manifest); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("load = %v, want %q", err, want)
			}
			end()
			if err := os.WriteFile(path, good[:len(good)-4096], 0o600); err != nil {
				t.Fatal(err)
			}
			end = run(t, dir, true)
			if err := q.load(t.Context(), dir, manifest); err == nil || !strings.Contains(err.Error(), "bytes instead of") {
				t.Errorf("load of a short file = %v", err)
			}
			end()
			if err := os.WriteFile(path, good, 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestQEMUContinuesAfterASaveThatWasCancelled(t *testing.T) {
	dir := shortDir(t)
	var q qemuPlatform
	run(t, dir, false)
	if err := q.pause(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := q.save(ctx, dir); err == nil {
		t.Error("a save with a cancelled context succeeded")
	}
	if err := q.resume(t.Context(), dir); err != nil {
		t.Error(err)
	}
	if got := ask(t, dir, "query-status", nil); !strings.Contains(got, `"running"`) {
		t.Errorf("status %s", got)
	}
}
