package ui

import (
	"context"
	"fmt"
	"io"

	tui "github.com/skiff-dev/skiff/tui/app"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/browser"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/kube"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/tui/console"
	"github.com/skiff-dev/skiff/tui/machine"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

// host implements tui.Host: it reads from the daemons and acts through skiff's own
// commands.
type host struct {
	root  Root
	home  home.Home
	ports *kube.Forwarder
	other *otherCluster // of --kubeconfig; nil without it
}

// Clusters implements tui.Host.
func (u *host) Clusters(ctx context.Context) ([]daemonapi.ClusterStatus, error) {
	return client.List(ctx, u.home)
}

// NodeStatus implements tui.Host.
func (u *host) NodeStatus(ctx context.Context, cluster, node string) (nodeapi.Status, error) {
	return client.New(client.Config{Home: u.home, Name: cluster}).Node(node).Status(ctx)
}

// Services implements tui.Host.
func (u *host) Services(ctx context.Context, cluster string) (daemonapi.Services, error) {
	return client.New(client.Config{Home: u.home, Name: cluster}).Services(ctx)
}

// Browse implements tui.Host.
func (u *host) Browse(ctx context.Context, url string) error { return browser.Open(ctx, url) }

// Connect implements tui.Host.
func (u *host) Connect(ctx context.Context, name string) (tui.Kubernetes, error) {
	if u.other != nil && u.other.name == name {
		return console.Connect(name, u.other.kubeconfig, u.other.context, u.ports)
	}
	content, err := client.New(client.Config{Home: u.home, Name: name}).Kubeconfig(ctx)
	if err != nil {
		return nil, target.Explain(name, err)
	}
	return console.Connect(name, content, "", u.ports)
}

// Verbs implements tui.Host.
func (u *host) Verbs() map[string]bool {
	verbs := map[string]bool{}
	for _, c := range u.root(cli.Streams{}).Commands() {
		if c.IsAvailableCommand() && c.Name() != "ui" {
			verbs[c.Name()] = true
		}
	}
	return verbs
}

// Operate implements tui.Host.
func (u *host) Operate(ctx context.Context, o machine.Operation, in io.Reader, out io.Writer) error {
	root := u.root(cli.Streams{In: in, Out: out, Err: out})
	root.SetArgs(arguments(o))
	if err := root.ExecuteContext(ctx); err != nil {
		cli.Report(out, err)
		return fmt.Errorf("%s: %w", o.Title(), err)
	}
	return nil
}

// EtcdMembers implements tui.Host.
func (u *host) EtcdMembers(ctx context.Context, cluster string) (members []controlapi.EtcdMember, err error) {
	c := client.New(client.Config{Home: u.home, Name: cluster})
	err = c.OnControlPlane(ctx, func(_ string, c controlapi.Client) (err error) {
		members, err = c.Members(ctx)
		return err
	})
	return members, err
}
