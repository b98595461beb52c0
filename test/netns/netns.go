// Package netns finds the network of a cluster of sandboxes, for programs that test
// or measure it from within.
package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Nodes returns the path of the network namespace of a cluster's nodes, in which some
// threads of the cluster's daemon are.
func Nodes(daemon int) (string, error) {
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return "", fmt.Errorf("find the nodes' network: %w", err)
	}
	namespaces, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/ns/net", daemon))
	if err != nil {
		return "", fmt.Errorf("find the nodes' network: %w", err)
	}
	for _, path := range namespaces {
		if theirs, err := os.Readlink(path); err == nil && theirs != ours {
			return path, nil
		}
	}
	return "", errors.New("find the nodes' network: the daemon has no thread in it")
}
