package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// disks returns a driver with the directories of machines, and the SHA-256 sum of content.
func disks(t *testing.T, content string, machines ...string) (*Driver, string) {
	t.Helper()
	d := &Driver{config: Config{Dir: t.TempDir()}}
	for _, name := range machines {
		if err := os.MkdirAll(filepath.Join(d.data(name), "lib"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sum := sha256.Sum256([]byte(content))
	return d, hex.EncodeToString(sum[:])
}

func TestAFileIsWrittenOnceForAllMachines(t *testing.T) {
	d, sum := disks(t, "content", "one", "two")
	for range 2 { // the second time, it exists
		if err := d.PutFile(t.Context(), []string{"one", "two"}, "/var/lib/file", sum, strings.NewReader("content")); err != nil {
			t.Fatal(err)
		}
	}
	var infos []os.FileInfo
	for _, name := range []string{"one", "two"} {
		file := filepath.Join(d.data(name), "lib/file")
		if got, err := os.ReadFile(file); err != nil || string(got) != "content" {
			t.Errorf("%s has %q, %v", name, got, err)
		}
		info, err := os.Stat(file)
		if err != nil || info.Mode() != 0o444 {
			t.Fatalf("%v, %v", info, err)
		}
		infos = append(infos, info)
	}
	if !os.SameFile(infos[0], infos[1]) {
		t.Error("the machines have a copy each")
	}
}

func TestAFileThatIsRefusedIsNotThere(t *testing.T) {
	d, sum := disks(t, "content", "one")
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(d.data("one"), "link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(d.data("one"), "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"a pipe":                 d.PutFile(t.Context(), []string{"one"}, "/var/pipe/file", sum, strings.NewReader("content")),
		"other content":          d.PutFile(t.Context(), []string{"one"}, "/var/lib/file", sum, strings.NewReader("damaged")),
		"a directory outside":    d.PutFile(t.Context(), []string{"one"}, "/var/link/file", sum, strings.NewReader("content")),
		"a missing directory":    d.PutFile(t.Context(), []string{"one"}, "/var/none/file", sum, strings.NewReader("content")),
		"another directory":      d.PutFile(t.Context(), []string{"one"}, "/lib/file", sum, strings.NewReader("content")),
		"a machine that is gone": d.PutFile(t.Context(), []string{"two"}, "/var/lib/file", sum, strings.NewReader("content")),
	} {
		if err == nil || errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, file := range []string{filepath.Join(outside, "file"), filepath.Join(d.data("one"), "lib/file")} {
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
