package image

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/archive"
)

var mixed = nodes{names: []string{"control-plane-1", "arm-1", "worker-1"}, own: "amd64", foreign: map[string]string{"arm-1": "arm64"}}

// archived returns an archive with an image for the named architectures only.
func archived(archs ...string) source {
	s := source{title: "app.tar"}
	for _, arch := range []string{"amd64", "arm64"} {
		v := archive.Variant{Arch: arch, Images: []archive.Image{{Names: []string{"app:1"}, Layers: []archive.Layer{{Digest: arch}}}}}
		if !slices.Contains(archs, arch) {
			v = archive.Variant{Arch: arch, Missing: fmt.Errorf("%w: not for %s", archive.ErrPlatform, arch)}
		}
		s.variants = append(s.variants, v)
	}
	return s
}

func TestNodesGetTheImagesForTheirArchitecture(t *testing.T) {
	only := func(names ...string) nodes {
		some := mixed
		some.names = names
		return some
	}
	for _, test := range []struct {
		name  string
		from  source
		to    nodes
		named bool
		want  string // the layer that nodes get; "-" if they are left out
		err   string
	}{
		{"both", archived("amd64", "arm64"), mixed, false, "amd64: control-plane-1 worker-1; arm64: arm-1", ""},
		{"one", archived("amd64"), mixed, false, "amd64: control-plane-1 worker-1; -: arm-1", ""},
		{"the other", archived("arm64"), mixed, false, "-: control-plane-1 worker-1; arm64: arm-1", ""},
		{"no such node", archived("amd64"), only("worker-1"), false, "amd64: worker-1", ""},
		{"one for nobody", archived("arm64"), only("worker-1"), false, "", "app.tar: built for another platform: not for amd64"},
		{"one for some of those that are named", archived("amd64"), mixed, true, "", "app.tar: built for another platform: not for arm64"},
		{"one for the node that is named", archived("arm64"), only("arm-1"), true, "arm64: arm-1", ""},
	} {
		shares, err := split([]source{test.from}, test.to, test.named)
		var got []string
		for _, s := range shares {
			layer := "-"
			if s.missing == nil {
				layer = s.layers[0].Digest
			}
			got = append(got, layer+": "+strings.Join(s.nodes, " "))
		}
		if strings.Join(got, "; ") != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
	}
}

func TestTheBuilderRunsOnANodeOfThePlatform(t *testing.T) {
	for _, test := range []struct{ named, platform, want, err string }{
		{"", "", "worker-1", ""},
		{"", "linux/amd64", "worker-1", ""},
		{"", "linux/arm64", "arm-1", ""},
		{"arm-1", "", "arm-1", ""},
		{"arm-1", "linux/arm64", "arm-1", ""},
		{"arm-1", "linux/amd64", "", "node arm-1 is linux/arm64, not linux/amd64"},
		{"arm-2", "", "", `no node named "arm-2"`},
	} {
		got, err := mixed.builder(test.named, test.platform)
		if test.err == "" && (got != test.want || err != nil) || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%+v: %q, %v", test, got, err)
		}
	}
	native := nodes{names: []string{"worker-1"}, own: "amd64"}
	if _, err := native.builder("", "linux/arm64"); err == nil || !strings.Contains(err.Error(), "no node for linux/arm64") {
		t.Error(err)
	}
}
