package assembly

import (
	"testing"

	"github.com/skiff-dev/skiff/images/manifest"
)

func TestSourcesOfPackagesAreThoseOfTheTracker(t *testing.T) {
	for _, tt := range []struct {
		name, version, field string
		source, want         string
	}{
		{"nftables", "1.0.6-2", "", "nftables", "1.0.6-2"},
		{"libblkid1", "2.38.1-5", "util-linux", "util-linux", "2.38.1-5"},
		{"libcap2", "1:2.66-4+b1", "libcap2 (1:2.66-4)", "libcap2", "1:2.66-4"},
		{"linux-image-6.1.0-57-cloud-amd64", "6.1.192-3", "linux-signed-amd64 (6.1.192+3)", "linux", "6.1.192-3"},
	} {
		name, version := source(manifest.Package{Name: tt.name, Version: tt.version}, tt.field)
		if name != tt.source || version != tt.want {
			t.Errorf("%s: %s %s, want %s %s", tt.name, name, version, tt.source, tt.want)
		}
	}
}

func TestOnlyDebianHasADebianRelease(t *testing.T) {
	for release, want := range map[string]string{
		"ID=debian\nVERSION_CODENAME=bookworm\n":            "bookworm",
		"VERSION_CODENAME=\"trixie\"\nID=\"debian\"":        "trixie",
		"ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble": "",
		"": "",
	} {
		if got := codename(release); got != want {
			t.Errorf("%q: %q, want %q", release, got, want)
		}
	}
}
