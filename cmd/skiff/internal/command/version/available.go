package version

import (
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/vm/image"
)

// Available is a minor version of Kubernetes that clusters can have.
type Available struct {
	// Version is the minor version, as in "1.36".
	Version string `json:"version"`
	Default bool   `json:"default"`
	// Image is nil if Version has no node image.
	Image *image.Found `json:"image"`
}

// list prints the versions of Kubernetes, those without a node image too.
func list(s cli.Streams, inJSON bool) error {
	dir, err := target.ImageDir()
	if err != nil {
		return err
	}
	images, err := image.List(dir)
	if err != nil {
		return err
	}
	all := combine(kubenames.Versions(), images)
	if inJSON {
		return s.JSON(all)
	}
	rows := [][]string{{"VERSION", "RELEASE", "ARCHITECTURES", "NODE IMAGE"}}
	for _, a := range all {
		version, release, architectures, place := a.Version, "", "", "none (build it with `make image KUBERNETES="+a.Version+"`)"
		if a.Default {
			version += " (default)"
		}
		if a.Image != nil {
			release, architectures, place = a.Image.Kubernetes, strings.Join(a.Image.Architectures, ", "), a.Image.Dir
			if a.Image.Problem != "" {
				place = a.Image.Problem
			}
		}
		rows = append(rows, []string{version, release, architectures, place})
	}
	return s.Table(rows)
}

// combine returns the supported versions with their images. The default is the version
// of the default image, or else the one that this program was built for.
func combine(versions []string, images []image.Found) []Available {
	standard := kubenames.Default
	if i := slices.IndexFunc(images, func(f image.Found) bool { return f.Default }); i >= 0 {
		standard = images[i].Version
	}
	var all []Available
	for _, version := range versions {
		a := Available{Version: version, Default: version == standard}
		for _, found := range images {
			if found.Version == version && (a.Image == nil || found.Default) {
				a.Image = &found
			}
		}
		all = append(all, a)
	}
	return all
}
