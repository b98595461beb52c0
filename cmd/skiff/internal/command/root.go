// Package command assembles skiff's command line. Each subfolder holds the commands
// of one group.
package command

import (
	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/addon"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/autostart"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/chaos"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/cluster"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/completion"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/daemon"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/dashboard"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/drivers"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/etcd"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/image"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/kubeconfig"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/logs"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/metrics"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/network"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/node"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/pki"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/port"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/registry"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/secrets"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/services"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/snapshot"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/template"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/trust"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/ui"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/version"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
)

// New returns skiff's command line.
func New(s cli.Streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "skiff",
		Short: "Run multi-node Kubernetes clusters on this machine",
		Long: `Skiff runs multi-node Kubernetes clusters on this machine. Each node is a virtual
machine, or a sandbox of Linux namespaces. Virtual machines need no root, and
neither kind needs Docker or network access.`,
		Example: `  # Create a cluster with one control plane and two workers
  skiff up

  # Use it: the kubectl context is already set
  kubectl get nodes

  # Load an image from this host onto every node
  skiff image load app:1

  # Open the dashboard in the terminal, or in the browser
  skiff ui
  skiff dashboard

  # Delete the cluster
  skiff down`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              cobra.ArbitraryArgs,
		RunE:              func(cmd *cobra.Command, args []string) error { return bare(cmd, s, args) },
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetFlagErrorFunc(cli.FlagError)
	root.AddGroup(
		&cobra.Group{ID: "cluster", Title: "Clusters:"},
		&cobra.Group{ID: "node", Title: "Nodes and images:"},
		&cobra.Group{ID: "skiff", Title: "Other commands:"},
	)
	add(root, "cluster",
		cluster.Up(s), cluster.Upgrade(s), cluster.Pause(s), cluster.Resume(s), cluster.Stop(s), cluster.Down(s), cluster.Run(s),
		cluster.Status(s), cluster.List(s), addon.New(s), autostart.New(s), services.New(s), port.New(s), network.New(s), kubeconfig.New(s), etcd.New(s), snapshot.New(s), template.New(s), secrets.New(s), pki.New(s), ui.New(s, New), dashboard.New(s))
	add(root, "node", node.Shell(s), logs.New(s), metrics.New(s), image.New(s), registry.New(s), node.Nerdctl(s), node.New(s), chaos.New(s))
	add(root, "skiff", registry.Prune(s), version.New(s), drivers.New(s), trust.New(s), completion.New(s))
	restart := node.Restart(s) // still works by its former name
	restart.Hidden = true
	root.AddCommand(daemon.New(s), logs.NewStore(s), restart)
	root.SetHelpCommandGroupID("skiff")
	return root
}

func add(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		root.AddCommand(c)
	}
}

// bare runs skiff without a command: it opens the dashboard on a terminal if there
// is a cluster, and otherwise prints the help.
func bare(cmd *cobra.Command, s cli.Streams, args []string) error {
	if len(args) == 0 && s.Interactive() {
		h, err := target.Home()
		if err != nil {
			return err
		}
		names, err := h.Names()
		if err != nil {
			return err
		}
		if len(names) > 0 {
			return ui.Run(cmd.Context(), s, New, nil, ui.Options{})
		}
	}
	return cli.Group(cmd, args)
}
