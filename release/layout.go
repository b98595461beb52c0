package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/images/sbom"
)

// name identifies the release and the platform that a file is for.
type name struct{ Version, OS, Arch string }

// base is the name of a platform's files without an extension, and of the directory
// in its archive. install.sh forms the same name.
func (n name) base() string { return "skiff_" + n.Version + "_" + n.OS + "_" + n.Arch }

// platform is what the name is for, as in linux/amd64.
func (n name) platform() string { return n.OS + "/" + n.Arch }

// entry is a file of the release.
type entry struct {
	// path is relative to the prefix that a release is installed in, with slashes.
	path string
	// source is where its content comes from.
	source     string
	executable bool
}

// mode returns the permissions of the file.
func (e entry) mode() os.FileMode {
	if e.executable {
		return 0o755
	}
	return 0o644
}

// sources are the files and directories that a release is made from.
type sources struct {
	program, image, man, completions, documents string
	// bill is the bill of materials of the host program and of the image.
	bill string
}

// layout lists the files of a release, sorted. It is that of a Unix prefix: an archive
// can be unpacked anywhere, and a package unpacks it to /usr. The program finds its
// image relative to itself.
func layout(s sources) ([]entry, error) {
	entries := []entry{
		{path: "bin/skiff", source: s.program, executable: true},
		{path: "share/bash-completion/completions/skiff", source: filepath.Join(s.completions, "skiff.bash")},
		{path: "share/zsh/site-functions/_skiff", source: filepath.Join(s.completions, "_skiff")},
		{path: "share/fish/vendor_completions.d/skiff.fish", source: filepath.Join(s.completions, "skiff.fish")},
		{path: "share/doc/skiff/" + sbom.Name, source: s.bill},
	}
	for _, file := range []string{"LICENSE", "README.md", "CHANGELOG.md"} {
		entries = append(entries, entry{path: "share/doc/skiff/" + file, source: filepath.Join(s.documents, file)})
	}
	entries = append(entries, imageEntries(s.image, "lib/skiff/image")...)
	pages, err := os.ReadDir(s.man)
	if err != nil {
		return nil, err
	}
	for _, page := range pages {
		if strings.HasSuffix(page.Name(), ".1") {
			entries = append(entries, entry{path: "share/man/man1/" + page.Name(), source: filepath.Join(s.man, page.Name())})
		}
	}
	return checked(entries)
}

// otherImages lists the files of the node images for other versions of Kubernetes than
// the default one, by version. Each becomes an archive of its own, because few users need
// one: it is unpacked over the other one.
func otherImages(image string) (map[string][]entry, error) {
	found, err := os.ReadDir(image)
	if err != nil {
		return nil, err
	}
	all := map[string][]entry{}
	for _, e := range found {
		version := e.Name()
		if !e.IsDir() || !manifest.IsMinor(version) {
			continue
		}
		if all[version], err = checked(imageEntries(filepath.Join(image, version), "lib/skiff/image/"+version)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// imageEntries lists the files of a node image.
func imageEntries(image, to string) []entry {
	var entries []entry
	files := append([]string{manifest.Kernel, manifest.Initramfs, manifest.Root, manifest.Name, sbom.Name}, manifest.Beside()...)
	for _, file := range files {
		entries = append(entries, entry{path: to + "/" + file, source: filepath.Join(image, file)})
	}
	return entries
}

// checked sorts entries, and returns an error unless all are files.
func checked(entries []entry) ([]entry, error) {
	for _, e := range entries {
		if info, err := os.Stat(e.source); err != nil {
			return nil, fmt.Errorf("%s: %w", e.path, err)
		} else if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s: %s is not a regular file", e.path, e.source)
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	return entries, nil
}

// debian returns where Debian's policy puts a file of the layout.
func debian(file string) string {
	switch {
	case strings.HasPrefix(file, "share/zsh/site-functions/"):
		file = "share/zsh/vendor-completions/" + path.Base(file)
	case file == "share/doc/skiff/LICENSE":
		file = "share/doc/skiff/copyright"
	}
	return "/usr/" + file
}
