package recipe

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/images/manifest"
)

func TestEveryArchitectureHasARecipe(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		image, err := For(arch)
		if err != nil || image.KernelPackage != "linux-image-cloud-"+arch || !strings.Contains(image.Cmdline, "console=") {
			t.Errorf("%s: %+v, %v", arch, image, err)
		}
	}
	if _, err := For("riscv64"); err == nil {
		t.Error("an unsupported architecture has a recipe")
	}
}

func TestPathsAreRelativeAndUnique(t *testing.T) {
	image, err := For("amd64")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	once := func(name string) {
		if path.IsAbs(name) || path.Clean(name) != name || strings.HasPrefix(name, "..") {
			t.Errorf("%s is not a clean relative path", name)
		}
		if seen[name] {
			t.Errorf("%s appears twice", name)
		}
		seen[name] = true
	}
	for name := range image.Files {
		once(name)
	}
	for name := range image.Links {
		once(name)
	}
	for _, program := range image.Programs {
		for _, name := range program.Names {
			once(path.Join(program.Dir, name))
		}
	}
	for _, guest := range image.Guest {
		once(guest.Path)
	}
	for _, dir := range image.Dirs {
		once(dir)
	}
}

func TestProgramsOfRuntimesAreBuilt(t *testing.T) {
	image, err := For("arm64")
	if err != nil {
		t.Fatal(err)
	}
	var built []string
	for _, program := range image.Beside {
		built = append(built, program.Names...)
	}
	want := manifest.Beside()
	slices.Sort(built)
	slices.Sort(want)
	if !slices.Equal(built, want) {
		t.Errorf("the recipe builds %q beside the root, and a host looks for %q", built, want)
	}
}

func TestModulePatternsAreValid(t *testing.T) {
	for _, pattern := range modules().Ship {
		if _, err := path.Match(pattern, "x"); err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
	}
}

func TestAppletsAreUniqueAndModprobeIsInSbin(t *testing.T) {
	all := Applets()
	sorted := slices.Clone(all)
	slices.Sort(sorted)
	if len(slices.Compact(sorted)) != len(all) {
		t.Error("an applet appears twice")
	}
	if !InSbin("modprobe") || InSbin("sh") || !slices.Contains(all, "sh") {
		t.Error("modprobe or sh is in the wrong directory")
	}
}

func TestContainerdUsesTheBundledPauseImage(t *testing.T) {
	if !strings.Contains(files()["etc/containerd/config.toml"], "sandbox = '"+PauseImage+"'") {
		t.Error("containerd uses another pause image")
	}
}
