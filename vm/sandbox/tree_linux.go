package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/vm/driver/saved"
)

// clockMargin covers the steps in which a file system counts the time of changes.
const clockMargin = 2 * time.Second

// inode is what tells whether a path of a tree still is what was copied.
type inode struct {
	number  uint64
	mode    uint32
	size    int64
	changed unix.Timespec
}

func inodeOf(stat *unix.Stat_t) inode {
	return inode{number: stat.Ino, mode: stat.Mode, size: stat.Size, changed: stat.Ctim}
}

// copied is what is known of a tree that was copied once.
type copied struct {
	inodes map[string]inode // by path below the tree
	settle unix.Timespec    // changes before this time are in the copy
}

// copier makes a directory tree equal to another one: content, holes, owners, modes, times,
// extended attributes, devices and hard links. Blocks are shared if the file system can.
type copier struct {
	ctx    context.Context
	source string
	root   *os.Root // of source: a guest may replace a directory by a link while it is read
	target string
	before copied
	now    copied
	links  map[uint64]string // the first path of a file with several, by inode number
}

// copyTree makes target what source is. before is the result of an earlier call for the same
// trees, or zero; what has not changed since is not looked into.
func copyTree(ctx context.Context, source, target string, before copied) (copied, error) {
	began := time.Now().Add(-clockMargin)
	root, err := os.OpenRoot(source)
	if err != nil {
		return copied{}, err
	}
	defer func() { _ = root.Close() }()
	c := &copier{
		ctx: ctx, source: source, root: root, target: target, before: before,
		now:   copied{inodes: map[string]inode{}, settle: unix.NsecToTimespec(began.UnixNano())},
		links: map[uint64]string{},
	}
	var stat unix.Stat_t
	if err := unix.Lstat(source, &stat); err != nil {
		return copied{}, &fs.PathError{Op: "lstat", Path: source, Err: err}
	}
	if err := c.directory(".", &stat); err != nil {
		return copied{}, err
	}
	return c.now, nil
}

// same reports whether the copy already has what is at a path.
func (c *copier) same(path string, stat *unix.Stat_t) bool {
	was, known := c.before.inodes[path]
	return known && was == inodeOf(stat) && stat.Ctim.Nano() < c.before.settle.Nano()
}

// entry makes one path of the target what it is in the source.
func (c *copier) entry(path string) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	var stat unix.Stat_t
	err := unix.Lstat(filepath.Join(c.source, path), &stat)
	if errors.Is(err, unix.ENOENT) {
		return c.remove(path) // it has just been deleted
	}
	if err != nil {
		return &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	kind := stat.Mode & unix.S_IFMT
	if kind == unix.S_IFDIR {
		return c.directory(path, &stat)
	}
	if first, ok := c.links[stat.Ino]; ok {
		return c.link(first, path, &stat)
	}
	if stat.Nlink > 1 {
		c.links[stat.Ino] = path
	}
	c.now.inodes[path] = inodeOf(&stat)
	if c.same(path, &stat) {
		return nil
	}
	switch kind {
	case unix.S_IFREG:
		err = c.file(path, &stat)
	case unix.S_IFLNK:
		err = c.symlink(path)
	default:
		if err = c.remove(path); err == nil {
			err = unix.Mknod(filepath.Join(c.target, path), stat.Mode, int(stat.Rdev))
		}
	}
	if errors.Is(err, fs.ErrNotExist) { // deleted meanwhile
		delete(c.now.inodes, path)
		return c.remove(path)
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", path, err)
	}
	return c.attributes(path, &stat)
}

// directory makes a directory of the target what it is in the source.
func (c *copier) directory(path string, stat *unix.Stat_t) error {
	target := filepath.Join(c.target, path)
	var is unix.Stat_t
	if err := unix.Lstat(target, &is); err != nil || is.Mode&unix.S_IFMT != unix.S_IFDIR {
		if err := errors.Join(c.remove(path), os.Mkdir(target, 0o700)); err != nil {
			return err
		}
	}
	names, err := list(filepath.Join(c.source, path))
	if err != nil {
		return err
	}
	old, err := list(target)
	if err != nil {
		return err
	}
	for _, name := range old {
		if _, found := slices.BinarySearch(names, name); !found {
			if err := c.remove(filepath.Join(path, name)); err != nil {
				return err
			}
		}
	}
	for _, name := range names {
		if err := c.entry(filepath.Join(path, name)); err != nil {
			return err
		}
	}
	unchanged := c.same(path, stat)
	c.now.inodes[path] = inodeOf(stat)
	if unchanged {
		return c.times(path, stat) // its entries may have been written
	}
	return c.attributes(path, stat)
}

// list returns the sorted names in a directory, none if it does not exist.
func list(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, nil
}

func (c *copier) remove(path string) error { return os.RemoveAll(filepath.Join(c.target, path)) }

// file copies the content of a file. If the copy has an earlier content, only the pages that
// differ are written.
func (c *copier) file(path string, stat *unix.Stat_t) error {
	// Not blocking, for what has just become a pipe.
	source, err := c.root.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	if was, known := c.before.inodes[path]; !known || was.number != stat.Ino || was.mode&unix.S_IFMT != unix.S_IFREG {
		if err := c.remove(path); err != nil {
			return err
		}
	}
	target, err := os.OpenFile(filepath.Join(c.target, path), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	if stat.Size > 0 && saved.Clone(target, source) {
		return target.Close()
	}
	_, err = saved.Update(target, source, c.ctx.Err)
	return errors.Join(err, target.Close())
}

func (c *copier) symlink(path string) error {
	to, err := os.Readlink(filepath.Join(c.source, path))
	if err != nil {
		return err
	}
	if err := c.remove(path); err != nil {
		return err
	}
	return os.Symlink(to, filepath.Join(c.target, path))
}

// link gives a file of the target, which was copied, another path.
func (c *copier) link(first, path string, stat *unix.Stat_t) error {
	c.now.inodes[path] = inodeOf(stat)
	from, to := filepath.Join(c.target, first), filepath.Join(c.target, path)
	var a, b unix.Stat_t
	if unix.Lstat(from, &a) == nil && unix.Lstat(to, &b) == nil && a.Ino == b.Ino {
		return nil
	}
	if err := c.remove(path); err != nil {
		return err
	}
	return os.Link(from, to)
}

// attributes gives a path of the target the owner, the mode, the extended attributes and the
// times of the source.
func (c *copier) attributes(path string, stat *unix.Stat_t) error {
	target := filepath.Join(c.target, path)
	if err := os.Lchown(target, int(stat.Uid), int(stat.Gid)); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(target, stat.Mode&^unix.S_IFMT); err != nil {
			return &fs.PathError{Op: "chmod", Path: target, Err: err}
		}
	}
	// After the owner, whose change removes capabilities.
	if err := copyExtended(filepath.Join(c.source, path), target); err != nil {
		return fmt.Errorf("copy the extended attributes of %s: %w", path, err)
	}
	return c.times(path, stat)
}

func (c *copier) times(path string, stat *unix.Stat_t) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(c.target, path), []unix.Timespec{stat.Atim, stat.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

// copyExtended gives target the extended attributes of source and no others.
func copyExtended(source, target string) error {
	want, err := extended(source)
	if err != nil {
		return err
	}
	have, err := extended(target)
	if err != nil {
		return err
	}
	for name := range have {
		if _, ok := want[name]; !ok {
			if err := unix.Lremovexattr(target, name); err != nil {
				return err
			}
		}
	}
	for name, value := range want {
		if old, ok := have[name]; ok && bytes.Equal(old, value) {
			continue
		}
		if err := unix.Lsetxattr(target, name, value, 0); err != nil {
			return err
		}
	}
	return nil
}

// extended returns the extended attributes of a path; none if the file system has none.
func extended(path string) (map[string][]byte, error) {
	names := make([]byte, 64<<10) // the kernel's limit, XATTR_LIST_MAX
	n, err := unix.Llistxattr(path, names)
	if errors.Is(err, unix.ENOTSUP) || n == 0 || errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := map[string][]byte{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		value := make([]byte, 64<<10) // XATTR_SIZE_MAX
		size, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return nil, err
		}
		all[name] = value[:size]
	}
	return all, nil
}

// sumTree returns a checksum of a tree: of paths, kinds, modes, owners and content.
func sumTree(ctx context.Context, root string) (sum uint32, bytes int64, err error) {
	digest := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	seen := map[uint64]bool{}
	err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var stat unix.Stat_t
		if err := unix.Lstat(path, &stat); err != nil {
			return &fs.PathError{Op: "lstat", Path: path, Err: err}
		}
		if !seen[stat.Ino] {
			bytes += stat.Blocks * 512
		}
		seen[stat.Ino] = true
		within, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return sumEntry(ctx, digest, path, within, &stat)
	})
	return digest.Sum32(), bytes, err
}

func sumEntry(ctx context.Context, digest hash.Hash32, path, within string, stat *unix.Stat_t) error {
	fmt.Fprintf(digest, "%q %o %d %d %d\n", within, stat.Mode, stat.Uid, stat.Gid, stat.Rdev)
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		to, err := os.Readlink(path)
		fmt.Fprintf(digest, "%q\n", to)
		return err
	case unix.S_IFREG:
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		content, err := saved.Sum(file, ctx.Err)
		fmt.Fprintf(digest, "%+v\n", content)
		return err
	}
	return nil
}
