package sbom

import (
	"bytes"
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
