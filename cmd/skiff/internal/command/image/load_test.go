package image

import (
	"strings"
	"testing"
)

func TestNormalizedNamesAreWhatTheKubeletAsksFor(t *testing.T) {
	got := strings.Join(normalized([]string{"app:1", "app", "ghcr.io/a/b:2", "docker.io/library/x:1", "Not A Name"}), " ")
	if want := "docker.io/library/app:1 docker.io/library/app:latest ghcr.io/a/b:2 docker.io/library/x:1 Not A Name"; got != want {
		t.Errorf("got %s", got)
	}
}
