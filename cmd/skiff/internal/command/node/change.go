package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func newAdd(s cli.Streams) *cobra.Command {
	var group string
	var count int
	cmd := &cobra.Command{
		Use:   "add",
		Short: "Add nodes to a group, and wait until they are Ready",
		Long: `Add nodes to a group of the cluster, by default a plain worker, and wait until they are Ready.
This changes the cluster's configuration as "skiff up --workers N" does. Groups are defined
by "nodes" in skiff.yaml.`,
		Example: `  # Add a worker to the default cluster
  skiff node add

  # Add two nodes to the group "gpu" of the cluster "ci"
  skiff node add --cluster ci --group gpu --count 2`,
		Args:              cli.Arguments(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	name := target.Flag(cmd)
	cmd.Flags().StringVar(&group, "group", nodeconfig.GroupWorkers, "group of the new nodes")
	cmd.Flags().IntVar(&count, "count", 1, "number of new nodes")
	_ = cmd.RegisterFlagCompletionFunc("group", completeGroups)
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		if count < 1 {
			return cli.Invalid("", "--count must be at least 1")
		}
		c, dir, err := target.Open(*name)
		if err != nil {
			return err
		}
		spec, err := c.Spec()
		if err != nil {
			return target.Explain(dir.Name(), err)
		}
		if span := cluster.GroupOf(spec, group+"-1").Span; span.Scaled() {
			return cli.Invalid("change the range instead, in the file or with \"skiff up --workers MIN..MAX\"", "the group %s is autoscaled within %s", group, span)
		}
		if spec, err = spec.Resized(group, count); err != nil {
			return cli.Invalid("the groups are "+strings.Join(groupNames(spec), ", "), "%s", err)
		}
		if err := c.Check(cmd.Context(), spec); err != nil {
			return target.Explain(dir.Name(), err)
		}
		err = s.Show(cmd.Context(), inJSON, func(ctx context.Context, event func(daemonapi.Event)) error { return c.Apply(ctx, spec, event) })
		return changed(s, c, dir.Name(), err, inJSON, fmt.Sprintf("added %s to the group %s", cli.Count(count, "node"), group), group)
	}
	return cmd
}

func newRemove(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove NODE...",
		Short: "Drain nodes and delete their machines",
		Long: `Drain nodes, delete their machines with everything on their disks, and shrink their groups. A
control plane leaves etcd first. If pods cannot leave in time, for example because of a
disruption budget, the node stays, and the command reports why.`,
		Example: `  # Remove a node of the default cluster
  skiff node remove worker-1

  # Remove a node although its pods cannot be evicted
  skiff node remove worker-1 --force --drain-timeout 30s`,
	}
	return change(s, cmd, "removed", true, (*client.Client).RemoveNodes)
}

func newReplace(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replace NODE...",
		Short: "Replace the machines of nodes with new ones of the same names",
		Long: `Drain nodes, one after another, delete their machines with everything on their disks, and make
new ones with the same names and addresses. Node objects and members of etcd are new too, so a
label that was set with kubectl is lost. A node that does not answer is not drained.`,
		Example: `  # Replace a node of the default cluster
  skiff node replace worker-1`,
	}
	return change(s, cmd, "replaced", false, (*client.Client).ReplaceNodes)
}

// change completes a command that changes the named nodes. resizes is set if their groups
// have other sizes afterwards.
func change(s cli.Streams, cmd *cobra.Command, done string, resizes bool, do func(*client.Client, context.Context, daemonapi.NodesRequest, func(daemonapi.Event)) error) *cobra.Command {
	cmd.Args, cmd.ValidArgsFunction = cli.Arguments(1, -1), target.CompleteNodes
	name := target.Flag(cmd)
	drain := cli.Draining(cmd)
	cli.Yes(cmd)
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		request := daemonapi.NodesRequest{Names: args}
		if request.Draining, err = drain(); err != nil {
			return err
		}
		c, dir, err := target.Open(*name)
		if err != nil {
			return err
		}
		err = s.Show(cmd.Context(), inJSON, func(ctx context.Context, event func(daemonapi.Event)) error { return do(c, ctx, request, event) })
		var resized []string
		for _, node := range args {
			if group, _, _ := nodeconfig.SplitName(node); resizes {
				resized = append(resized, group)
			}
		}
		return changed(s, c, dir.Name(), err, inJSON, done+" "+strings.Join(args, ", "), resized...)
	}
	return cmd
}

// changed prints the result of a change, and what to change in the configuration file if
// groups were resized.
func changed(s cli.Streams, c *client.Client, name string, err error, inJSON bool, done string, resized ...string) error {
	switch {
	case errors.Is(err, context.Canceled):
		return cli.Interrupted("interrupted; the change continues in the background", fmt.Sprintf("run `skiff status %s` to see its progress", name))
	case err != nil:
		return target.Explain(name, err)
	case inJSON:
		return nil
	}
	fmt.Fprintln(s.Out, done)
	if spec, err := c.Spec(); err == nil {
		if note := fileNote(spec, resized...); note != "" {
			fmt.Fprintln(s.Out, note)
		}
	}
	return nil
}

func groupNames(spec cluster.Spec) []string {
	var all []string
	for _, g := range cluster.Groups(spec) {
		all = append(all, g.Name)
	}
	return all
}

func completeGroups(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	c, _, err := target.Open(cmd.Flag("cluster").Value.String())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	spec, err := c.Spec()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return groupNames(spec), cobra.ShellCompDirectiveNoFileComp
}
