package etcd

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func newSnapshot(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot FILE",
		Short: "Save a snapshot of the database to a file on this host",
		Example: `  # Save a snapshot of the default cluster
  skiff etcd snapshot before-upgrade.db

  # Save one of the cluster "ci"
  skiff etcd snapshot -c ci backup.db`,
		Args: cli.Arguments(1, 1),
	}
	name := target.Flag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return onAny(cmd.Context(), []string{*name}, func(node string, c controlapi.Client) error {
			size, err := save(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(s.Out, "saved %s (%.1f MiB, taken on %s)\n", args[0], float64(size)/(1<<20), node)
			return nil
		})
	}
	return cmd
}

// save writes the snapshot completely or not at all. Only its owner can read the
// file, since it holds everything in the cluster.
func save(ctx context.Context, c controlapi.Client, path string) (size int64, err error) {
	f, err := atomicfile.Create(path, 0o600)
	if err != nil {
		return 0, fmt.Errorf("write the snapshot: %w", err)
	}
	defer f.Discard()
	if err := c.Snapshot(ctx, f); err != nil {
		return 0, fmt.Errorf("take a snapshot: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("write the snapshot: %w", err)
	}
	if err := f.Commit(); err != nil {
		return 0, fmt.Errorf("write the snapshot: %w", err)
	}
	return info.Size(), nil
}

func newRestore(s cli.Streams) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Replace the database with a snapshot",
		Long: `Replace the database with a snapshot. The snapshot is verified first; an invalid one
changes nothing. The cluster may have any number of control planes: all of them stop, the
first one restarts with the snapshot, and the others join it. The API is unavailable in the
meantime. If the first one cannot serve the snapshot, the previous data is brought back.
All objects return to their state at the time of the snapshot, and the workloads on the
nodes follow. The previous database stays on the first control plane until the next restore.

If a restore is interrupted, the next "skiff etcd restore" or "skiff up" finishes or undoes
it.`,
		Example: `  # Restore the default cluster
  skiff etcd restore backup.db --yes`,
		Args: cli.Arguments(1, 1),
	}
	name := target.Flag(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "confirm that everything written since the snapshot is lost")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f, err := os.Open(args[0])
		if err != nil {
			return cli.Invalid("", "read the snapshot: %s", err)
		}
		defer f.Close()
		if !yes {
			return cli.Invalid("add --yes to confirm", "a restore discards everything written since the snapshot")
		}
		c, cluster, err := target.OpenExisting(*name)
		if err != nil {
			return err
		}
		err = s.Show(cmd.Context(), false, func(ctx context.Context, event func(daemonapi.Event)) error {
			return c.RestoreEtcd(ctx, f, event)
		})
		if err != nil {
			return fmt.Errorf("restore the database: %w", target.Explain(cluster, err))
		}
		return nil
	}
	return cmd
}
