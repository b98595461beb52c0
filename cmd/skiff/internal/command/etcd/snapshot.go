package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/skiff-dev/skiff/internal/atomicfile"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/remote"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/client"
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
		c, planes, err := controlPlanes(cmd.Context(), *name)
		if err != nil {
			return err
		}
		var failed error
		for _, n := range planes {
			size, err := snapshotInto(cmd.Context(), c, n, args[0])
			if err == nil {
				fmt.Fprintf(s.Out, "saved %s (%.1f MiB, taken on %s)\n", args[0], float64(size)/(1<<20), n)
				return nil
			}
			failed = errors.Join(failed, err)
		}
		return failed
	}
	return cmd
}

// snapshotInto writes the snapshot completely or not at all. Only its owner can
// read the file, since it holds everything in the cluster.
func snapshotInto(ctx context.Context, c *client.Client, node, path string) (size int64, err error) {
	f, err := atomicfile.Create(path, 0o600)
	if err != nil {
		return 0, fmt.Errorf("write the snapshot: %w", err)
	}
	defer f.Discard()
	var failure remote.Limited
	code, err := c.Node(node).Exec(ctx, nodeapi.ExecRequest{Args: tool("snapshot")}, client.Streams{
		Stdin: strings.NewReader(""), Stdout: f, Stderr: &failure,
	})
	if err == nil && code != 0 {
		err = fmt.Errorf("take a snapshot on %s: %s", node, remote.LastLine(failure.String()))
	}
	if err != nil {
		return 0, err
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
		Long: `Replace the database with a snapshot. The cluster may have any number of control planes:
the first one restarts with the snapshot and the others join it. The API is unavailable
for a few seconds. The previous database stays on the first control plane until the next
restore. All objects return to their state at the time of the snapshot, and the workloads
on the nodes follow.`,
		Example: `  # Restore the default cluster
  skiff etcd restore backup.db --yes`,
		Args: cli.Arguments(1, 1),
	}
	name := target.Flag(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "confirm that everything written since the snapshot is lost")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !yes {
			return cli.Invalid("add --yes to confirm", "a restore discards everything written since the snapshot")
		}
		f, err := os.Open(args[0])
		if err != nil {
			return fmt.Errorf("read the snapshot: %w", err)
		}
		defer f.Close()
		c, planes, err := controlPlanes(cmd.Context(), *name)
		if err != nil {
			return err
		}
		// The snapshot may hold secrets under a key that has been rotated since.
		if err := c.ReadmitKeys(cmd.Context()); err != nil {
			return err
		}
		for i, n := range planes {
			request, in := tool("restore"), io.Reader(f)
			if i > 0 {
				request, in = tool("rejoin", planes[0]), strings.NewReader("")
			}
			if _, err := remote.Capture(cmd.Context(), c, n, in, request...); err != nil {
				return err
			}
			fmt.Fprintf(s.Out, "%s is restarting\n", n)
		}
		return nil
	}
	return cmd
}
