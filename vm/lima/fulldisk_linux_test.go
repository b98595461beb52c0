package lima

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/vm/driver"
)

// writer is a boot sector that writes 32 KiB at a time to its disk, from the second
// sector on, with the BIOS function for that (INT 13h, AH=43h):
//
//	      xor  ax, ax
//	      mov  ds, ax
//	      mov  ss, ax
//	      mov  sp, 0x7c00
//	next: mov  si, packet
//	      mov  ax, 0x4300
//	      int  0x13
//	      add  dword [packet+8], 64
//	      jmp  next
//	packet: size 16, 64 sectors, from 0000:8000, to sector 1
var writer = []byte{
	0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x7c,
	0xbe, 0x19, 0x7c, 0xb8, 0x00, 0x43, 0xcd, 0x13,
	0x66, 0x83, 0x06, 0x21, 0x7c, 0x40, 0xeb, 0xf0,
	0x10, 0x00, 0x40, 0x00, 0x00, 0x80, 0x00, 0x00, 0x01,
}

const (
	fullDiskMiB   = 4
	writerDiskMiB = 64
)

// fullDisk is a machine that only writes, whose disk has the options that Lima gives
// it, on a file system that its disk fills.
type fullDisk struct {
	disk   string
	filler string // a file whose removal makes room
	// events and commands are sockets of QEMU's monitor.
	events, commands string
}

func startOnFullDisk(t *testing.T) fullDisk {
	t.Helper()
	program, err := exec.LookPath("qemu-system-x86_64")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs qemu-system-x86_64 and root")
	}
	dir := shortDir(t)
	small := filepath.Join(dir, "small")
	m := fullDisk{
		disk: filepath.Join(small, "disk"), filler: filepath.Join(small, "filler"),
		events: filepath.Join(dir, eventsSock), commands: filepath.Join(dir, "commands.sock"),
	}
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("cannot mount a file system: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(small, unix.MNT_DETACH) })
	if err := os.WriteFile(m.filler, make([]byte, fullDiskMiB<<20/2), 0o600); err != nil {
		t.Fatal(err)
	}
	sector := append(bytes.Clone(writer), make([]byte, 510-len(writer))...)
	if err := os.WriteFile(m.disk, append(sector, 0x55, 0xaa), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(m.disk, writerDiskMiB<<20); err != nil {
		t.Fatal(err)
	}
	qemu := exec.Command(program, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35,accel=tcg", "-m", "32",
		"-drive", "file="+m.disk+",format=raw,if=virtio,discard=on",
		"-qmp", "unix:"+m.commands+",server=on,wait=off",
		"-chardev", "socket,id=char-events,path="+m.events+",server=on,wait=on", "-qmp", "chardev:char-events")
	if err := qemu.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = qemu.Process.Kill()
		_ = qemu.Wait()
	})
	for !exists(m.events) {
		time.Sleep(5 * time.Millisecond)
	}
	return m
}

func TestAMachineOnAFullDiskStopsAndContinues(t *testing.T) {
	m := startOnFullDisk(t)
	ctx, cancel := context.WithCancel(t.Context())
	reports, followed := make(recorder, 100), make(chan error, 1)
	go func() { followed <- followEvents(ctx, m.events, reports) }()
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-reports:
			if got != want {
				t.Fatalf("reported %q, want %q", got, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("not reported: %q", want)
		}
	}
	expect(driver.StallNoSpace)
	before := allocated(t, m.disk)
	if err := os.Remove(m.filler); err != nil {
		t.Fatal(err)
	}
	if err := monitor(ctx, m.commands, "cont"); err != nil {
		t.Fatal(err)
	}
	expect("")
	expect(driver.StallNoSpace) // it has filled the rest
	if after := allocated(t, m.disk); after <= before {
		t.Errorf("the machine wrote %d bytes before and %d after there was room", before, after)
	}
	cancel()
	if err := <-followed; err != nil {
		t.Error(err)
	}
}

// allocated returns how many bytes of a file have space.
func allocated(t *testing.T, path string) int64 {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		t.Fatal(err)
	}
	return stat.Blocks * 512
}
