// Package sbom turns the manifest of a node image, and the description of a release,
// into a software bill of materials in CycloneDX's format
// (https://cyclonedx.org/specification/overview). The same input always gives the
// same document: it has no serial number and no time.
package sbom

import (
	"fmt"
	"io"
	"net/url"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/skiff-dev/skiff/images/manifest"
)

// Name is the document's file name, next to the image's manifest.
const Name = "sbom.cdx.json"

// Release is what one of the project's releases contains for one platform.
type Release struct {
	// Version is without a leading v, Platform as in linux/amd64.
	Version, Platform string
	// Program is the host program.
	Program manifest.Program
	Image   manifest.Manifest
}

// Write writes the document of a node image as JSON.
func Write(w io.Writer, m manifest.Manifest) error {
	bom := cdx.NewBOM()
	component := image(m)
	bom.Components, component.Components = component.Components, nil
	bom.Metadata = &cdx.Metadata{Component: &component}
	return encode(w, bom)
}

// WriteRelease writes the document of a release as JSON: the host program, and the
// node image with everything in it.
func WriteRelease(w io.Writer, r Release) error {
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: &cdx.Component{
		Type: cdx.ComponentTypeApplication, Name: "skiff", Version: r.Version,
		Properties: &[]cdx.Property{{Name: "skiff:platform", Value: r.Platform}},
	}}
	bom.Components = &[]cdx.Component{program(r.Program), image(r.Image)}
	return encode(w, bom)
}

func encode(w io.Writer, bom *cdx.BOM) error {
	encoder := cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON)
	encoder.SetPretty(true)
	if err := encoder.Encode(bom); err != nil {
		return fmt.Errorf("write the bill of materials: %w", err)
	}
	return nil
}

// image lists the Debian packages, and each program with the Go modules that it was
// linked from.
func image(m manifest.Manifest) cdx.Component {
	var components []cdx.Component
	for _, p := range m.Packages {
		components = append(components, cdx.Component{
			Type: cdx.ComponentTypeLibrary, Name: p.Name, Version: p.Version, Hashes: sha256(p.SHA256),
			PackageURL: fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s", url.PathEscape(p.Name), url.PathEscape(p.Version), m.Arch),
		})
	}
	for _, p := range m.Programs {
		components = append(components, program(p))
	}
	return cdx.Component{
		Type: cdx.ComponentTypeOS, Name: "skiff-node", Version: m.Kubernetes,
		Hashes: sha256(strings.TrimPrefix(m.Digest, "sha256:")), Components: &components,
	}
}

func program(p manifest.Program) cdx.Component {
	c := cdx.Component{Type: cdx.ComponentTypeApplication, Name: p.Path, Version: p.Version, Hashes: sha256(p.SHA256)}
	var modules []cdx.Component
	if p.Go != "" {
		modules = append(modules, module("std", strings.TrimPrefix(p.Go, "go")))
	}
	for _, line := range p.Modules {
		if fields := strings.Fields(line); len(fields) >= 2 {
			modules = append(modules, module(fields[0], fields[1]))
		}
	}
	if len(modules) > 0 {
		c.Components = &modules
	}
	return c
}

func module(path, version string) cdx.Component {
	return cdx.Component{
		Type: cdx.ComponentTypeLibrary, Name: path, Version: version,
		PackageURL: "pkg:golang/" + path + "@" + url.PathEscape(version),
	}
}

func sha256(digits string) *[]cdx.Hash {
	return &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: digits}}
}
