package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func TestProgramsOfRuntimesAreInstalledOnce(t *testing.T) {
	s := start(t)
	mounted := false
	s.api.RuntimesDir, s.api.Mounted = filepath.Join(t.TempDir(), "runtimes"), func() bool { return mounted }
	list := func() map[string]string {
		t.Helper()
		code, text := s.do("GET", nodeapi.PathPrograms, "")
		digests := map[string]string{}
		if err := json.Unmarshal([]byte(text), &digests); code != http.StatusOK || err != nil {
			t.Fatalf("list: %d %s, %v", code, text, err)
		}
		return digests
	}
	put := func(name, digest, content string) int {
		t.Helper()
		code, _ := s.do("PUT", nodeapi.PathPrograms+"/"+name+"?sha256="+digest, content)
		return code
	}
	const name = nodeconfig.ProgramRunsc
	if code, _ := s.do("GET", nodeapi.PathPrograms, ""); code != http.StatusServiceUnavailable {
		t.Errorf("list without the disk: %d", code)
	}
	if code := put(name, sumOf("one"), "one"); code != http.StatusServiceUnavailable {
		t.Errorf("install without the disk: %d", code)
	}
	if _, err := os.Stat(s.api.RuntimesDir); !os.IsNotExist(err) {
		t.Errorf("something was written before the disk was mounted: %v", err)
	}
	mounted = true
	if got := list(); len(got) != 0 {
		t.Errorf("programs at first: %v", got)
	}
	for _, content := range []string{"one", "two"} {
		if code := put(name, sumOf(content), content); code != http.StatusNoContent {
			t.Fatalf("install %s: %d", content, code)
		}
		if got, want := list(), map[string]string{name: sumOf(content)}; !maps.Equal(got, want) {
			t.Errorf("programs %v, want %v", got, want)
		}
		if got, err := os.ReadFile(filepath.Join(s.api.RuntimesDir, name)); string(got) != content || err != nil {
			t.Errorf("program %q, %v", got, err)
		}
	}
	for what, code := range map[string]int{
		"another name":      put("sh", sumOf("x"), "x"),
		"a path":            put("..%2f..%2fsh", sumOf("x"), "x"),
		"a wrong sum":       put(name, sumOf("three"), "thr"),
		"an invalid digest": put(name, strings.Repeat("0", 63), "x"),
		"no name":           put("", sumOf("x"), "x"),
	} {
		if code != http.StatusNotFound && code != http.StatusBadRequest {
			t.Errorf("%s: %d", what, code)
		}
	}
	if got, want := list(), map[string]string{name: sumOf("two")}; !maps.Equal(got, want) {
		t.Errorf("programs after bad requests: %v, want %v", got, want)
	}
	if files, err := filepath.Glob(filepath.Join(s.api.RuntimesDir, "*")); len(files) != 2 || err != nil {
		t.Errorf("files %v, %v", files, err)
	}
}
