package boundedlog_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/internal/boundedlog"
)

const limit = 1 << 10

func open(t *testing.T, path string) *boundedlog.File {
	t.Helper()
	log, err := boundedlog.Open(path, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

func TestALogKeepsItsEndWithinTheLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log := open(t, path)
	for range 40 {
		if _, err := log.Write([]byte(strings.Repeat("x", limit/8) + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := log.Write([]byte("last\n")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + ".1"} {
		if info, err := os.Stat(name); err != nil || info.Size() == 0 || info.Size() > limit {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if content, err := os.ReadFile(path); err != nil || !strings.HasSuffix(string(content), "last\n") {
		t.Errorf("ends with %q, %v", content[len(content)-5:], err)
	}
}

func TestAnOpenedLogContinuesWhatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for range 2 {
		log := open(t, path)
		if _, err := log.Write([]byte("line\n")); err != nil {
			t.Fatal(err)
		}
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "line\nline\n" {
		t.Errorf("%q, %v", content, err)
	}
}

func TestALogThatCannotBeRenamedStaysOpenAndBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	// A directory that is not empty cannot be replaced by a file.
	if err := os.MkdirAll(filepath.Join(path+".1", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	log := open(t, path)
	for range 40 {
		if _, err := log.Write([]byte(strings.Repeat("x", limit/8))); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Size() == 0 || info.Size() > limit {
		t.Errorf("%v, %v", info, err)
	}
}

func TestALogIsOpenedAgainAfterAnError(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	log := open(t, filepath.Join(dir, "log"))
	if _, err := log.Write(make([]byte, limit)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Write([]byte("lost")); err == nil {
		t.Error("a line was written into a directory that is gone")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Write([]byte("kept")); err != nil {
		t.Error(err)
	}
}
