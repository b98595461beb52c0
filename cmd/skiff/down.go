package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/kubeconfig"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

func (a *app) down() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "down [NAME]",
		Short: "Delete a cluster and everything it left on this host",
		Long: `Delete the cluster NAME ("skiff" by default) and everything it left on this host: machines,
disks, sockets, processes and kubeconfig entries. There is no confirmation prompt.
Deleting a cluster that does not exist does nothing.`,
		Example: `  # Delete the default cluster
  skiff down

  # Delete the cluster named "ci"
  skiff down ci

  # Delete all clusters
  skiff down --all`,
		Args:              arguments(0, 1),
		ValidArgsFunction: completeClusterArgument,
	}
	asJSON := output(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "delete all of your clusters")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		if all && len(args) > 0 {
			return invalid("", "--all cannot be combined with the name %q", args[0])
		}
		if all {
			return a.downAll(cmd.Context(), inJSON)
		}
		name, err := named(args)
		if err != nil {
			return err
		}
		return a.runDown(cmd.Context(), name, inJSON)
	}
	return cmd
}

func (a *app) downAll(ctx context.Context, asJSON bool) error {
	h, err := home.Default()
	if err != nil {
		return err
	}
	names, err := h.Names()
	if err != nil {
		return err
	}
	if len(names) == 0 && !asJSON {
		fmt.Fprintln(a.stdout, "no clusters: nothing to do")
	}
	var failed []error
	for _, name := range names {
		failed = append(failed, a.runDown(ctx, name, asJSON))
	}
	return errors.Join(failed...)
}

func (a *app) runDown(ctx context.Context, name string, asJSON bool) error {
	c, h, err := a.client(name)
	if err != nil {
		return err
	}
	names, err := h.Names()
	if err != nil {
		return err
	}
	known := slices.Contains(names, name)
	merged, err := recordedKubeconfigs(h.Cluster(name))
	if err != nil {
		fmt.Fprintf(a.stderr, "skiff: %s\n", oneLine(err.Error()))
	}
	// Also for a name without a directory: a process may be left of it.
	err = a.show(ctx, asJSON, func(ctx context.Context, event func(daemonapi.Event)) error {
		return c.Down(ctx, event)
	})
	if errors.Is(err, context.Canceled) {
		return &interrupted{daemonapi.Failure{
			Cause: fmt.Sprintf("interrupted; cluster %q may be partly deleted", name),
			Hint:  fmt.Sprintf("run `skiff down %s` again to finish", name),
		}}
	}
	if err != nil {
		return err
	}
	if err := a.unmerge(ctx, name, merged); err != nil {
		return err
	}
	switch {
	case asJSON:
	case known:
		fmt.Fprintf(a.stdout, "cluster %q deleted\n", name)
	case len(names) > 0:
		fmt.Fprintf(a.stdout, "cluster %q does not exist: nothing to do (existing clusters: %s)\n", name, strings.Join(names, ", "))
	default:
		fmt.Fprintf(a.stdout, "cluster %q does not exist: nothing to do\n", name)
	}
	return nil
}

// unmerge takes the cluster out of the user's kubeconfig and of all those that
// it was merged into.
func (a *app) unmerge(ctx context.Context, name string, merged []string) error {
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
			// It cannot hold what kubectl could use: say so, and be done.
			report(a.stderr, err)
			continue
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}
