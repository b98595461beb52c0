package network

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/tunnel"
)

func newConnect(s cli.Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "connect [CLUSTER]",
		Short: "Connect this host to a cluster's network",
		Long: `Connect this host to a cluster's network: create a TUN device that belongs to the user of
the cluster, with routes to the cluster's nodes, pods and services. With systemd-resolved,
names of the cluster's domain are resolved as well. The cluster's daemon serves the device
without root, also after it was stopped and started. A restart of this host removes it.

Every program and every user of this host then reaches the cluster; machines of the
cluster cannot begin connections to this host. Connecting is refused if this host already
has a route to an address of the cluster.`,
		Example: `  # Connect to the default cluster, and ask a pod at its own address
  sudo skiff network connect
  curl http://10.244.1.7:8080/

  # Connect to the cluster "ci"
  sudo skiff network connect ci`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := supported(); err != nil {
				return err
			}
			dir, err := find(args)
			if err != nil {
				return err
			}
			c := client.New(client.Config{Home: dir.Home(), Name: dir.Name()})
			plan, err := planFor(cmd.Context(), c, dir)
			if err != nil {
				return err
			}
			return connect(cmd.Context(), s, c, dir, plan)
		},
	}
}

// planFor returns the plan for a cluster that runs.
func planFor(ctx context.Context, c *client.Client, dir home.Cluster) (tunnel.Plan, error) {
	spec, err := c.Spec()
	if err != nil {
		return tunnel.Plan{}, target.Explain(dir.Name(), err)
	}
	if _, err := c.Services(ctx); err != nil {
		return tunnel.Plan{}, target.Explain(dir.Name(), err)
	}
	return tunnel.New(dir, spec.Network)
}

func connect(ctx context.Context, s cli.Streams, c *client.Client, dir home.Cluster, plan tunnel.Plan) error {
	routes, err := tunnel.Routes()
	if err != nil {
		return err
	}
	if err := plan.Check(routes); err != nil {
		return cli.Invalid("", "%s", err)
	}
	if err := asRoot("connect", dir.Name()); err != nil {
		return err
	}
	owner, err := dir.Owner()
	if err != nil {
		return err
	}
	existed := tunnel.Exists(plan.Device)
	if err := tunnel.Create(plan, owner); err != nil {
		return err
	}
	if err := attached(ctx, c); err != nil {
		if !existed {
			err = errors.Join(err, tunnel.Remove(plan.Device))
		}
		return err
	}
	fmt.Fprintf(s.Text(), "Connected this host to the cluster %q through %s:\n", plan.Cluster, plan.Device)
	for _, r := range plan.Ranges {
		fmt.Fprintf(s.Text(), "  %-9s %s\n", strings.TrimPrefix(r.Key, "network."), r.Prefix)
	}
	fmt.Fprintf(s.Text(), "  %-9s %s\n", "names", names(ctx, plan, plan.Shadowed(routes)))
	return nil
}

// names makes this host resolve the cluster's names, and returns a line on the result.
func names(ctx context.Context, plan tunnel.Plan, shadowed string) string {
	if shadowed != "" {
		return fmt.Sprintf("not set up, because the connected cluster %q has the domain %s, too", shadowed, plan.Domain)
	}
	switch err := tunnel.SetNames(ctx, plan); {
	case errors.Is(err, tunnel.ErrNoResolver):
		return fmt.Sprintf("not set up without systemd-resolved: let your resolver ask %s for %s", plan.Nameserver, plan.Domain)
	case err != nil:
		return fmt.Sprintf("not set up: %s", err)
	}
	return plan.Domain
}

// patience is how long the daemon may take to attach to the device.
const patience = 10 * time.Second

// attached waits until the daemon has attached to the device.
func attached(ctx context.Context, c *client.Client) error {
	for began := time.Now(); ; {
		all, err := c.Services(ctx)
		if err != nil {
			return err
		}
		if all.Tunnel != "" {
			return nil
		}
		if time.Since(began) > patience {
			return &daemonapi.Failure{Cause: "the cluster's daemon does not use the device", Hint: "see why with `skiff logs --source daemon`"}
		}
		if err := pause.For(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}
