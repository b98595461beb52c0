package cluster

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/vm/machine"
)

// maxFolders is how many folders of the host a cluster may have.
const maxFolders = 16

// systemDirs are the entries of a node's root directory in which no folder of the
// host can be: a node depends on their content.
var systemDirs = []string{
	"bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "opt", "proc", "run", "sbin", "sys", "tmp", "usr", "var",
}

// ParseFolder parses HOST:NODE or HOST:NODE:ro, a folder of the host and its path on
// every node. A path on the host cannot contain a colon.
func ParseFolder(text string) (machine.Folder, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 2 && len(parts) != 3 || parts[0] == "" || parts[1] == "" {
		return machine.Folder{}, fmt.Errorf("invalid mount %q: use HOST:NODE, two paths, or HOST:NODE:ro", text)
	}
	folder := machine.Folder{Host: parts[0], Path: parts[1]}
	if len(parts) == 3 {
		if parts[2] != "ro" && parts[2] != "rw" {
			return machine.Folder{}, fmt.Errorf("invalid mount %q: after the paths, use ro or rw, not %q", text, parts[2])
		}
		folder.ReadOnly = parts[2] == "ro"
	}
	switch first, _, _ := strings.Cut(strings.TrimPrefix(folder.Path, "/"), "/"); {
	case !path.IsAbs(folder.Path) || path.Clean(folder.Path) != folder.Path || folder.Path == "/":
		return machine.Folder{}, fmt.Errorf("invalid mount %q: the path on the node must be absolute and in its shortest form, such as /src", text)
	case slices.Contains(systemDirs, first):
		return machine.Folder{}, fmt.Errorf("invalid mount %q: the node needs /%s for itself; choose a path such as /src or /mnt/src", text, first)
	}
	return folder, nil
}

// AbsoluteFolder returns a mount with an absolute path on the host: "~" is home, and
// other paths are relative to dir. A mount that cannot be parsed is returned as it
// is.
func AbsoluteFolder(text, dir, home string) string {
	host, rest, ok := strings.Cut(text, ":")
	if !ok || host == "" {
		return text
	}
	below, inHome := strings.CutPrefix(host, "~/")
	switch {
	case host == "~":
		host = home
	case inHome:
		host = filepath.Join(home, below)
	case !filepath.IsAbs(host):
		host = filepath.Join(dir, host)
	}
	return filepath.Clean(host) + ":" + rest
}

// Folders returns the folders of the host that every node has. The error is that of
// the first invalid one.
func (s Spec) Folders() ([]machine.Folder, error) {
	var folders []machine.Folder
	for _, text := range s.Mounts {
		folder, err := ParseFolder(text)
		if err != nil {
			return nil, err
		}
		folders = append(folders, folder)
	}
	return folders, nil
}

// validateFolders returns what is wrong with the mounts. isFolder returns an error
// for a path on the host that is not a directory.
func validateFolders(spec Spec, isFolder func(path string) error) []error {
	var faults []error
	if len(spec.Mounts) > maxFolders {
		faults = append(faults, fmt.Errorf("%d mounts are too many: the maximum is %d", len(spec.Mounts), maxFolders))
	}
	var paths []string
	for _, text := range spec.Mounts {
		folder, err := ParseFolder(text)
		if err == nil && !filepath.IsAbs(folder.Host) {
			err = fmt.Errorf("invalid mount %q: the path on the host must be absolute", text)
		}
		if err == nil && isFolder != nil {
			if fault := isFolder(folder.Host); fault != nil {
				err = fmt.Errorf("invalid mount %q: %w", text, fault)
			}
		}
		for _, other := range paths {
			if err == nil && within(folder.Path, other) {
				err = fmt.Errorf("invalid mount %q: another mount is already at %s on the node", text, other)
			}
		}
		if err != nil {
			faults = append(faults, err)
		}
		paths = append(paths, folder.Path)
	}
	return faults
}

// within reports whether two paths are the same or one is below the other.
func within(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/")
}
