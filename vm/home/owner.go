package home

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
)

// Invokers returns the directories in which root, run by sudo, looks for the clusters
// of the user: first that of the user who ran sudo, then root's own. Without sudo, or
// with SKIFF_HOME, there is only Default.
func Invokers() ([]Home, error) {
	own, err := Default()
	if err != nil {
		return nil, err
	}
	id := os.Getenv("SUDO_UID")
	if os.Geteuid() != 0 || id == "" || id == "0" || os.Getenv("SKIFF_HOME") != "" {
		return []Home{own}, nil
	}
	invoker, err := user.LookupId(id)
	if err != nil {
		return nil, fmt.Errorf("find the home directory of the user who ran sudo: %w", err)
	}
	return []Home{Home(filepath.Join(invoker.HomeDir, ".skiff")), own}, nil
}

// Owner returns the ID of the user to whom the cluster's directory belongs, who also
// runs its daemon.
func (c Cluster) Owner() (int, error) {
	info, err := os.Stat(string(c))
	if err != nil {
		return 0, fmt.Errorf("find the owner of the cluster: %w", err)
	}
	owner, ok := ownerOf(info)
	if !ok {
		return 0, fmt.Errorf("find the owner of the cluster: %s has none", c)
	}
	return owner, nil
}
