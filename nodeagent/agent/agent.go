// Package agent joins the node's parts into one process: it starts each as
// soon as what it needs is there, and it ends when the kubelet ends.
package agent

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/skiff-dev/skiff/internal/balancer"
	"github.com/skiff-dev/skiff/internal/gctune"
	"github.com/skiff-dev/skiff/nodeagent/client"
	"github.com/skiff-dev/skiff/nodeagent/dns"
	"github.com/skiff-dev/skiff/nodeagent/kubelet"
	"github.com/skiff-dev/skiff/nodeagent/loadbalancer"
	"github.com/skiff-dev/skiff/nodeagent/network"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/nodeagent/policy"
	"github.com/skiff-dev/skiff/nodeagent/proxy"
	"github.com/skiff-dev/skiff/nodeagent/volumes"
)

// alarmsFile is this program's file below Config.AlarmsDir.
const alarmsFile = "nodeagent"

// Config is what one agent runs with.
type Config struct {
	Node nodeconfig.Node
	// PKIDir holds the cluster's CA and the components' certificates.
	PKIDir string
	// RunDir holds what the agent writes for itself anew at each start.
	RunDir string
	// StateDir is on the node's own disk; local volumes are below it.
	StateDir string
	// AlarmsDir takes a file with what the user should know.
	AlarmsDir string
	// Wake is called when a pod is about to start, so that what the program does at
	// leisure is not in its way. It must return at once.
	Wake func()
	// KubeletDir is the kubelet's root, on the node's own disk.
	KubeletDir string
	// CNIDir is where the container runtime looks for its network.
	CNIDir string
	// ContainerdSocket is where containerd serves CRI.
	ContainerdSocket string
}

// Run runs every part until ctx ends, or until one that the node cannot be
// without fails; the error is that part's. The kubelet and the service proxy
// register with global registries of their libraries, so that a process runs
// them once: whoever supervises the process starts them again.
func Run(ctx context.Context, config Config) error {
	machine, err := kubelet.ReadMachine()
	if err != nil {
		return err
	}
	gctune.NodeAgent().Limits(machine.MemoryBytes).Apply()
	api, err := loadbalancer.Listen(ctx, config.Node)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return api.Run(ctx) })
	group.Go(func() error { return follow(ctx, config, api) })
	group.Go(func() error {
		return kubelet.Kubelet{Node: config.Node, Machine: machine, Paths: kubeletPaths(config), Starting: config.Wake}.Run(ctx)
	})
	group.Go(func() error { return components(ctx, config) })
	return group.Wait()
}

// follow keeps the load balancer's backends equal to the current control planes.
func follow(ctx context.Context, config Config, b *balancer.Balancer) error {
	identity := client.Component(config.PKIDir, "network")
	api, err := kubernetes.NewForConfig(identity.Config())
	if err != nil {
		return fmt.Errorf("make the load balancer's client: %w", err)
	}
	if err := identity.Wait(ctx, client.PathList("discovery.k8s.io", "endpointslices")); err != nil {
		return ended(ctx, err)
	}
	return again(ctx, "API load balancer", func(ctx context.Context) error { return loadbalancer.Follow(ctx, api, b) })
}

// components runs what needs nothing but the API server. Each waits until the
// server gives it what it watches: libraries that are refused once wait longer
// each time.
func components(ctx context.Context, config Config) error {
	identity := func(name string) client.Identity { return client.Component(config.PKIDir, name) }
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := identity("proxy").Wait(ctx, client.PathNode(config.Node.Name)); err != nil {
			return ended(ctx, err)
		}
		return proxy.Proxy{Node: config.Node, Identity: identity("proxy"), RunDir: config.RunDir}.Run(ctx)
	})
	group.Go(func() error { return pods(ctx, config) })
	group.Go(func() error {
		api, err := kubernetes.NewForConfig(identity("volumes").Config())
		if err != nil {
			return fmt.Errorf("make the local volumes' client: %w", err)
		}
		if err := identity("volumes").Wait(ctx, client.PathList("", "persistentvolumes")); err != nil {
			return ended(ctx, err)
		}
		local := volumes.Volumes{NodeName: config.Node.Name, API: api, Dir: filepath.Join(config.StateDir, "volumes")}
		return again(ctx, "local volumes", local.Run)
	})
	return group.Wait()
}

// pods runs the parts that make pods reach each other: network, policies and
// names. They share what they watch.
func pods(ctx context.Context, config Config) error {
	networkID, dnsID := client.Component(config.PKIDir, "network"), client.Component(config.PKIDir, "dns")
	api, err := kubernetes.NewForConfig(networkID.Config())
	if err != nil {
		return fmt.Errorf("make the network's client: %w", err)
	}
	dnsAPI, err := kubernetes.NewForConfig(dnsID.Config())
	if err != nil {
		return fmt.Errorf("make the cluster DNS' client: %w", err)
	}
	informers := network.Informers(api)
	nodes := informers.Core().V1().Nodes()
	nodes.Informer()
	engine, err := policy.Policy{
		NodeName: config.Node.Name, Informers: informers, AlarmFile: filepath.Join(config.AlarmsDir, alarmsFile),
	}.Engine()
	if err != nil {
		return err
	}
	if err := networkID.Wait(ctx, client.PathList("networking.k8s.io", "networkpolicies")); err != nil {
		return ended(ctx, err)
	}
	informers.Start(ctx.Done())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return again(ctx, "pod network", network.Network{Node: config.Node, Nodes: nodes, CNIDir: config.CNIDir}.Run)
	})
	group.Go(func() error { return again(ctx, "network policies", engine.Run) })
	group.Go(func() error {
		if err := dnsID.Wait(ctx, client.PathList("discovery.k8s.io", "endpointslices")); err != nil {
			return ended(ctx, err)
		}
		server := dns.DNS{Node: config.Node, Identity: dnsID, API: dnsAPI, NodeUID: func() types.UID {
			return network.NodeUID(nodes.Lister(), config.Node.Name)
		}}
		return again(ctx, "cluster DNS", server.Run)
	})
	return group.Wait()
}

// ended is nil if ctx ended: what was interrupted by it did not fail.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// again runs a part until ctx ends, and anew when it fails: the node is still
// of use without it.
func again(ctx context.Context, name string, run func(context.Context) error) error {
	wait := time.Second
	for {
		err := run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		slog.Error("a part of the node ended and is started again", "part", name, "error", err, "after", wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, time.Minute)
	}
}

func kubeletPaths(config Config) kubelet.Paths {
	identity := client.Component(config.PKIDir, "kubelet")
	return kubelet.Paths{
		Root:             config.KubeletDir,
		ClientCA:         identity.CA,
		Certificate:      identity.Certificate,
		Key:              identity.Key,
		ResolvConf:       filepath.Join(config.RunDir, "resolv.conf"),
		ContainerdSocket: config.ContainerdSocket,
	}
}
