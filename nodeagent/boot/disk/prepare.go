package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// growBytes is how much larger than its file system a disk must be to be worth a
// resize: a file system seldom fills a disk to the last block.
const growBytes = 64 << 20

// Runner runs a program to its end and returns its exit code and output. The error
// is about a program that could not be run.
type Runner func(ctx context.Context, args ...string) (code int, output string, err error)

// Mount mounts the node's own disk at dir. It formats a blank disk, checks a file
// system with errors, and grows one that is smaller than its disk. A disk with
// anything else on it is not touched and is an error.
func Mount(ctx context.Context, run Runner, device, dir string) error {
	kind, err := Probe(device)
	if err != nil {
		return err
	}
	switch kind {
	case Blank, Unfinished:
		if err := format(ctx, run, device); err != nil {
			return err
		}
	case Ext4:
	default:
		return fmt.Errorf("disk %s is not a node's data disk (%s); it was not touched", device, kind)
	}
	info, err := inspect(device)
	if err != nil {
		return err
	}
	if info.check {
		if err := check(ctx, run, device); err != nil {
			return err
		}
	}
	// discard: the disk's file on the host shrinks when files are deleted.
	if err := unix.Mount(device, dir, "ext4", unix.MS_NOATIME, "discard,errors=remount-ro"); err != nil {
		return fmt.Errorf("mount %s at %s: %w", device, dir, err)
	}
	return grow(ctx, run, device, info.bytes)
}

// format creates an ext4 file system. It writes a marker first and removes it at the
// end, so that an interrupted format is recognized: mke2fs does not write the boot
// sector.
func format(ctx context.Context, run Runner, device string) error {
	if err := writeSector(device, []byte(marker)); err != nil {
		return err
	}
	// Inode tables and the journal are not initialized, since a new disk is zero
	// anyway, and nothing is discarded: formatting a large disk takes as long as a
	// small one.
	code, output, err := run(ctx, "/usr/sbin/mkfs.ext4", "-q", "-F", "-L", "skiff-data", "-m", "1",
		"-O", "^resize_inode,meta_bg", "-E", "lazy_itable_init=1,lazy_journal_init=1,assume_storage_prezeroed=1,nodiscard", device)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("mkfs.ext4 %s: exit code %d: %s", device, code, output)
	}
	return writeSector(device, nil)
}

// check lets e2fsck repair what is safe to repair. Its exit codes 0 to 3 mean that
// the file system has no errors left (e2fsck(8)).
func check(ctx context.Context, run Runner, device string) error {
	code, output, err := run(ctx, "/usr/sbin/e2fsck", "-p", device)
	if err != nil {
		return err
	}
	if code >= 4 {
		return fmt.Errorf("e2fsck %s: exit code %d: %s", device, code, output)
	}
	return nil
}

// Grow grows the file system that is mounted at dir to the size of its disk.
func Grow(ctx context.Context, run Runner, dir string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	device, err := mountedAt(string(mounts), dir)
	if err != nil {
		return err
	}
	info, err := inspect(device)
	if err != nil {
		return err
	}
	return grow(ctx, run, device, info.bytes)
}

// mountedAt returns the device with the ext4 file system at dir (proc_pid_mounts(5)).
func mountedAt(mounts, dir string) (string, error) {
	for line := range strings.Lines(mounts) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[1] == dir && fields[2] == "ext4" {
			return fields[0], nil
		}
	}
	return "", fmt.Errorf("no disk is mounted at %s", dir)
}

func grow(ctx context.Context, run Runner, device string, have int64) error {
	size, err := deviceBytes(device)
	if err != nil {
		return err
	}
	if size-have < growBytes {
		return nil
	}
	code, output, err := run(ctx, "/usr/sbin/resize2fs", device)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("resize2fs %s: exit code %d: %s", device, code, output)
	}
	return nil
}

// writeSector writes text and zeros to the first sector, and syncs.
func writeSector(device string, text []byte) (err error) {
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sector := make([]byte, 512)
	copy(sector, text)
	if _, err := f.WriteAt(sector, 0); err != nil {
		return err
	}
	return f.Sync()
}

func inspect(device string) (superblockInfo, error) {
	f, err := os.Open(device)
	if err != nil {
		return superblockInfo{}, err
	}
	defer f.Close()
	b := make([]byte, 1024)
	if _, err := f.ReadAt(b, superblock); err != nil {
		return superblockInfo{}, fmt.Errorf("read %s: %w", device, err)
	}
	info, err := readSuperblock(b)
	if err != nil {
		return superblockInfo{}, fmt.Errorf("disk %s: %w", device, err)
	}
	return info, nil
}

func deviceBytes(device string) (int64, error) {
	f, err := os.Open(device)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Seek(0, io.SeekEnd)
}
