package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/kubeconfig"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/records"
	"github.com/skiff-dev/skiff/vm/registry/client"
)

// Down returns the command `down`.
func Down(s cli.Streams) *cobra.Command {
	var all bool
	var request daemonapi.DownRequest
	cmd := &cobra.Command{
		Use:   "down [NAME]",
		Short: "Delete a cluster and everything it left on this host",
		Long: `Delete the cluster NAME ("skiff" by default) and everything it left on this host: machines,
disks, sockets, processes and kubeconfig entries. The command does not ask for confirmation.
Deleting a cluster that does not exist does nothing.

A cluster that has snapshots is not deleted unless --delete-snapshots is given, which deletes
them, too.

With --keep-records, the cluster's records are kept: "skiff list --kept" lists the records
of deleted clusters, and "skiff prune --records" deletes them.`,
		Example: `  # Delete the default cluster
  skiff down

  # Delete the cluster named "ci"
  skiff down ci

  # Delete it, but keep its records for later
  skiff down ci --keep-records

  # Delete all clusters
  skiff down --all`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
	}
	asJSON := cli.Output(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "delete all of your clusters")
	cmd.Flags().BoolVar(&request.KeepRecords, "keep-records", false, "keep the cluster's records")
	cmd.Flags().BoolVar(&request.Snapshots, "delete-snapshots", false, "delete the cluster's snapshots, too")
	cli.Yes(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		if all && len(args) > 0 {
			return cli.Invalid("", "--all cannot be combined with the name %q", args[0])
		}
		if all {
			return downAll(cmd.Context(), s, request, inJSON)
		}
		name, err := target.Named(args)
		if err != nil {
			return err
		}
		return runDown(cmd.Context(), s, name, request, inJSON)
	}
	return cmd
}

// endRegistry ends the registry after the last cluster, unless the user started it. It
// would end a while later by itself.
func endRegistry(ctx context.Context, h home.Home) error {
	names, err := h.Names()
	if err != nil || len(names) > 0 {
		return err
	}
	registry := client.New(h, nil)
	status, err := registry.Status(ctx)
	if err == nil && !status.Kept {
		err = registry.Stop(ctx)
	}
	if errors.Is(err, client.ErrNotRunning) {
		return nil
	}
	return err
}

func downAll(ctx context.Context, s cli.Streams, request daemonapi.DownRequest, asJSON bool) error {
	h, err := target.Home()
	if err != nil {
		return err
	}
	names, err := h.Names()
	if err != nil {
		return err
	}
	if len(names) == 0 && !asJSON {
		fmt.Fprintln(s.Out, "no clusters: nothing to do")
	}
	var failed []error
	for _, name := range names {
		failed = append(failed, runDown(ctx, s, name, request, asJSON))
	}
	return errors.Join(failed...)
}

func runDown(ctx context.Context, s cli.Streams, name string, request daemonapi.DownRequest, asJSON bool) error {
	c, h, err := target.Client(name)
	if err != nil {
		return err
	}
	names, err := h.Names()
	if err != nil {
		return err
	}
	known := slices.Contains(names, name)
	merged, err := kubeconfig.Recorded(h.Cluster(name))
	if err != nil {
		fmt.Fprintf(s.Err, "skiff: %s\n", cli.OneLine(err.Error()))
	}
	var before []records.Kept
	if request.KeepRecords {
		if before, err = records.List(h); err != nil {
			return err
		}
	}
	// This also handles a name without a directory: a process may be left over.
	err = s.Show(ctx, asJSON, func(ctx context.Context, event func(daemonapi.Event)) error {
		return c.Down(ctx, request, event)
	})
	if errors.Is(err, context.Canceled) {
		return cli.Interrupted(
			fmt.Sprintf("interrupted; cluster %q may be partly deleted", name),
			fmt.Sprintf("run `skiff down %s` again to finish", name),
		)
	}
	if err != nil {
		return err
	}
	if err := unmerge(ctx, s, name, merged); err != nil {
		return err
	}
	if err := endRegistry(ctx, h); err != nil {
		return err
	}
	switch {
	case asJSON:
	case known:
		fmt.Fprintf(s.Out, "cluster %q deleted\n", name)
		if request.KeepRecords {
			return sayKept(s, h, name, before)
		}
	case len(names) > 0:
		fmt.Fprintf(s.Out, "cluster %q does not exist: nothing to do (existing clusters: %s)\n", name, strings.Join(names, ", "))
	default:
		fmt.Fprintf(s.Out, "cluster %q does not exist: nothing to do\n", name)
	}
	return nil
}

// sayKept prints where the records of a cluster that was just deleted are kept. before are
// the records of deleted clusters that existed earlier.
func sayKept(s cli.Streams, h home.Home, name string, before []records.Kept) error {
	kept, err := records.Find(h, name)
	old := slices.ContainsFunc(before, func(b records.Kept) bool { return b.ID == kept.ID })
	switch {
	case errors.Is(err, records.ErrNone) || err == nil && old:
		fmt.Fprintln(s.Out, "it had no records")
		return nil
	case err != nil:
		return err
	}
	fmt.Fprintf(s.Out, "its records (%s) are kept as %s in %s\n", cli.Bytes(kept.Bytes), kept.ID, kept.Directory)
	return nil
}

// unmerge removes the cluster from the user's kubeconfig and from all others that
// it was merged into.
func unmerge(ctx context.Context, s cli.Streams, name string, merged []string) error {
	user, err := kubeconfig.UserPath()
	if err != nil {
		return err
	}
	if !slices.Contains(merged, user) {
		merged = append(merged, user)
	}
	var failed []error
	for _, path := range merged {
		err := kubeconfig.Remove(ctx, path, kubeconfig.Context(name))
		var failure *daemonapi.Failure
		if errors.As(err, &failure) {
			// The file is not a kubeconfig, so it has no entry of ours.
			s.Report(err)
			continue
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}
