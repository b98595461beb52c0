// Package gatewayapi holds the custom resource definitions of the Gateway API's standard
// channel, as upstream's module of the release in go.mod has them. They are packed when
// the release changes, because upstream does not embed them.
package gatewayapi

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/version"
)

//go:generate go run ./generate crds.zip

//go:embed crds.zip
var embedded []byte

// Annotations of the definitions.
const (
	annotationVersion = "gateway.networking.k8s.io/bundle-version"
	annotationChannel = "gateway.networking.k8s.io/channel"
)

// suffix ends the names of the files in the archive.
const suffix = ".json"

// maxDefinition bounds one unpacked definition.
const maxDefinition = 4 << 20

// Names returns the names of all definitions, sorted. Reading them costs little.
func Names() ([]string, error) {
	archive, err := open()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range archive.File {
		names = append(names, strings.TrimSuffix(f.Name, suffix))
	}
	slices.Sort(names)
	return names, nil
}

// Definition returns a CustomResourceDefinition as the API encodes it.
func Definition(name string) (map[string]any, error) {
	archive, err := open()
	if err != nil {
		return nil, err
	}
	file, err := archive.Open(name + suffix)
	if err != nil {
		return nil, fmt.Errorf("open the definition %s: %w", name, err)
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxDefinition))
	if err != nil {
		return nil, fmt.Errorf("unpack the definition %s: %w", name, err)
	}
	var definition map[string]any
	if err := json.Unmarshal(content, &definition); err != nil {
		return nil, fmt.Errorf("parse the definition %s: %w", name, err)
	}
	return definition, nil
}

func open() (*zip.Reader, error) {
	archive, err := zip.NewReader(bytes.NewReader(embedded), int64(len(embedded)))
	if err != nil {
		return nil, fmt.Errorf("open the definitions of the Gateway API: %w", err)
	}
	return archive, nil
}

// Precedes reports whether a definition with these annotations is of the standard channel
// and of an earlier release than those of this package. A user who installs the experimental
// channel or a later release keeps it.
func Precedes(annotations map[string]string) (bool, error) {
	archive, err := open()
	if err != nil {
		return false, err
	}
	own, err := version.ParseSemantic(archive.Comment)
	if err != nil {
		return false, fmt.Errorf("read the release of the Gateway API: %w", err)
	}
	other, err := version.ParseSemantic(annotations[annotationVersion])
	return err == nil && annotations[annotationChannel] == "standard" && other.LessThan(own), nil
}

// Pack makes an archive of the definitions of a release, in JSON by name. The same
// definitions always make the same archive.
func Pack(release string, definitions map[string][]byte) ([]byte, error) {
	var buffer bytes.Buffer
	archive := zip.NewWriter(&buffer)
	if err := archive.SetComment(release); err != nil {
		return nil, err
	}
	archive.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	var names []string
	for name := range definitions {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		w, err := archive.Create(name + suffix)
		if err == nil {
			_, err = w.Write(definitions[name])
		}
		if err != nil {
			return nil, fmt.Errorf("pack the definition %s: %w", name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return nil, fmt.Errorf("pack the definitions: %w", err)
	}
	return buffer.Bytes(), nil
}
