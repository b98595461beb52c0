package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	tui "github.com/skiff-dev/skiff/tui/app"
	"github.com/skiff-dev/skiff/tui/kube"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

// uiHost is this host for the dashboard: what it shows comes from the daemons,
// and what it does are our own commands.
type uiHost struct {
	app   *app
	home  home.Home
	ports *kube.Forwarder
	other *otherCluster // of a kubeconfig that was named; nil if none was
}

// Clusters is tui.Host's.
func (u *uiHost) Clusters(ctx context.Context) ([]daemonapi.ClusterStatus, error) {
	return client.List(ctx, u.home)
}

// Guest is tui.Host's.
func (u *uiHost) Guest(ctx context.Context, cluster, node string) (nodeapi.Status, error) {
	return client.New(client.Config{Home: u.home, Name: cluster}).Node(node).Status(ctx)
}

// Connect is tui.Host's.
func (u *uiHost) Connect(ctx context.Context, name string) (tui.Kubernetes, error) {
	if u.other != nil && u.other.name == name {
		return kube.New(name, u.other.kubeconfig, u.other.context, u.ports)
	}
	content, err := client.New(client.Config{Home: u.home, Name: name}).Kubeconfig(ctx)
	if err != nil {
		return nil, about(name, err)
	}
	return kube.New(name, content, "", u.ports)
}

// Verbs is tui.Host's.
func (u *uiHost) Verbs() map[string]bool {
	verbs := map[string]bool{}
	for _, c := range u.app.root().Commands() {
		if c.IsAvailableCommand() && c.Name() != "ui" {
			verbs[c.Name()] = true
		}
	}
	return verbs
}

// Skiff is tui.Host's: the command line itself, with other streams.
func (u *uiHost) Skiff(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	root := (&app{stdin: in, stdout: out, stderr: out}).root()
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		report(out, err)
		return fmt.Errorf("skiff %s: %w", args[0], err)
	}
	return nil
}

// relocate makes the paths of a kubeconfig relative to its own place.
func relocate(file *clientcmdapi.Config, path string) *clientcmdapi.Config {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	for _, c := range file.Clusters {
		c.LocationOfOrigin = path
	}
	for _, u := range file.AuthInfos {
		u.LocationOfOrigin = path
	}
	return file
}
