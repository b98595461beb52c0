package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"

	"github.com/skiff-dev/skiff/internal/kubenames"
)

func parse(t *testing.T, content string) *modfile.File {
	t.Helper()
	file, err := modfile.Parse("go.mod", []byte(content), nil)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

const upstream = `module k8s.io/kubernetes

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/new => ./staging/src/k8s.io/new
	k8s.io/sample-controller => ./staging/src/k8s.io/sample-controller
)

require example.com/c v1.1.0 // indirect

require github.com/opencontainers/cgroups v0.0.3
`

func TestAReleaseIsPinnedWithItsStagingModulesOnly(t *testing.T) {
	file := parse(t, `module skiff

replace example.com/a => example.com/a v1.0.0 // kept

replace k8s.io/api => k8s.io/api v0.36.3

replace k8s.io/gone => k8s.io/gone v0.36.3

require (
	example.com/b v1.2.3
	github.com/google/cadvisor/lib v0.60.5 // indirect
	github.com/opencontainers/cgroups v0.0.6 // indirect
	k8s.io/api v0.36.3
	k8s.io/gone v0.0.0 // indirect
	k8s.io/klog/v2 v2.1.0
	k8s.io/kubernetes v1.36.3
)

exclude (
	example.com/c v1.1.0
	example.com/d v1.1.0
)
`)
	if err := pin(file, parse(t, upstream), "v1.37.2"); err != nil {
		t.Fatal(err)
	}
	content, err := file.Format()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"replace example.com/a => example.com/a v1.0.0 // kept", "replace k8s.io/api => k8s.io/api v0.37.2", "replace k8s.io/new => k8s.io/new v0.37.2",
		"example.com/b v1.2.3", "k8s.io/klog/v2 v2.1.0", "k8s.io/kubernetes v1.37.2", "exclude example.com/d v1.1.0",
		"github.com/opencontainers/cgroups v0.0.3 // indirect",
	} {
		if !strings.Contains(string(content), line) {
			t.Errorf("%q is missing in\n%s", line, content)
		}
	}
	for _, word := range []string{"gone", "sample", "v0.36.3 =>", "v1.36.3", "example.com/c", "cadvisor"} {
		if strings.Contains(string(content), word) {
			t.Errorf("%q is left in\n%s", word, content)
		}
	}
	if got := pinned(file); got != "v1.37.2" {
		t.Errorf("pinned %s", got)
	}
}

func TestOnlyReleasesArePinned(t *testing.T) {
	for _, version := range []string{"", "1.36.3", "v1.36", "v1.37.0-rc.1", "v2.0.0", "latest"} {
		if err := pin(parse(t, "module skiff\n"), parse(t, upstream), version); err == nil || !strings.Contains(err.Error(), "such as v1.36.3") {
			t.Errorf("%q: %v", version, err)
		}
	}
	if err := pin(parse(t, "module skiff\n"), parse(t, "module k8s.io/kubernetes\n"), "v1.36.3"); err == nil {
		t.Error("a module file without staging modules is accepted")
	}
}

func TestDriftIsFound(t *testing.T) {
	standard := parse(t, "module skiff\nrequire (\n\ta.b/direct v1.1.0\n\ta.b/newer v1.0.0\n\ta.b/indirect v1.1.0 // indirect\n\tgithub.com/opencontainers/cgroups v0.0.6 // indirect\n\tk8s.io/api v0.36.3\n)\n")
	for pins, want := range map[string]string{
		"a.b/direct v1.1.0; a.b/newer v1.0.0; a.b/indirect v1.1.0; github.com/opencontainers/cgroups v0.0.3; k8s.io/api v0.35.0": "",
		"a.b/direct v1.1.0; a.b/newer v1.2.0; a.b/indirect v1.3.0":                                                               "",
		"a.b/direct v1.1.0; a.b/newer v1.0.0":                                                                                    "",
		"a.b/direct v1.2.0; a.b/newer v1.0.0":                                                                                    "a.b/direct is v1.2.0, not v1.1.0",
		"a.b/newer v0.9.0; a.b/indirect v1.0.0":                                                                                  "a.b/direct is missing; a.b/newer is v0.9.0, older than v1.0.0; a.b/indirect is v1.0.0, older than v1.1.0",
	} {
		other := parse(t, "module skiff\nrequire (\n\t"+strings.ReplaceAll(pins, "; ", "\n\t")+"\n)\n")
		if got := strings.Join(drift(standard, other, []string{"a.b/newer"}), "; "); got != want {
			t.Errorf("%s: %q, want %q", pins, got, want)
		}
	}
}

// newer are the direct dependencies of which a version of Kubernetes asks for a newer
// release than go.mod has.
var newer = map[string][]string{
	"1.37": {"sigs.k8s.io/knftables"},
}

func TestAllVersionsShareThePinsOfTheDefaultOne(t *testing.T) {
	standard, err := read("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if got := pinned(standard); !strings.HasPrefix(got, "v"+kubenames.Default+".") {
		t.Errorf("go.mod pins Kubernetes %s, and kubenames.Default is %s", got, kubenames.Default)
	}
	clients, err := read("../test/tools/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := pinned(clients), pinned(standard); got != want {
		t.Errorf("test/tools/go.mod pins Kubernetes %s, want %s", got, want)
	}
	files, err := filepath.Glob("1.*.mod")
	if err != nil {
		t.Fatal(err)
	}
	versions := []string{kubenames.Default}
	for _, name := range files {
		version := strings.TrimSuffix(name, ".mod")
		versions = append(versions, version)
		other, err := read(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := pinned(other); !strings.HasPrefix(got, "v"+version+".") {
			t.Errorf("%s pins Kubernetes %s", name, got)
		}
		zero := "v0" + strings.TrimPrefix(pinned(other), "v1")
		for _, r := range other.Replace {
			if r.Old.Path == r.New.Path && strings.HasPrefix(r.Old.Path, "k8s.io/") && r.New.Version != zero {
				t.Errorf("%s: %s is %s, want %s", name, r.Old.Path, r.New.Version, zero)
			}
		}
		for _, fault := range drift(standard, other, newer[version]) {
			t.Errorf("%s: %s: run \"make versions\"", name, fault)
		}
	}
	slices.Sort(versions)
	if want := kubenames.Versions(); !slices.Equal(versions, want) {
		t.Errorf("module files for %q, names for %q", versions, want)
	}
}
