package cluster

import (
	"errors"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/vm/machine"
)

func TestParseFolder(t *testing.T) {
	for text, want := range map[string]machine.Folder{
		"/home/me/src:/src": {Host: "/home/me/src", Path: "/src"},
		"/a b:/mnt/data:ro": {Host: "/a b", Path: "/mnt/data", ReadOnly: true},
		"/a:/home/x:rw":     {Host: "/a", Path: "/home/x"},
	} {
		if got, err := ParseFolder(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "/a", ":/a", "/a:", "/a:/b:/c", "/a:/b:ro:rw", "/a:b", "/a:/", "/a:/b/", "/a:/b/../c", "/a:/etc",
		"/a:/usr/src", "/a:/var/lib/kubelet", "/a:/proc/x", "/a:/tmp",
	} {
		if got, err := ParseFolder(text); err == nil || !strings.HasPrefix(err.Error(), "invalid mount ") {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func TestAbsoluteFolder(t *testing.T) {
	for text, want := range map[string]string{
		"src:/src":      "/project/dir/src:/src",
		"./src:/src:ro": "/project/dir/src:/src:ro",
		"../src:/src":   "/project/src:/src",
		".:/src":        "/project/dir:/src",
		"/abs:/src":     "/abs:/src",
		"~:/src":        "/home/me:/src",
		"~/a:/src":      "/home/me/a:/src",
		"nonsense":      "nonsense",
		":/src":         ":/src",
	} {
		if got := AbsoluteFolder(text, "/project/dir", "/home/me"); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestMountsThatDoNotFitTogetherAreInvalid(t *testing.T) {
	missing := func(path string) error {
		if path == "/missing" {
			return errors.New("no such file or directory")
		}
		return nil
	}
	for _, c := range []struct {
		mounts []string
		want   string
	}{
		{[]string{"/a:/src", "/b:/data"}, ""},
		{[]string{"/a:/src", "/a:/src"}, "already at /src"},
		{[]string{"/a:/src", "/b:/src/lib"}, "already at /src"},
		{[]string{"/a:/src/lib", "/b:/src"}, "already at /src/lib"},
		{[]string{"/a:/src", "/b:/src2"}, ""},
		{[]string{"/missing:/src"}, `invalid mount "/missing:/src": no such file`},
		{[]string{"a:/src"}, "must be absolute"},
		{strings.Fields(strings.Repeat("/a:x ", 17)), "17 mounts are too many"},
	} {
		faults := validateFolders(Spec{Mounts: c.mounts}, missing)
		if c.want == "" && len(faults) > 0 || c.want != "" && (len(faults) == 0 || !strings.Contains(errors.Join(faults...).Error(), c.want)) {
			t.Errorf("%v: %v, want %q", c.mounts, faults, c.want)
		}
	}
}

func FuzzParseFolder(f *testing.F) {
	f.Add("/a:/b:ro")
	f.Add("a:b:c:d")
	f.Fuzz(func(t *testing.T, text string) {
		folder, err := ParseFolder(text)
		if err == nil && (folder.Host == "" || !strings.HasPrefix(folder.Path, "/") || strings.Contains(folder.Path, "/../")) {
			t.Errorf("%q: %+v", text, folder)
		}
	})
}
