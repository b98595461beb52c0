package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Upgrade returns the command `upgrade`.
func Upgrade(s cli.Streams) *cobra.Command {
	var version string
	var plan bool
	cmd := &cobra.Command{
		Use:   "upgrade [NAME]",
		Short: "Give the nodes of a running cluster a new node image, or the next version of Kubernetes",
		Long: `Give the nodes of a running cluster the node image of this host: a new kernel, security
patches, containerd and the patch release of Kubernetes, or with --kubernetes the next minor
version. A snapshot of etcd is saved on the host first. Then the nodes restart one after
another, control planes first, each once the node before has proven healthy. Nodes are drained
before, so disruption budgets are honored; if pods cannot leave in time, the command reports
why and stops, and runs on from there when it is repeated. Disks, data and addresses stay.

A node that does not come back healthy gets its previous node image again, and the upgrade
stops. Control planes must not skip a minor version, and cannot go back to an older one.

With several control planes the Kubernetes API answers all the time; a single one needs some
seconds to restart. --plan shows the steps, and what you may notice, without changing anything.`,
		Example: `  # Show what an upgrade to the node image of this skiff would do
  skiff upgrade --plan

  # Upgrade the cluster named "ci" to the next minor version of Kubernetes
  skiff upgrade ci --kubernetes ` + kubenames.Default,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
	}
	cmd.Flags().StringVar(&version, "kubernetes", "", "minor `version` of Kubernetes, such as "+kubenames.Default+"; by default that of the cluster")
	cmd.Flags().BoolVar(&plan, "plan", false, "print the plan without changing anything")
	cmd.Flags().BoolVar(&plan, "dry-run", false, "the same as --plan")
	_ = cmd.RegisterFlagCompletionFunc("kubernetes", cobra.FixedCompletions(kubenames.Versions(), cobra.ShellCompDirectiveNoFileComp))
	draining := cli.Draining(cmd)
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		drain, err := draining()
		if err != nil {
			return err
		}
		if err := checkMinor(cmd, version); err != nil {
			return err
		}
		c, name, err := target.OpenExisting(cli.First(args))
		if err != nil {
			return err
		}
		if plan {
			return showUpgrade(cmd.Context(), s, c, name, version, inJSON)
		}
		return upgrade(cmd.Context(), s, c, name, version, drain, inJSON)
	}
	return cmd
}

// checkMinor checks the flag --kubernetes, if it is set.
func checkMinor(cmd *cobra.Command, version string) error {
	if cmd.Flags().Changed("kubernetes") && !manifest.IsMinor(version) {
		return cli.Invalid("the node image has its patch release", "invalid --kubernetes %q: use a minor version such as %s", version, kubenames.Default)
	}
	return nil
}

// showUpgrade prints what an upgrade would do.
func showUpgrade(ctx context.Context, s cli.Streams, c *client.Client, name, version string, asJSON bool) error {
	plan, err := c.PlanUpgrade(ctx, version)
	if err != nil {
		return target.Explain(name, err)
	}
	if asJSON {
		return s.JSON(plan)
	}
	out := s.Text()
	if len(plan.Steps) == 0 {
		fmt.Fprintf(out, "cluster %q is up to date: Kubernetes %s, node image %s\n", name, plan.To.Kubernetes, plan.To.Digest)
		return nil
	}
	for _, step := range plan.Steps {
		fmt.Fprintln(out, step)
	}
	for _, note := range plan.Notes {
		fmt.Fprintf(out, "note: %s\n", note)
	}
	return nil
}

// upgrade upgrades a cluster and prints the result.
func upgrade(ctx context.Context, s cli.Streams, c *client.Client, name, version string, drain daemonapi.Draining, asJSON bool) error {
	before, err := c.Spec()
	if err != nil {
		return target.Explain(name, err)
	}
	var last, failed daemonapi.Event
	err = s.Show(ctx, asJSON, func(ctx context.Context, event func(daemonapi.Event)) error {
		return c.Upgrade(ctx, version, drain, func(e daemonapi.Event) {
			event(e)
			last = e
			if e.State == daemonapi.StateFailed && failed.Phase == "" {
				failed = e
			}
		})
	})
	switch {
	case errors.Is(err, context.Canceled):
		return cli.Interrupted("interrupted; the upgrade continues in the background", fmt.Sprintf("run `skiff upgrade %s` to watch it again", name))
	case err != nil && failed.Phase != "":
		return &cli.PhaseError{Phase: failed.Phase, Node: failed.Node, Err: err}
	case err != nil:
		return target.Explain(name, err)
	case asJSON:
		return nil
	}
	status, err := c.Status(ctx)
	if err != nil {
		return target.Explain(name, err)
	}
	if last.Message == daemonapi.NothingToDo {
		fmt.Fprintf(s.Text(), "cluster %q is up to date: Kubernetes %s\n", name, status.Kubernetes)
		return nil
	}
	fmt.Fprintf(s.Text(), "cluster %q is upgraded: %s, Kubernetes %s\n", name, cli.Count(len(status.Nodes), "node"), status.Kubernetes)
	after, err := c.Spec()
	if err == nil && before.KubernetesVersion != after.KubernetesVersion && after.Environment.File != "" {
		fmt.Fprintf(s.Text(), "set kubernetes.version to %q in %s if it is there, or \"skiff up -f\" will refuse the file\n", after.KubernetesVersion, after.Environment.File)
	}
	return nil
}
