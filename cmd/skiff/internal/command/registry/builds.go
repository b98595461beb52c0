package registry

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/buildkit"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/node"
)

// pruneBuilds deletes what builds have left on the nodes of all running clusters, unless
// it is a dry run, and returns its size in bytes.
func pruneBuilds(ctx context.Context, h home.Home, dryRun bool) (bytes int64, err error) {
	clusters, err := client.List(ctx, h)
	if err != nil {
		return 0, err
	}
	var failures []error
	for _, status := range clusters {
		if status.Phase != "running" && status.Phase != "degraded" {
			continue
		}
		freed, err := pruneCluster(ctx, status, dryRun)
		bytes += freed
		if err != nil {
			failures = append(failures, fmt.Errorf("cluster %s: %w", status.Name, err))
		}
	}
	return bytes, errors.Join(failures...)
}

// pruneCluster is pruneBuilds for one cluster.
func pruneCluster(ctx context.Context, status daemonapi.ClusterStatus, dryRun bool) (bytes int64, err error) {
	c, _, err := target.Client(status.Name)
	if err != nil {
		return 0, err
	}
	dir, err := target.ImageDir()
	if err != nil {
		return 0, err
	}
	program, err := buildkit.Program(dir)
	if err != nil {
		return 0, err
	}
	act := buildkit.Prune
	if dryRun {
		act = buildkit.Usage
	}
	var failures []error
	for _, one := range status.Nodes {
		if one.Machine != string(machine.StateRunning) {
			continue
		}
		n := c.Node(one.Name)
		conn, err := n.ExistingBuilder(ctx, program)
		if err == nil {
			_ = conn.Close() // the builder has started, and dials below find it
			var freed int64
			freed, err = act(ctx, func(ctx context.Context) (net.Conn, error) { return n.ExistingBuilder(ctx, program) })
			bytes += freed
		}
		if err != nil && !errors.Is(err, node.ErrNoBuilder) {
			failures = append(failures, err)
		}
	}
	return bytes, errors.Join(failures...)
}
