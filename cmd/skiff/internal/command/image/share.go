package image

import (
	"context"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/vm/daemon/client"
)

// nodes are the nodes of a cluster and their architectures.
type nodes struct {
	names []string
	// own is the architecture of those that are not in foreign, which has those of the
	// emulated ones by name.
	own     string
	foreign map[string]string
}

// findNodes returns the nodes of the cluster that name selects.
func findNodes(ctx context.Context, name string) (*client.Client, nodes, error) {
	own, err := nodeArch()
	if err != nil {
		return nil, nodes{}, err
	}
	c, status, err := target.Awake(ctx, name)
	if err != nil {
		return nil, nodes{}, err
	}
	found := nodes{names: target.NodeNames(status), own: own, foreign: map[string]string{}}
	for _, n := range status.Nodes {
		if n.Arch != "" {
			found.foreign[n.Name] = n.Arch
		}
	}
	return c, found, nil
}

// arch returns the architecture of a node.
func (n nodes) arch(name string) string {
	if arch, ok := n.foreign[name]; ok {
		return arch
	}
	return n.own
}

// of returns the nodes of an architecture.
func (n nodes) of(arch string) []string {
	return slices.DeleteFunc(slices.Clone(n.names), func(name string) bool { return n.arch(name) != arch })
}

// share is what the nodes of one architecture get from a source.
type share struct {
	content
	nodes []string
	// missing is why they get nothing; nil if they do.
	missing error
}

// split returns what the nodes get from the sources. A source without anything for some nodes
// is an error if it has nothing for the others either, or if the user has named the nodes.
func split(sources []source, all nodes, named bool) ([]share, error) {
	var shares []share
	loaded := names.ValueLoadedOnAll
	if named {
		loaded = names.ValueLoadedOnSome
	}
	for _, from := range sources {
		var missing []error
		gets := false
		for _, v := range from.variants {
			targets := all.of(v.Arch)
			if len(targets) == 0 {
				continue
			}
			part, err := from.forArch(v.Arch)
			part.loaded = loaded
			gets = gets || err == nil
			if err != nil {
				missing = append(missing, err)
				err = v.Missing
			}
			shares = append(shares, share{part, targets, err})
		}
		if len(missing) > 0 && (named || !gets) {
			return nil, missing[0]
		}
	}
	return shares, nil
}

// builder returns the node that builds: the one that the user has named, or one of the
// platform, as in linux/arm64, or of the nodes' own architecture if that is empty.
func (n nodes) builder(named, platform string) (string, error) {
	arch := n.own
	if platform != "" {
		arch = strings.TrimPrefix(platform, linux)
	}
	if named != "" {
		err := target.CheckNode(named, n.names)
		if err == nil && platform != "" && n.arch(named) != arch {
			err = cli.Invalid("leave --node or --platform out", "node %s is linux/%s, not %s", named, n.arch(named), platform)
		}
		return named, err
	}
	candidates := n.of(arch)
	if len(candidates) == 0 {
		return "", cli.Invalid("add a group of nodes with \"arch: "+arch+"\"", "the cluster has no node for linux/%s", arch)
	}
	return buildNode(candidates), nil
}
