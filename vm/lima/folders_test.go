package lima

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
)

func TestVirtiofsdArguments(t *testing.T) {
	rust, c := virtiofsd{path: "/usr/libexec/virtiofsd"}, virtiofsd{path: "/usr/lib/qemu/virtiofsd", fromC: true}
	writable, readOnly := machine.Folder{Host: "/src", Path: "/src"}, machine.Folder{Host: "/src", Path: "/src", ReadOnly: true}
	for _, c := range []struct {
		name    string
		program virtiofsd
		folder  machine.Folder
		root    bool
		want    string // empty for an error
	}{
		{"Rust", rust, writable, false, "--socket-path /m/fs0.sock --shared-dir /src --announce-submounts"},
		{"Rust, read-only", rust, readOnly, false, "--socket-path /m/fs0.sock --shared-dir /src --announce-submounts --readonly"},
		{"C", c, writable, true, "--socket-path=/m/fs0.sock -f -o source=/src,announce_submounts,log_level=warn"},
		{"C without root", c, writable, false, ""},
		{"C, read-only", c, readOnly, true, ""},
		{"C with a comma", c, machine.Folder{Host: "/a,flock", Path: "/a"}, true, ""},
	} {
		got, err := c.program.arguments("/m/fs0.sock", c.folder, c.root)
		if strings.Join(got, " ") != c.want || (c.want == "") != errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

func TestEachFolderIsADevice(t *testing.T) {
	dir := t.TempDir()
	write := func(tags string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, foldersFile), []byte(tags), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	if got, err := folderArguments(dir); err != nil || got != nil {
		t.Errorf("no folders: %q, %v", got, err)
	}
	write("lima-a\nlima-b\n")
	got, err := folderArguments(dir)
	if err != nil || !slices.Contains(got, "vhost-user-fs-pci,queue-size=1024,chardev=char-fs1,tag=lima-b") ||
		!slices.Contains(got, "socket,id=char-fs1,path="+folderSocket(dir, 1)) {
		t.Errorf("two folders: %q, %v", got, err)
	}
}

func TestAServerIsStartedAndEnded(t *testing.T) {
	dir := t.TempDir()
	program := func(name, script string) virtiofsd {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return virtiofsd{path: path}
	}
	socket, folder := folderSocket(dir, 0), machine.Folder{Host: dir, Path: "/src"}
	started, err := serve(t.Context(), program("listens", `touch "$2"; exec sleep 60`), socket, folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := (servers{started}).Close(); err != nil || started.command.ProcessState == nil {
		t.Errorf("after Close: %v, %v", started.command.ProcessState, err)
	}
	if _, err := serve(t.Context(), program("fails", "echo no such directory >&2; exit 1"), socket, folder); err == nil || !strings.Contains(err.Error(), "fails ended: no such directory") {
		t.Errorf("a server that ends: %v", err)
	}
}
