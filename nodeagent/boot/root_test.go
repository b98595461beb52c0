package boot

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// image makes a directory like an image's root.
func image(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"usr", "var", "etc"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("usr/bin", filepath.Join(root, "bin")); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestRootHasTheImagesEntriesAndKeepsWhatPodsCreated(t *testing.T) {
	entries, err := rootEntries(image(t))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for range 2 { // at each boot
		if err := layOut(root, entries); err != nil {
			t.Fatal(err)
		}
		if link, err := os.Readlink(filepath.Join(root, "bin")); err != nil || link != "usr/bin" {
			t.Errorf("/bin leads to %q, %v", link, err)
		}
		for _, dir := range []string{"usr", "var", "etc"} {
			if info, err := os.Stat(filepath.Join(root, dir)); err != nil || !info.IsDir() {
				t.Errorf("/%s: %v", dir, err)
			}
		}
		if err := os.MkdirAll(filepath.Join(root, "appdata", "db"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "appdata", "db")); err != nil {
		t.Error(err)
	}
}

func TestTheImagesEntriesReplaceOthersOfTheirName(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", filepath.Join(root, "usr")); err != nil {
		t.Fatal(err)
	}
	entries := []rootEntry{{name: "bin", link: "usr/bin"}, {name: "usr", dir: true}}
	if err := layOut(root, entries); err != nil {
		t.Fatal(err)
	}
	got, err := rootEntries(root)
	if err != nil || !slices.Equal(got, entries) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDataUnderANameOfTheImageIsNotDeleted(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "bin", "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := layOut(root, []rootEntry{{name: "bin", link: "usr/bin"}}); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(filepath.Join(root, "bin", "data")); err != nil {
		t.Error(err)
	}
}
