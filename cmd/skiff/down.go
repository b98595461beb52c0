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
		Short: "Remove a cluster: machines, disks and kubeconfig entries",
		Long: `Remove the cluster NAME ("skiff" by default) with all that it left on this host: machines,
disks, sockets, processes and its entries in kubeconfigs. It does not ask. Removing what
does not exist does nothing.`,
		Example: `  skiff down
  skiff down ci
  skiff down --all`,
		Args:              arguments(0, 1),
		ValidArgsFunction: completeClusterArgument,
	}
	asJSON := output(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "every cluster of this user")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		if all && len(args) > 0 {
			return invalid("", "down: --all and the name %q exclude each other", args[0])
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
			Cause: fmt.Sprintf("interrupted; cluster %q may be half removed", name),
			Hint:  fmt.Sprintf("`skiff down %s` finishes it", name),
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
		fmt.Fprintf(a.stdout, "cluster %q is gone\n", name)
	case len(names) > 0:
		fmt.Fprintf(a.stdout, "cluster %q does not exist: nothing to do (there are: %s)\n", name, strings.Join(names, ", "))
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
