package web_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/web"
)

// maxSize bounds the front end as browsers load it, in bytes.
const maxSize = 600_000

// built returns the content of all built files by name.
func built(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(web.Assets(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) != web.Suffix {
			return err
		}
		file, err := web.Assets().Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		unpacked, err := gzip.NewReader(file)
		if err != nil {
			return err
		}
		content, err := io.ReadAll(unpacked)
		files[strings.TrimSuffix(name, web.Suffix)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("the front end is not built: run make web")
	}
	return files
}

func TestTheFrontEndIsSmall(t *testing.T) {
	built(t)
	var total int64
	err := fs.WalkDir(web.Assets(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes compressed", total)
	if total > maxSize {
		t.Errorf("the front end has %d bytes compressed, more than %d", total, maxSize)
	}
}

// outside matches addresses of other servers.
var outside = regexp.MustCompile(`(https?|wss?):(\\?/){2}[A-Za-z0-9][^\s"'` + "`" + `<>)\\]*`)

// harmless are addresses that nothing is loaded from: names of XML namespaces, and links
// in messages for developers.
var harmless = []string{"http://www.w3.org/"}

func TestNothingIsLoadedFromElsewhere(t *testing.T) {
	for name, content := range built(t) {
		if strings.HasSuffix(name, "licenses.txt") {
			continue
		}
		for _, address := range outside.FindAllString(content, -1) {
			if !slices.ContainsFunc(harmless, func(prefix string) bool { return strings.HasPrefix(address, prefix) }) {
				t.Errorf("%s refers to %s", name, address)
			}
		}
		for _, word := range []string{"sourceMappingURL", "serviceWorker", "new Function("} {
			if strings.Contains(content, word) {
				t.Errorf("%s contains %s", name, word)
			}
		}
	}
}

// reference matches what a page or a script loads.
var reference = regexp.MustCompile(`/assets/[A-Za-z0-9_.-]+`)

func TestThePageRefersToFilesThatExist(t *testing.T) {
	files := built(t)
	page := files[web.Index]
	found := reference.FindAllString(page, -1)
	if len(found) < 2 {
		t.Errorf("the page refers to %v", found)
	}
	for _, name := range found {
		if _, ok := files[strings.TrimPrefix(name, "/")]; !ok {
			t.Errorf("the page refers to %s", name)
		}
	}
	for _, inline := range []string{"<style", "style=", "onload=", "onclick=", "javascript:"} {
		if strings.Contains(page, inline) {
			t.Errorf("the page contains %q, which its content security policy forbids", inline)
		}
	}
	if files["assets/licenses.txt"] == "" {
		t.Error("the licenses of the packages are missing")
	}
}

func TestPackagesArePinnedByTheirContent(t *testing.T) {
	content, err := os.ReadFile("app/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct{ Version, Integrity, Resolved string }
	}
	if err := json.Unmarshal(content, &lock); err != nil {
		t.Fatal(err)
	}
	for name, p := range lock.Packages {
		switch {
		case name == "":
		case !strings.HasPrefix(p.Integrity, "sha512-"):
			t.Errorf("%s has no checksum", name)
		case p.Resolved != "":
			t.Errorf("%s names a server: lock it with npm install --omit-lockfile-registry-resolved", name)
		}
	}
}
