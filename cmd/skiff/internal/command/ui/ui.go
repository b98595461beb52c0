// Package ui holds the command `ui` and connects the dashboard to this host.
package ui

import (
	"context"
	"slices"
	"strings"

	tui "github.com/skiff-dev/skiff/tui/app"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/kube"
	"github.com/skiff-dev/skiff/vm/home"
)

// Options are the flags of `ui`.
type Options struct {
	kubeconfig, context, start string
	namespaces                 []string
	readOnly                   bool
}

// Root makes skiff's command line with other streams.
type Root func(cli.Streams) *cobra.Command

// New returns the command `ui`. The dashboard runs skiff's own commands through
// root.
func New(s cli.Streams, root Root) *cobra.Command {
	var o Options
	screens := tui.Starts()
	cmd := &cobra.Command{
		Use:   "ui [NAME...]",
		Short: "Open the dashboard in the terminal",
		Long: `Open a live dashboard in the terminal: your clusters, their machines, and everything
in Kubernetes. Several NAMEs are shown together; without a NAME it opens what was shown
last. Press "?" for the keys of each screen.

Set keys, colours and aliases in ui.yaml in SKIFF_HOME (~/.skiff).`,
		Example: `  # Open the dashboard where it was left
  skiff ui

  # Show two clusters together
  skiff ui dev ci

  # Start with the pods of one namespace
  skiff ui -n kube-system --start pods

  # Show any cluster of a kubeconfig, without changing anything
  skiff ui --kubeconfig ~/.kube/config --context other --read-only`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: target.CompleteClusters,
		RunE: func(cmd *cobra.Command, args []string) error {
			return Run(cmd.Context(), s, root, args, o)
		},
	}
	cmd.Flags().StringVar(&o.kubeconfig, "kubeconfig", "", "show a cluster of this kubeconfig `file`; it need not be a Skiff cluster")
	cmd.Flags().StringVar(&o.context, "context", "", "with --kubeconfig: the `context` to use (default: the current one)")
	cmd.Flags().StringSliceVarP(&o.namespaces, "namespace", "n", nil, "namespaces to show (default: all)")
	cmd.Flags().StringVar(&o.start, "start", "", "first screen: "+strings.Join(screens, ", ")+" (default: the last one shown)")
	cmd.Flags().BoolVar(&o.readOnly, "read-only", false, "disable all actions that change something")
	_ = cmd.RegisterFlagCompletionFunc("start", cobra.FixedCompletions(screens, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// Run opens the dashboard.
func Run(ctx context.Context, s cli.Streams, root Root, names []string, o Options) error {
	if screens := tui.Starts(); o.start != "" && !slices.Contains(screens, o.start) {
		return cli.Invalid("choose one of "+strings.Join(screens, ", "), "--start: no screen named %q", o.start)
	}
	if o.context != "" && o.kubeconfig == "" {
		return cli.Invalid("", "--context requires --kubeconfig")
	}
	if o.kubeconfig != "" && len(names) > 0 {
		return cli.Invalid("", "--kubeconfig cannot be combined with the name %q", names[0])
	}
	if !cli.IsTerminal(s.In) || !cli.IsTerminal(s.Out) {
		return cli.Invalid("run `skiff status` instead", "ui needs a terminal")
	}
	klog.SetLogger(logr.Discard()) // client-go must not write to the screen
	h, err := target.Home()
	if err != nil {
		return err
	}
	settings, err := readSettings(h)
	if err != nil {
		return err
	}
	ports := &kube.Forwarder{}
	local := &host{root: root, home: h, ports: ports}
	config := tui.Config{
		Host: local, Ports: ports, Settings: settings, Namespaces: o.namespaces, Start: o.start, ReadOnly: o.readOnly,
		Save: func(state tui.State) { saveState(h, state) },
	}
	if o.kubeconfig != "" {
		if local.other, err = readOther(o.kubeconfig, o.context); err != nil {
			return err
		}
		config.Clusters = []string{local.other.name}
	} else if config.Clusters, err = clusters(h, names, settings.Remembered, o.start); err != nil {
		return err
	}
	if len(o.namespaces) == 0 && len(config.Clusters) == 1 {
		config.Namespaces = settings.Remembered.Namespaces[config.Clusters[0]]
	}
	return tui.Run(ctx, config, s.In, s.Out)
}

// clusters returns the clusters to open first: those named, else the remembered
// ones that still exist, else the only one. None opens the list of clusters.
func clusters(h home.Home, names []string, remembered tui.State, start string) ([]string, error) {
	known, err := h.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := target.CheckName(name); err != nil {
			return nil, err
		}
		if !slices.Contains(known, name) {
			return nil, cli.Invalid("run `skiff list` to see the clusters", "no cluster named %q", name)
		}
	}
	if len(names) > 0 {
		return names, nil
	}
	if start == "clusters" {
		return nil, nil
	}
	var again []string
	for _, name := range remembered.Clusters {
		if slices.Contains(known, name) {
			again = append(again, name)
		}
	}
	switch fallback := target.DefaultName(); {
	case len(again) > 0:
		return again, nil
	case len(known) == 1:
		return known, nil
	case slices.Contains(known, fallback):
		return []string{fallback}, nil
	}
	return nil, nil
}
