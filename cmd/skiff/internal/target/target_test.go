package target

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/skiff-dev/skiff/images/manifest/manifesttest"
)

func TestTheImageIsFoundWhereBuildsAndReleasesPutIt(t *testing.T) {
	for name, c := range map[string]struct {
		images, dirs []string // relative to the directory that has bin/skiff
		want         string
	}{
		"build":                     {images: []string{"bin/image"}, want: "bin/image"},
		"release":                   {images: []string{"lib/skiff/image"}, want: "lib/skiff/image"},
		"a build wins":              {images: []string{"bin/image", "lib/skiff/image"}, want: "bin/image"},
		"a directory of that name":  {dirs: []string{"bin/image"}, images: []string{"lib/skiff/image"}, want: "lib/skiff/image"},
		"build without an image":    {want: "bin/image"},
		"release without its image": {dirs: []string{"lib/skiff"}, want: "lib/skiff/image"},
	} {
		t.Run(name, func(t *testing.T) {
			prefix := t.TempDir()
			for _, dir := range append(c.dirs, c.images...) {
				if err := os.MkdirAll(filepath.Join(prefix, dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, dir := range c.images {
				if _, err := manifesttest.Write(filepath.Join(prefix, dir), "amd64"); err != nil {
					t.Fatal(err)
				}
			}
			if got, want := imageBeside(filepath.Join(prefix, "bin", "skiff")), filepath.Join(prefix, c.want); got != want {
				t.Errorf("image in %s, want %s", got, want)
			}
		})
	}
}
