package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	tui "github.com/skiff-dev/skiff/tui/app"
	"github.com/skiff-dev/skiff/tui/kube"
	"github.com/skiff-dev/skiff/vm/home"
)

// uiOptions are the flags of ui.
type uiOptions struct {
	kubeconfig, context, start string
	namespaces                 []string
	readOnly                   bool
}

func (a *app) ui() *cobra.Command {
	var o uiOptions
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
		ValidArgsFunction: completeClusters,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runUI(cmd.Context(), args, o)
		},
	}
	cmd.Flags().StringVar(&o.kubeconfig, "kubeconfig", "", "show a cluster of this kubeconfig `file`; it need not be a Skiff cluster")
	cmd.Flags().StringVar(&o.context, "context", "", "with --kubeconfig: the `context` to use (default: the current one)")
	cmd.Flags().StringSliceVarP(&o.namespaces, "namespace", "n", nil, "namespaces to show (default: all)")
	cmd.Flags().StringVar(&o.start, "start", "", "first screen: "+strings.Join(uiStarts, ", ")+" (default: the last one shown)")
	cmd.Flags().BoolVar(&o.readOnly, "read-only", false, "disable all actions that change something")
	_ = cmd.RegisterFlagCompletionFunc("start", cobra.FixedCompletions(uiStarts, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// uiStarts are the screens that ui can begin with.
var uiStarts = []string{"pods", "workloads", "nodes", "pulse", "controlplane", "clusters"}

func (a *app) runUI(ctx context.Context, names []string, o uiOptions) error {
	if o.start != "" && !slices.Contains(uiStarts, o.start) {
		return invalid("choose one of "+strings.Join(uiStarts, ", "), "--start: no screen named %q", o.start)
	}
	if o.context != "" && o.kubeconfig == "" {
		return invalid("", "--context requires --kubeconfig")
	}
	if o.kubeconfig != "" && len(names) > 0 {
		return invalid("", "--kubeconfig cannot be combined with the name %q", names[0])
	}
	if !isTerminal(a.stdin) || !isTerminal(a.stdout) {
		return invalid("run `skiff status` instead", "ui needs a terminal")
	}
	klog.SetLogger(logr.Discard()) // the screen is ours: client-go must not write on it
	h, err := home.Default()
	if err != nil {
		return err
	}
	settings, err := readUISettings(h)
	if err != nil {
		return err
	}
	ports := &kube.Forwarder{}
	host := &uiHost{app: a, home: h, ports: ports}
	config := tui.Config{
		Host: host, Ports: ports, Settings: settings, Namespaces: o.namespaces, Start: o.start, ReadOnly: o.readOnly,
		Save: func(s tui.State) { saveUIState(h, s) },
	}
	if o.kubeconfig != "" {
		if host.other, err = readOther(o.kubeconfig, o.context); err != nil {
			return err
		}
		config.Clusters = []string{host.other.name}
	} else if config.Clusters, err = uiClusters(h, names, settings.Remembered, o.start); err != nil {
		return err
	}
	if len(o.namespaces) == 0 && len(config.Clusters) == 1 {
		config.Namespaces = settings.Remembered.Namespaces[config.Clusters[0]]
	}
	return tui.Run(ctx, config, a.stdin, a.stdout)
}

// uiClusters are those to begin with: the named, else the remembered that still
// exist, else the only one. None opens the list of clusters.
func uiClusters(h home.Home, names []string, remembered tui.State, start string) ([]string, error) {
	known, err := h.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := checkName(name); err != nil {
			return nil, err
		}
		if !slices.Contains(known, name) {
			return nil, invalid("run `skiff list` to see the clusters", "no cluster named %q", name)
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
	switch fallback := defaultName(); {
	case len(again) > 0:
		return again, nil
	case len(known) == 1:
		return known, nil
	case slices.Contains(known, fallback):
		return []string{fallback}, nil
	}
	return nil, nil
}

// otherCluster is one of a kubeconfig that was named.
type otherCluster struct {
	name, context string
	kubeconfig    []byte
}

func readOther(path, contextName string) (*otherCluster, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, invalid("", "--kubeconfig: %s", err)
	}
	file, err := clientcmd.Load(content)
	if err != nil {
		return nil, invalid("", "--kubeconfig: %s: %s", path, err)
	}
	if contextName == "" {
		contextName = file.CurrentContext
	}
	if file.Contexts[contextName] == nil {
		return nil, invalid("choose one with --context", "%s: no context named %q", path, contextName)
	}
	// Paths in it are relative to the file.
	if err := clientcmd.ResolveLocalPaths(relocate(file, path)); err != nil {
		return nil, err
	}
	if content, err = clientcmd.Write(*file); err != nil {
		return nil, err
	}
	return &otherCluster{name: contextName, context: contextName, kubeconfig: content}, nil
}

const (
	uiSettingsFile = "ui.yaml"
	uiStateFile    = "ui-state.json"
)

func readUISettings(h home.Home) (tui.Settings, error) {
	path := filepath.Join(string(h), uiSettingsFile)
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return tui.Settings{}, fmt.Errorf("read the dashboard settings: %w", err)
	}
	remembered, err := os.ReadFile(filepath.Join(string(h), uiStateFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		remembered = nil
	}
	settings, err := tui.ParseSettings(content, remembered)
	if err != nil {
		return settings, invalid("", "%s: %s", path, oneLine(err.Error()))
	}
	return settings, nil
}

// saveUIState keeps what the next start begins with. That it cannot be kept is
// no reason to disturb anyone.
func saveUIState(h home.Home, s tui.State) {
	content, err := json.Marshal(s)
	if err != nil {
		return
	}
	if err := os.MkdirAll(string(h), 0o700); err != nil {
		return
	}
	_ = atomicfile.Write(filepath.Join(string(h), uiStateFile), content, 0o600)
}
