package sbom

import (
	"bytes"
	"slices"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/skiff-dev/skiff/images/manifest"
)

func TestDocumentListsPackagesProgramsAndModules(t *testing.T) {
	m := manifest.Manifest{
		Digest: "sha256:aa", Arch: "amd64", Kubernetes: "v1.36.3",
		Packages: []manifest.Package{{Name: "libc6", Version: "2.36-9+deb12u10", SHA256: "bb"}},
		Programs: []manifest.Program{
			{Path: "/usr/bin/runc", SHA256: "cc", Go: "go1.26.8", Modules: []string{"golang.org/x/sys v0.46.0 h1:sum"}},
			{Path: "/pause", SHA256: "dd"},
		},
	}
	var first, second bytes.Buffer
	if err := Write(&first, m); err != nil {
		t.Fatal(err)
	}
	if err := Write(&second, m); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("two documents of one manifest differ, %v", err)
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(&first, cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	var urls []string
	for _, c := range *bom.Components {
		urls = append(urls, c.PackageURL)
		if c.Components != nil {
			for _, module := range *c.Components {
				urls = append(urls, module.PackageURL)
			}
		}
	}
	want := []string{"pkg:deb/debian/libc6@2.36-9+deb12u10?arch=amd64", "", "pkg:golang/std@1.26.8", "pkg:golang/golang.org/x/sys@v0.46.0", ""}
	if len(urls) != len(want) {
		t.Fatalf("%q", urls)
	}
	for i := range want {
		if urls[i] != want[i] {
			t.Errorf("package URL %q, want %q", urls[i], want[i])
		}
	}
}

func TestReleaseListsTheHostProgramAndTheImage(t *testing.T) {
	var out bytes.Buffer
	if err := WriteRelease(&out, Release{
		Version: "0.2.0", Platform: "linux/amd64",
		Program: manifest.Program{Path: "bin/skiff", SHA256: "aa", Go: "go1.26.8", Modules: []string{"github.com/spf13/cobra v1.10.2 h1:sum"}},
		Image: manifest.Manifest{
			Digest: "sha256:bb", Arch: "amd64", Kubernetes: "v1.36.3",
			Packages: []manifest.Package{{Name: "libc6", Version: "2.36", SHA256: "cc"}},
			Programs: []manifest.Program{{Path: "/usr/bin/runc", SHA256: "dd"}},
		},
	}); err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(&out, cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if c := bom.Metadata.Component; c.Name != "skiff" || c.Version != "0.2.0" {
		t.Errorf("the document describes %s %s", c.Name, c.Version)
	}
	var names []string
	for _, c := range *bom.Components {
		names = append(names, c.Name)
		for _, inner := range *c.Components {
			names = append(names, c.Name+" > "+inner.Name)
		}
	}
	want := []string{
		"bin/skiff", "bin/skiff > std", "bin/skiff > github.com/spf13/cobra",
		"skiff-node", "skiff-node > libc6", "skiff-node > /usr/bin/runc",
	}
	if !slices.Equal(names, want) {
		t.Errorf("components %q, want %q", names, want)
	}
}
