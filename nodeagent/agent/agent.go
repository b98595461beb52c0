// Package agent joins the node's parts into one process: it starts each as
// soon as what it needs is there, and it ends when the kubelet ends.
package agent

import (
	"context"
	"net/netip"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/skiff-dev/skiff/nodeagent/front"
	"github.com/skiff-dev/skiff/nodeagent/kubelet"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Config is what one agent runs with.
type Config struct {
	Node nodeconfig.Node
	// PKIDir holds the cluster's CA and the components' certificates.
	PKIDir string
	// RunDir holds what the agent writes for itself anew at each start.
	RunDir string
	// StateDir is on the node's own disk; local volumes are below it.
	StateDir string
	// KubeletDir is the kubelet's root, on the node's own disk.
	KubeletDir string
	// ContainerdSocket is where containerd serves CRI.
	ContainerdSocket string
}

// Run runs every part until ctx ends, or until one that the node cannot be
// without fails; the error is that part's.
func Run(ctx context.Context, config Config) error {
	machine, err := kubelet.ReadMachine()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return apiFront(config.Node).Run(ctx) })
	group.Go(func() error {
		return kubelet.Kubelet{Node: config.Node, Machine: machine, Paths: kubeletPaths(config)}.Run(ctx)
	})
	return group.Wait()
}

func apiFront(node nodeconfig.Node) *front.Front {
	f := &front.Front{Listen: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), nodeconfig.PortAPIFront)}
	for _, peer := range node.ControlPlanes {
		f.Backends = append(f.Backends, netip.AddrPortFrom(peer.Address, nodeconfig.PortKubernetes))
	}
	return f
}

func kubeletPaths(config Config) kubelet.Paths {
	paths := kubelet.Paths{
		Root:             config.KubeletDir,
		ClientCA:         filepath.Join(config.PKIDir, "ca.crt"),
		ResolvConf:       filepath.Join(config.RunDir, "resolv.conf"),
		ContainerdSocket: config.ContainerdSocket,
	}
	if config.Node.BootstrapToken != "" {
		paths.Bootstrap = filepath.Join(config.RunDir, "bootstrap.kubeconfig")
	}
	return paths
}
