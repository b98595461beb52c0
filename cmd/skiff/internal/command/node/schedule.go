package node

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/kube"
	"github.com/skiff-dev/skiff/vm/offline"
)

// open returns a client of the Kubernetes API of a running cluster that has all of the
// named nodes, and the cluster's settings.
func open(ctx context.Context, clusterName string, names []string) (*kube.Client, cluster.Spec, error) {
	c, known, err := target.Nodes(ctx, clusterName)
	if err != nil {
		return nil, cluster.Spec{}, err
	}
	for _, name := range names {
		if err := target.CheckNode(name, known); err != nil {
			return nil, cluster.Spec{}, err
		}
	}
	spec, err := c.Spec()
	if err != nil {
		return nil, spec, err
	}
	h, err := target.Home()
	if err != nil {
		return nil, spec, err
	}
	content, err := offline.Kubeconfig(h.Cluster(spec.Name))
	if err != nil {
		return nil, spec, err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(content)
	if err != nil {
		return nil, spec, fmt.Errorf("read the kubeconfig: %w", err)
	}
	client, err := kube.New(config)
	if err != nil {
		return nil, spec, err
	}
	if err := client.Ready(ctx); err != nil {
		return nil, spec, &daemonapi.Failure{Cause: fmt.Sprintf("the Kubernetes API of cluster %q does not answer", spec.Name), Hint: fmt.Sprintf("\"skiff status %s\" shows why", spec.Name)}
	}
	return client, spec, nil
}

func newCordon(s cli.Streams, on bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "uncordon NODE...",
		Short: "Let nodes take new pods again",
		Example: `  # Let a node of the default cluster take pods again
  skiff node uncordon worker-1`,
		Args: cli.Arguments(1, -1), ValidArgsFunction: target.CompleteNodes,
	}
	if on {
		cmd.Use, cmd.Short = "cordon NODE...", "Keep new pods off nodes"
		cmd.Example = `  # Keep new pods off a node of the default cluster
  skiff node cordon worker-1`
	}
	name := target.Flag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, _, err := open(cmd.Context(), *name, args)
		if err != nil {
			return err
		}
		for _, node := range args {
			if err := client.Cordon(cmd.Context(), node, on); err != nil {
				return err
			}
			fmt.Fprintf(s.Out, "node %s %sed\n", node, cmd.Name())
		}
		return nil
	}
	return cmd
}

func newDrain(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drain NODE...",
		Short: "Keep new pods off nodes and evict those that are there",
		Long: `Keep new pods off nodes and evict those that are there, except the pods of DaemonSets. Disruption
budgets are respected. Pods without a controller, which nothing would create again, stay unless
--force is given. "skiff node uncordon" lets a node take pods again.`,
		Example: `  # Drain a node of the default cluster
  skiff node drain worker-1`,
		Args: cli.Arguments(1, -1), ValidArgsFunction: target.CompleteNodes,
	}
	name := target.Flag(cmd)
	var force bool
	cmd.Flags().BoolVar(&force, "force", false, "evict pods without a controller as well")
	timeout := cmd.Flags().Duration("timeout", 0, "how long the pods of a node may take to leave it; 0 waits without a limit")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *timeout < 0 {
			return cli.Invalid("", "--timeout must not be negative")
		}
		client, _, err := open(cmd.Context(), *name, args)
		if err != nil {
			return err
		}
		for _, node := range args {
			ctx, cancel := cmd.Context(), context.CancelFunc(func() {})
			if *timeout > 0 {
				ctx, cancel = context.WithTimeout(ctx, *timeout)
			}
			options := kube.DrainOptions{KeepUnmanaged: !force}
			err := client.Drain(ctx, node, options)
			cancel()
			if err != nil && cmd.Context().Err() == nil {
				if pods, unknown := client.Blocking(cmd.Context(), node, options); unknown == nil && pods != "" {
					return &daemonapi.Failure{Cause: fmt.Sprintf("%s was not drained: %s", node, pods), Hint: "it is still cordoned: try again later, or run \"skiff node uncordon " + node + "\""}
				}
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(s.Out, "node %s drained\n", node)
		}
		return nil
	}
	return cmd
}

func newLabel(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "label NODE KEY=VALUE|KEY-...",
		Short: "Set or remove labels of a node",
		Long: `Set labels of a node, or remove those that end with a hyphen. Such a label stays until the node is
removed or replaced. Labels of a whole group belong in "nodes" in skiff.yaml, and can be changed
only there.`,
		Example: `  # Set one label and remove another
  skiff node label worker-1 disk=ssd old-`,
		Args: cli.Arguments(2, -1), ValidArgsFunction: target.CompleteNode,
	}
	name := target.Flag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		node := args[0]
		marks, err := parseLabels(args[1:])
		if err != nil {
			return err
		}
		client, spec, err := open(cmd.Context(), *name, args[:1])
		if err != nil {
			return err
		}
		group := cluster.GroupOf(spec, node)
		for _, text := range args[1:] {
			key, _, _ := strings.Cut(strings.TrimSuffix(text, "-"), "=")
			if _, ok := group.Labels[key]; ok {
				return cli.Invalid("change it in skiff.yaml and run \"skiff up -f\" with the file", "label %s of %s is that of the group %s", key, node, group.Name)
			}
		}
		if err := client.Mark(cmd.Context(), node, marks); err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "node %s labeled\n", node)
		return nil
	}
	return cmd
}

// parseLabels reads KEY=VALUE, or KEY- for a label to remove.
func parseLabels(args []string) (kube.Marks, error) {
	marks := kube.Marks{Labels: map[string]string{}}
	for _, text := range args {
		key, value, set := strings.Cut(text, "=")
		if !set {
			var removes bool
			if key, removes = strings.CutSuffix(text, "-"); !removes {
				return marks, cli.Invalid("", "invalid label %q: use KEY=VALUE, or KEY- to remove it", text)
			}
			marks.RemoveLabels = append(marks.RemoveLabels, key)
		}
		if err := cluster.CheckLabel(key, value); err != nil {
			return marks, cli.Invalid("", "%s", err)
		}
		if _, ok := marks.Labels[key]; ok || set && slices.Contains(marks.RemoveLabels, key) {
			return marks, cli.Invalid("", "label %s is given twice", key)
		}
		if set {
			marks.Labels[key] = value
		}
	}
	return marks, nil
}
