package cluster

import (
	"context"
	"fmt"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/kubeconfig"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/home"
)

// merge is the result of mergeKubeconfig. into is empty if it did nothing.
type merge struct{ into, context string }

// mergeKubeconfig merges the cluster's kubeconfig into path, or into the user's if
// path is empty. A failure is only a warning, since the cluster runs anyway.
func mergeKubeconfig(ctx context.Context, s cli.Streams, c *client.Client, dir home.Cluster, path string) merge {
	if path == "none" {
		return merge{}
	}
	content, err := c.Kubeconfig(ctx)
	if err == nil {
		path, err = kubeconfig.MergeCluster(ctx, dir, path, content)
	}
	if err != nil {
		s.Report(fmt.Errorf("the cluster is running, but its kubeconfig was not merged: %w", err))
		return merge{}
	}
	return merge{into: path, context: kubeconfig.Context(dir.Name())}
}
