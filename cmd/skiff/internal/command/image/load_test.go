package image

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/archive"
)

func TestNormalizedNamesAreWhatTheKubeletAsksFor(t *testing.T) {
	got := strings.Join(normalized([]string{"app:1", "app", "ghcr.io/a/b:2", "docker.io/library/x:1", "Not A Name"}), " ")
	if want := "docker.io/library/app:1 docker.io/library/app:latest ghcr.io/a/b:2 docker.io/library/x:1 Not A Name"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestImagesRunByDigestToo(t *testing.T) {
	const sum = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	got := pins(archive.Image{Names: []string{"registry.example/team/app:2", "app"}, Digest: sum})
	want := []pin{{"registry.example/team/app:2", "registry.example/team/app@" + sum}, {"app", "docker.io/library/app@" + sum}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if got := pins(archive.Image{Names: []string{"app"}}); got != nil {
		t.Errorf("without a digest: %v", got)
	}
}

func TestLocalNamesAreExplained(t *testing.T) {
	if got := localHint([]string{"localhost/app:1"}); got != "use \"localhost/app:1\" in pods: \"app:1\" means docker.io/library/app:1\n" {
		t.Errorf("got %q", got)
	}
	if got := localHint([]string{"app:1"}); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestSpoolEndsWithItsContext(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	blocked, _ := io.Pipe()
	_, err := spool(ctx, "standard input", func(w io.Writer) error {
		cancel()
		_, err := io.Copy(w, blocked)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
