package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tree creates the test's tree and returns its directory.
func tree(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to create devices")
	}
	root := filepath.Join(t.TempDir(), "tree")
	file := filepath.Join(root, "d", "file")
	if err := errors.Join(
		os.MkdirAll(filepath.Join(root, "d", "deep"), 0o711),
		os.WriteFile(file, []byte("content"), 0o640),
		os.Chown(file, 7, 8),
		os.Chmod(file, 0o640|os.ModeSetuid),
		os.Link(file, filepath.Join(root, "e")),
		os.Symlink("d/file", filepath.Join(root, "link")),
		os.Symlink("/nowhere", filepath.Join(root, "d", "broken")),
		unix.Mknod(filepath.Join(root, "whiteout"), unix.S_IFCHR, 0),
		unix.Mkfifo(filepath.Join(root, "pipe"), 0o622),
		os.WriteFile(filepath.Join(root, "sparse"), nil, 0o600),
		os.Truncate(filepath.Join(root, "sparse"), 64<<20),
		os.Chtimes(file, time.Unix(5, 6), time.Unix(7, 8)),
	); err != nil {
		t.Fatal(err)
	}
	if err := unix.Lsetxattr(file, "user.test", []byte("value"), 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
		t.Fatal(err)
	}
	return root
}

// wantSame fails the test unless two trees are the same.
func wantSame(t *testing.T, source, target string) {
	t.Helper()
	want, _, err := sumTree(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := sumTree(t.Context(), target); err != nil || got != want {
		t.Errorf("the copy differs, %v", err)
	}
}

func TestACopyOfATreeIsExact(t *testing.T) {
	source, target := tree(t), filepath.Join(t.TempDir(), "copy")
	if _, err := copyTree(t.Context(), source, target, copied{}); err != nil {
		t.Fatal(err)
	}
	wantSame(t, source, target)
	var a, b unix.Stat_t
	if err := errors.Join(unix.Lstat(filepath.Join(target, "e"), &a), unix.Lstat(filepath.Join(target, "d", "file"), &b)); err != nil {
		t.Fatal(err)
	}
	if a.Ino != b.Ino || a.Mtim.Nano() != 7e9+8 {
		t.Errorf("hard link of %d and %d, changed at %d", a.Ino, b.Ino, a.Mtim.Nano())
	}
	if had, err := extended(filepath.Join(source, "e")); err != nil || len(had) > 0 {
		if got, err := extended(filepath.Join(target, "e")); err != nil || string(got["user.test"]) != string(had["user.test"]) {
			t.Errorf("extended attributes %q, %v", got, err)
		}
	}
	if err := unix.Lstat(filepath.Join(target, "sparse"), &a); err != nil || a.Blocks > 0 || a.Size != 64<<20 {
		t.Errorf("a sparse file takes %d blocks, %v", a.Blocks, err)
	}
}

func TestASecondCopyFollowsEveryChange(t *testing.T) {
	for name, change := range map[string]func(root string) error{
		"nothing": func(string) error { return nil },
		"content": func(root string) error { return os.WriteFile(filepath.Join(root, "e"), []byte("other"), 0) },
		"content of the same size and time": func(root string) error {
			return errors.Join(os.WriteFile(filepath.Join(root, "e"), []byte("CONTENT"), 0), os.Chtimes(filepath.Join(root, "e"), time.Unix(5, 6), time.Unix(7, 8)))
		},
		"a mode":             func(root string) error { return os.Chmod(filepath.Join(root, "d", "file"), 0o600) },
		"an owner":           func(root string) error { return os.Lchown(filepath.Join(root, "link"), 3, 4) },
		"a directory's mode": func(root string) error { return os.Chmod(filepath.Join(root, "d", "deep"), 0o700) },
		"a deleted file":     func(root string) error { return os.Remove(filepath.Join(root, "d", "file")) },
		"a deleted tree":     func(root string) error { return os.RemoveAll(filepath.Join(root, "d")) },
		"a renamed tree":     func(root string) error { return os.Rename(filepath.Join(root, "d"), filepath.Join(root, "f")) },
		"a file for a directory": func(root string) error {
			return errors.Join(os.RemoveAll(filepath.Join(root, "d")), os.WriteFile(filepath.Join(root, "d"), nil, 0o600))
		},
		"a directory for a file": func(root string) error {
			return errors.Join(os.Remove(filepath.Join(root, "e")), os.Mkdir(filepath.Join(root, "e"), 0o700))
		},
		"another target of a link": func(root string) error {
			return errors.Join(os.Remove(filepath.Join(root, "link")), os.Symlink("e", filepath.Join(root, "link")))
		},
		"two that were one": func(root string) error {
			return errors.Join(os.Remove(filepath.Join(root, "e")), os.WriteFile(filepath.Join(root, "e"), []byte("content"), 0o640))
		},
		"files that changed places": func(root string) error {
			a, b, c := filepath.Join(root, "sparse"), filepath.Join(root, "e"), filepath.Join(root, "x")
			return errors.Join(os.Rename(a, c), os.Rename(b, a), os.Rename(c, b))
		},
	} {
		t.Run(name, func(t *testing.T) {
			source, target := tree(t), filepath.Join(t.TempDir(), "copy")
			before, err := copyTree(t.Context(), source, target, copied{})
			if err != nil {
				t.Fatal(err)
			}
			if err := change(source); err != nil {
				t.Fatal(err)
			}
			if _, err := copyTree(t.Context(), source, target, before); err != nil {
				t.Fatal(err)
			}
			wantSame(t, source, target)
		})
	}
}

// A file that has not changed for long is not read again.
func TestASecondCopySkipsWhatHasNotChanged(t *testing.T) {
	source, target := tree(t), filepath.Join(t.TempDir(), "copy")
	before, err := copyTree(t.Context(), source, target, copied{})
	if err != nil {
		t.Fatal(err)
	}
	before.settle = unix.NsecToTimespec(time.Now().Add(time.Minute).UnixNano()) // as if all were old
	mark := filepath.Join(target, "e")
	if err := os.WriteFile(mark, []byte("skipped"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := copyTree(t.Context(), source, target, before); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(mark); err != nil || string(content) != "skipped" {
		t.Errorf("the copy has %q, %v", content, err)
	}
}

// A guest may put a link to the host's files in the place of a directory while it is copied.
func TestACopyDoesNotFollowLinksOutOfTheTree(t *testing.T) {
	source, target := tree(t), filepath.Join(t.TempDir(), "copy")
	outside := filepath.Join(t.TempDir(), "outside")
	if err := errors.Join(
		os.Mkdir(outside, 0o700), os.WriteFile(filepath.Join(outside, "file"), []byte("the host's"), 0o600),
		os.RemoveAll(filepath.Join(source, "d")), os.Symlink(outside, filepath.Join(source, "d")), os.MkdirAll(filepath.Join(target, "d"), 0o700),
	); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(source)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	c := &copier{ctx: t.Context(), source: source, root: root, target: target, now: copied{inodes: map[string]inode{}}, links: map[uint64]string{}}
	if err := c.entry("d/file"); err == nil || !strings.Contains(err.Error(), "escapes") {
		t.Errorf("a file of the host was copied: %v", err)
	}
}
