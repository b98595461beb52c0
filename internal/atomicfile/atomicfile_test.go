package atomicfile_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// crashAt names a directory in which the test program, run as a child, starts
// writes and is then killed.
const crashAt = "ATOMICFILE_TEST_CRASH_AT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashAt); dir != "" {
		crash(dir)
	}
	os.Exit(m.Run())
}

// crash leaves an unfinished write behind.
func crash(dir string) {
	f, err := atomicfile.Create(filepath.Join(dir, "file"), 0o600)
	if err == nil {
		_, err = f.WriteString("half")
	}
	if err != nil {
		panic(err)
	}
	os.Exit(0)
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestWriteReplacesContentAndMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, step := range []struct {
		content string
		mode    fs.FileMode
	}{{"one", 0o644}, {"two, longer", 0o600}, {"", 0o666}} {
		if err := atomicfile.Write(path, []byte(step.content), step.mode); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != step.content {
			t.Errorf("content %q, %v; want %q", got, err, step.content)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != step.mode {
			t.Errorf("mode %v, %v; want %v", info.Mode(), err, step.mode)
		}
	}
	if got := names(t, filepath.Dir(path)); len(got) != 1 {
		t.Errorf("files %v", got)
	}
}

func TestAFailedWriteKeepsTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := atomicfile.Write(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := atomicfile.Create(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("new"); err != nil {
		t.Fatal(err)
	}
	f.Discard()
	f.Discard()
	if err := f.Commit(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Commit after Discard: %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("content %q, %v", got, err)
	}
	// A directory cannot be replaced by a file.
	if err := os.Mkdir(filepath.Join(dir, "directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(filepath.Join(dir, "directory"), nil, 0o600); err == nil {
		t.Error("a file replaced a directory")
	}
	if got := names(t, dir); len(got) != 2 {
		t.Errorf("files %v", got)
	}
}

func TestTheNextWriteRemovesWhatACrashedWriterLeft(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashAt+"="+dir)
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := names(t, dir); len(got) != 1 || !strings.HasPrefix(got[0], ".file.tmp-") {
		t.Fatalf("files after a crash %v", got)
	}
	// A file of another name and a directory tree are not leftovers of this file.
	if err := os.WriteFile(filepath.Join(dir, ".file2.tmp-1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, ".file.tmp-2", "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); strings.Join(got, " ") != ".file2.tmp-1 file" {
		t.Errorf("files %v", got)
	}
}

func TestConcurrentWritersDoNotDisturbEachOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	var all sync.WaitGroup
	for writer := range byte(8) {
		content := bytes.Repeat([]byte{'a' + writer}, 4096)
		all.Go(func() {
			for range 20 {
				if err := atomicfile.Write(path, content, 0o600); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	got, err := os.ReadFile(path)
	if err != nil || len(got) != 4096 || len(bytes.Trim(got, string(got[0]))) != 0 {
		t.Errorf("%d bytes of several writers, %v", len(got), err)
	}
	if got := names(t, filepath.Dir(path)); len(got) != 1 {
		t.Errorf("files %v", got)
	}
}

func TestInstallMovesAFileOfAnotherProgram(t *testing.T) {
	dir := t.TempDir()
	temporary, path := filepath.Join(dir, "file.new"), filepath.Join(dir, "file")
	if err := os.WriteFile(temporary, []byte("disk"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Install(temporary, path, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "disk" {
		t.Errorf("content %q, %v", got, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestWriteTreeAppearsCompleteOrNotAtAll(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "pki")
	if err := os.MkdirAll(filepath.Join(parent, ".pki.tmp-1", "etcd"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"../out", "/out", "etcd/../../out", ""} {
		if err := atomicfile.WriteTree(dir, map[string][]byte{"ca.crt": nil, bad: nil}); err == nil {
			t.Errorf("%q was written", bad)
		}
	}
	if got := names(t, parent); len(got) != 0 {
		t.Errorf("files after failures and a crash %v", got)
	}
	files := map[string][]byte{"ca.crt": []byte("a"), "etcd/peer/ca.crt": []byte("b")}
	if err := atomicfile.WriteTree(dir, files); err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		path := filepath.Join(dir, name)
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
	}
	if err := atomicfile.WriteTree(dir, files); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over an existing tree: %v", err)
	}
	if got := names(t, parent); len(got) != 1 {
		t.Errorf("files %v", got)
	}
}

func TestRemoveLeftoversKeepsARunningWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	f, err := atomicfile.Create(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Discard()
	if err := atomicfile.RemoveLeftovers(path); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Error(err)
	}
}
