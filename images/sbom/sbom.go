// Package sbom turns the manifest of a node image into a software bill of
// materials in CycloneDX's format (https://cyclonedx.org/specification/overview).
// The same manifest always gives the same document: it has no serial number and
// no time.
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

// Write writes the document as JSON.
func Write(w io.Writer, m manifest.Manifest) error {
	encoder := cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON)
	encoder.SetPretty(true)
	if err := encoder.Encode(document(m)); err != nil {
		return fmt.Errorf("write the bill of materials: %w", err)
	}
	return nil
}

// document lists the Debian packages, and each program with the Go modules that
// it was linked from.
func document(m manifest.Manifest) *cdx.BOM {
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: &cdx.Component{
		Type: cdx.ComponentTypeOS, Name: "skiff-node", Version: m.Kubernetes,
		Hashes: sha256(strings.TrimPrefix(m.Digest, "sha256:")),
	}}
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
	bom.Components = &components
	return bom
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
