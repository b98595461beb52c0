package saved_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/driver/saved"
)

const page = 4096

func origin() saved.Origin {
	return saved.Origin{
		Program: "QEMU 7.2", Path: "/usr/bin/qemu", Arguments: []string{"-m", "2048"}, Hypervisor: "KVM", HostCPU: "a",
		CPUs: 2, MemoryMiB: 2048, Image: "sha256:a", Kernel: "sha256:b", Settings: "sha256:c",
		Disks: []saved.Disk{{Path: "/d", Bytes: 1, Modified: time.Unix(1, 2)}},
	}
}

func TestAStateFitsOnlyToItsOrigin(t *testing.T) {
	if reason := saved.Mismatch(origin(), origin()) + saved.MismatchOfProcess(origin(), origin()); reason != "" {
		t.Errorf("the same origin: %s", reason)
	}
	for want, change := range map[string]func(*saved.Origin){
		"with 2 CPUs and 2048 MiB of memory and now has 4 and 2048": func(o *saved.Origin) { o.CPUs = 4 },
		"now has 2 and 4096":                   func(o *saved.Origin) { o.MemoryMiB = 4096 },
		"image has changed":                    func(o *saved.Origin) { o.Image = "sha256:x" },
		"node image has changed":               func(o *saved.Origin) { o.Kernel = "sha256:x" },
		"settings have changed":                func(o *saved.Origin) { o.Settings = "sha256:x" },
		"with KVM and now runs with emulation": func(o *saved.Origin) { o.Hypervisor = "" },
		"CPU of this host":                     func(o *saved.Origin) { o.HostCPU = "b" },
		"by QEMU 7.2, and this is QEMU 8":      func(o *saved.Origin) { o.Program = "QEMU 8" },
		"disk has changed":                     func(o *saved.Origin) { o.Disks[0].Modified = time.Unix(1, 3) },
		"its disk has changed":                 func(o *saved.Origin) { o.Disks = nil },
	} {
		is := origin()
		change(&is)
		if got := saved.Mismatch(origin(), is); !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for want, change := range map[string]func(*saved.Origin){
		"and /opt/qemu runs it now": func(o *saved.Origin) { o.Path = "/opt/qemu" },
		"other arguments":           func(o *saved.Origin) { o.Arguments = append(o.Arguments, "-x") },
	} {
		is := origin()
		change(&is)
		if got := saved.MismatchOfProcess(origin(), is); !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// write writes a state whose memory has the given pages, by number.
func write(t *testing.T, dir string, pages map[int64]byte, size int64) saved.Manifest {
	t.Helper()
	source, err := os.Create(filepath.Join(t.TempDir(), "source"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	if err := source.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for number, value := range pages {
		if _, err := source.WriteAt(bytes.Repeat([]byte{value}, page), number*page); err != nil {
			t.Fatal(err)
		}
	}
	m := saved.Manifest{Format: saved.Format, Time: time.Unix(100, 0).UTC(), Origin: origin()}
	memory, err := saved.CreateMemory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if m.Memory, err = saved.Copy(memory, source, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	devices, err := saved.CreateDevices(dir)
	if err != nil {
		t.Fatal(err)
	}
	if m.Devices, err = saved.CopyStream(devices, strings.NewReader("devices"), 100); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(memory.Close(), devices.Close()); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestOnlyPagesThatAreNotZeroAreCopied(t *testing.T) {
	dir := t.TempDir()
	const size = 64 << 20
	// Pages 2 and 3 are adjacent, 4 is written and zero, 300 is in the second chunk.
	m := write(t, dir, map[int64]byte{0: 1, 2: 2, 3: 3, 4: 0, 300: 4, size/page - 1: 5}, size)
	if m.Memory.Bytes != size {
		t.Errorf("%d bytes", m.Memory.Bytes)
	}
	memory, err := saved.OpenMemory(dir, m)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = memory.Close() }()
	content := make([]byte, size)
	if _, err := memory.ReadAt(content, 0); err != nil {
		t.Fatal(err)
	}
	for number, want := range map[int]byte{0: 1, 1: 0, 2: 2, 3: 3, 4: 0, 300: 4, 301: 0, size/page - 1: 5} {
		if got := content[number*page+page/2]; got != want {
			t.Errorf("page %d has %d, want %d", number, got, want)
		}
	}
	if info, err := memory.Stat(); err != nil || saved.Allocated(info) > 1<<20 {
		t.Errorf("the file takes %d bytes, %v", saved.Allocated(info), err)
	}
	again, err := os.Create(filepath.Join(dir, "again"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if copied, err := saved.Copy(again, memory, func() error { return nil }); err != nil || copied != m.Memory {
		t.Errorf("a copy has %+v, want %+v, %v", copied, m.Memory, err)
	}
	stop := errors.New("stop")
	if _, err := saved.Copy(again, memory, func() error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an interrupted copy: %v", err)
	}
}

func TestTheSumDependsOnContentAndPlace(t *testing.T) {
	sums := map[uint32]bool{}
	for _, pages := range []map[int64]byte{{}, {1: 1}, {2: 1}, {1: 2}, {1: 1, 2: 1}} {
		sums[write(t, t.TempDir(), pages, 1<<20).Memory.CRC32C] = true
	}
	if len(sums) != 5 {
		t.Errorf("%d different sums, want 5", len(sums))
	}
}

func TestAStateExistsWithItsManifest(t *testing.T) {
	dir := t.TempDir()
	m := write(t, dir, map[int64]byte{1: 1}, 1<<20)
	absent := func(when string) {
		t.Helper()
		if _, err := saved.Read(dir); !errors.Is(err, fs.ErrNotExist) || saved.Exists(dir) {
			t.Errorf("%s: %v", when, err)
		}
		if _, err := saved.Describe(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", when, err)
		}
	}
	absent("before it is committed")
	if err := saved.Commit(dir, m); err != nil {
		t.Fatal(err)
	}
	got, err := saved.Read(dir)
	if err != nil || got.Memory != m.Memory || got.Devices != m.Devices || saved.Mismatch(got.Origin, m.Origin)+saved.MismatchOfProcess(got.Origin, m.Origin) != "" {
		t.Errorf("%+v, %v", got, err)
	}
	described, err := saved.Describe(dir)
	if err != nil || !described.Time.Equal(m.Time) || described.CPUs != 2 || described.MemoryMiB != 2048 || described.Bytes < page {
		t.Errorf("%+v, %v", described, err)
	}
	if err := saved.Consume(dir); err != nil {
		t.Fatal(err)
	}
	absent("after it was consumed")
	if err := saved.Commit(dir, m); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := saved.Discard(dir); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestADamagedManifestIsAStateThatCannotBeUsed(t *testing.T) {
	for content, want := range map[string]string{
		"":                         "damaged",
		"{":                        "damaged",
		`{"format": 1}`:            "damaged",
		`{"format": 2}`:            "another version of skiff",
		strings.Repeat(" ", 2<<20): "too large",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "saved.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := saved.Read(dir); err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", content, err, want)
		}
		if _, err := saved.Describe(dir); err != nil || !saved.Exists(dir) {
			t.Errorf("%.20q is not shown: %v", content, err)
		}
		if err := saved.Discard(dir); err != nil || saved.Exists(dir) {
			t.Errorf("%.20q is kept: %v", content, err)
		}
	}
}

func TestShortAndMissingFilesAreReported(t *testing.T) {
	dir := t.TempDir()
	m := write(t, dir, nil, 1<<20)
	if err := os.Truncate(filepath.Join(dir, "saved.memory"), page); err != nil {
		t.Fatal(err)
	}
	if _, err := saved.OpenMemory(dir, m); err == nil || !strings.Contains(err.Error(), "saved.memory has 4096 bytes instead of 1048576") {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(dir, "saved.devices")); err != nil {
		t.Fatal(err)
	}
	if _, err := saved.OpenDevices(dir, m); err == nil || !strings.Contains(err.Error(), "saved.devices is missing") {
		t.Error(err)
	}
	if _, err := saved.CopyStream(&bytes.Buffer{}, strings.NewReader("too long"), 3); err == nil {
		t.Error("a stream that is too long was accepted")
	}
}

func TestAnOriginMovesWithTheFilesOfItsCluster(t *testing.T) {
	was := saved.Origin{
		Path: "/usr/bin/qemu", Arguments: []string{"qemu", "-drive", "file=/h/dev/vm/one/disk,if=none", "path=/h/dev/vm/a,path=/h/dev/net.sock", "/h/dev2/vm", "-name", "dev"},
		Disks: []saved.Disk{{Path: "/h/dev/vm/_disks/one/datadisk", Bytes: 5}},
	}
	is := was.Moved("/h/dev", "/h/copy")
	want := []string{"qemu", "-drive", "file=/h/copy/vm/one/disk,if=none", "path=/h/copy/vm/a,path=/h/copy/net.sock", "/h/dev2/vm", "-name", "dev"}
	if !slices.Equal(is.Arguments, want) || is.Disks[0] != (saved.Disk{Path: "/h/copy/vm/_disks/one/datadisk", Bytes: 5}) || is.Path != was.Path {
		t.Errorf("%+v", is)
	}
	if was.Arguments[2] != "file=/h/dev/vm/one/disk,if=none" || was.Disks[0].Path != "/h/dev/vm/_disks/one/datadisk" {
		t.Errorf("the first has changed: %+v", was)
	}
	if reason := saved.MismatchOfProcess(was.Moved("/h/dev", "/h/dev"), was); reason != "" {
		t.Error(reason)
	}
}
