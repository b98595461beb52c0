package home_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/vm/home"
)

func TestADirectoryThatOthersCanChangeIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "h")
	h := home.Home(dir)
	if err := h.Check(); err != nil {
		t.Errorf("a directory that does not exist: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for mode, safe := range map[os.FileMode]bool{0o700: true, 0o755: true, 0o775: true, 0o777: false, 0o777 | os.ModeSticky: false, 0o702: false} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if err := h.Check(); (err == nil) != safe || err != nil && (!errors.Is(err, home.ErrUnsafe) || !strings.Contains(err.Error(), dir)) {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	file := home.Home(filepath.Join(t.TempDir(), "file"))
	if err := os.WriteFile(string(file), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := file.Check(); !errors.Is(err, home.ErrUnsafe) {
		t.Errorf("a file: %v", err)
	}
}

func TestRootUsesADirectoryOnlyInThePlaceOfItsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	const user, other = 12345, 12346
	parent := t.TempDir()
	dir := filepath.Join(parent, "h")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		parent, dir int
		sudo        string
		safe        bool
	}{
		"root's own":              {0, 0, "", true},
		"root's in a user's home": {user, 0, "", true},
		"a user's home":           {user, user, "", true},
		"of the user of sudo":     {0, user, "12345", true},
		"planted by another user": {0, other, "", false},
		"planted in a user's":     {user, other, "12345", false},
	} {
		if err := errors.Join(os.Chown(parent, test.parent, -1), os.Chown(dir, test.dir, -1)); err != nil {
			t.Fatal(err)
		}
		t.Setenv("SUDO_UID", test.sudo)
		if err := home.Home(dir).Check(); (err == nil) != test.safe {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestALockIsNotOpenedThroughALink(t *testing.T) {
	c := home.Home(t.TempDir()).Cluster("demo")
	if err := os.MkdirAll(string(c), 0o700); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, c.Lock()); err != nil {
		t.Fatal(err)
	}
	if lock, err := c.Acquire(); err == nil {
		_ = lock.Release()
		t.Error("the lock was taken through a link")
	}
	if content, err := os.ReadFile(target); err != nil || string(content) != "content" {
		t.Errorf("the target of the link has %q, %v", content, err)
	}
}
