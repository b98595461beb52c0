package target

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/internal/nearest"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Observe opens the cluster that name selects and returns its status.
func Observe(ctx context.Context, name string) (*client.Client, daemonapi.ClusterStatus, error) {
	c, dir, err := Open(name)
	if err != nil {
		return nil, daemonapi.ClusterStatus{}, err
	}
	status, err := c.Status(ctx)
	if err != nil {
		return nil, status, Explain(dir.Name(), err)
	}
	return c, status, nil
}

// Nodes opens the cluster that name selects and returns its node names. It fails
// for a paused cluster, whose nodes cannot answer.
func Nodes(ctx context.Context, name string) (*client.Client, []string, error) {
	c, status, err := Awake(ctx, name)
	return c, NodeNames(status), err
}

// Awake returns the status of a cluster that is not paused, or wakes when it is used.
func Awake(ctx context.Context, name string) (*client.Client, daemonapi.ClusterStatus, error) {
	c, status, err := Observe(ctx, name)
	if err == nil && status.Phase == "paused" && !status.WakesOnUse {
		err = daemonapi.Paused(status.Name)
	}
	return c, status, err
}

// NodeNames returns the names of the nodes in a status.
func NodeNames(status daemonapi.ClusterStatus) []string {
	var names []string
	for _, n := range status.Nodes {
		names = append(names, n.Name)
	}
	return names
}

// Node opens a node of the cluster that clusterName selects.
func Node(ctx context.Context, clusterName, name string) (*client.Client, *client.Node, error) {
	c, names, err := Nodes(ctx, clusterName)
	if err != nil {
		return nil, nil, err
	}
	if err := CheckNode(name, names); err != nil {
		return nil, nil, err
	}
	return c, c.Node(name), nil
}

// CheckNode returns an error that suggests the nearest name unless name is one
// of names.
func CheckNode(name string, names []string) error {
	if slices.Contains(names, name) {
		return nil
	}
	hint := "choose one of " + strings.Join(names, ", ")
	if meant := nearest.Of(name, names); meant != "" {
		hint = fmt.Sprintf("did you mean %q?", meant)
	}
	return cli.Invalid(hint, "no node named %q", name)
}
