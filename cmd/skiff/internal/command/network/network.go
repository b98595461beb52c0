// Package network holds the commands that connect this host to a cluster's network.
package network

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/tunnel"
)

// New returns the command `network`.
func New(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "network",
		Short: "Connect this host to a cluster's network",
		Long: `Connect this host to a cluster's network, so that programs on this host reach nodes,
pods, services and load balancers at their own addresses, and names of cluster DNS.
Nothing requires this; it is available on Linux and needs root once.`,
		Example: `  # Reach everything in the cluster by its own address
  sudo skiff network connect

  # Undo it
  sudo skiff network disconnect`,
		Args: cobra.ArbitraryArgs,
		RunE: cli.Group,
	}
	cmd.AddCommand(newConnect(s), newDisconnect(s))
	return cmd
}

// find returns the directory of the cluster that the arguments select: with sudo, it
// may be one of the user who ran it.
func find(args []string) (home.Cluster, error) {
	candidates, err := home.Invokers()
	if err != nil {
		return "", err
	}
	for i, h := range candidates {
		if err := h.Check(); err != nil {
			if errors.Is(err, home.ErrUnsafe) {
				return "", cli.Invalid("set SKIFF_HOME to the directory of your clusters", "%s", err)
			}
			return "", err
		}
		names, err := h.Names()
		if err != nil {
			return "", err
		}
		last := i == len(candidates)-1
		if len(names) == 0 && !last {
			continue
		}
		name, err := target.ExistingIn(h, cli.First(args))
		if err != nil {
			return "", err
		}
		if slices.Contains(names, name) || last {
			return h.Cluster(name), nil
		}
	}
	return "", errors.New("no directory of clusters") // there is at least one candidate
}

// asRoot returns an error unless this process is root.
func asRoot(verb, name string) error {
	if os.Geteuid() != 0 {
		return cli.Invalid(fmt.Sprintf("run `sudo skiff network %s %s`", verb, name), "only root can create and remove network devices")
	}
	return nil
}

func newDisconnect(s cli.Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "disconnect [CLUSTER]",
		Short: "Disconnect this host from a cluster's network",
		Long: `Disconnect this host from a cluster's network: remove the device that connects it, with
its addresses, routes and resolver settings. The cluster continues to run.`,
		Example: `  # Disconnect from the default cluster
  sudo skiff network disconnect

  # Disconnect from the cluster "ci"
  sudo skiff network disconnect ci`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := supported(); err != nil {
				return err
			}
			dir, err := find(args)
			if err != nil {
				return err
			}
			device := tunnel.Name(dir)
			if !tunnel.Exists(device) {
				if _, err := os.Stat(string(dir)); errors.Is(err, fs.ErrNotExist) {
					return target.Explain(dir.Name(), client.ErrNoCluster)
				}
				fmt.Fprintf(s.Text(), "This host is not connected to the cluster %q.\n", dir.Name())
				return nil
			}
			if err := asRoot("disconnect", dir.Name()); err != nil {
				return err
			}
			if err := tunnel.Remove(device); err != nil {
				return err
			}
			fmt.Fprintf(s.Text(), "Disconnected this host from the cluster %q.\n", dir.Name())
			return nil
		},
	}
}

func supported() error {
	if err := tunnel.Supported(); err != nil {
		return cli.Invalid("", "%s", err)
	}
	return nil
}
