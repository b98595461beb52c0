package assembly

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/images/manifest"
)

// sources returns the packages with their source packages, by which Debian's security
// tracker knows them.
func (t *tree) sources(ctx context.Context, packages []manifest.Package) ([]manifest.Package, error) {
	packages = slices.Clone(packages)
	for i, p := range packages {
		out, err := run(ctx, "", nil, "dpkg-deb", "--field", filepath.Join(t.Cache, "debs", p.File), "Source")
		if err != nil {
			return nil, fmt.Errorf("read the description of %s: %w", p.File, err)
		}
		packages[i].Source, packages[i].SourceVersion = source(p, strings.TrimSpace(string(out)))
	}
	return packages, nil
}

// source returns the name and version of a package's source. The field Source is empty if
// the name is the package's, and has a version in brackets if that differs
// (https://www.debian.org/doc/debian-policy/ch-controlfields.html#source). Signed kernels
// have a source of their own, made from that of the package linux, whose version they
// carry themselves.
func source(p manifest.Package, field string) (name, version string) {
	name, version, _ = strings.Cut(field, " ")
	version = strings.Trim(version, "()")
	if name == "" {
		name = p.Name
	}
	if strings.HasPrefix(name, "linux-signed-") {
		return "linux", p.Version
	}
	if version == "" {
		version = p.Version
	}
	return name, version
}

// debianRelease returns the code name of this machine's release of Debian, whose packages
// apt offers; empty if it is another distribution
// (https://www.freedesktop.org/software/systemd/man/latest/os-release.html).
func debianRelease() string {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return ""
	}
	return codename(string(text))
}

func codename(release string) string {
	id, name := "", ""
	for line := range strings.Lines(release) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch value = strings.Trim(value, `"'`); key {
		case "ID":
			id = value
		case "VERSION_CODENAME":
			name = value
		}
	}
	if id != "debian" {
		return ""
	}
	return name
}
