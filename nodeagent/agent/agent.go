// Package agent runs the parts of a node in one process. It starts each part as
// soon as its dependencies are available, and returns when the kubelet exits.
package agent

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
	informerscorev1 "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/transport"

	"github.com/skiff-dev/skiff/internal/balancer"
	"github.com/skiff-dev/skiff/internal/gctune"
	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/nodeagent/client"
	"github.com/skiff-dev/skiff/nodeagent/dns"
	"github.com/skiff-dev/skiff/nodeagent/kubelet"
	"github.com/skiff-dev/skiff/nodeagent/loadbalancer"
	"github.com/skiff-dev/skiff/nodeagent/network"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/nodeagent/policy"
	"github.com/skiff-dev/skiff/nodeagent/proxy"
	"github.com/skiff-dev/skiff/nodeagent/registration"
	"github.com/skiff-dev/skiff/nodeagent/volumes"
)

// The files in Config.AlarmsDir of this program and of cluster DNS.
const (
	alarmsFile    = "nodeagent"
	dnsAlarmsFile = "nodeagent-dns"
)

// registrationFile is the file in Config.RunDir for package registration.
const registrationFile = "registration.json"

// Config configures an agent.
type Config struct {
	Node nodeconfig.Node
	// Components are the user's settings.
	Components nodeconfig.Components
	// PKIDir holds the cluster's CA and the components' certificates.
	PKIDir string
	// RunDir holds files that the agent writes at each start. It is gone when the machine stops.
	RunDir string
	// StateDir is on the node's disk; local volumes are below it.
	StateDir string
	// AlarmsDir receives a file with messages for the user.
	AlarmsDir string
	// Wake is called when a pod is about to start, so that the program's timers do
	// not delay it. It must return at once.
	Wake func()
	// KubeletDir is the kubelet's root directory, on the node's disk.
	KubeletDir string
	// CNIDir is where the container runtime looks for its network configuration.
	CNIDir string
	// ContainerdSocket is where containerd serves CRI.
	ContainerdSocket string
}

// certificatePeriod is how often client-go looks for another client certificate, after
// which it connects again. Upstream's five minutes would be the length of a phase in which
// the cluster's authority is replaced.
const certificatePeriod = 20 * time.Second

// Run runs every part until ctx ends, or until a part fails that the node cannot
// work without; it returns that part's error. The kubelet and the service proxy
// register with global registries of their libraries, so a process can run them
// only once. The supervisor restarts the process.
func Run(ctx context.Context, config Config) error {
	machine, err := kubelet.ReadMachine()
	if err != nil {
		return err
	}
	transport.CertCallbackRefreshDuration = certificatePeriod
	gctune.NodeAgent().Limits(machine.MemoryBytes).Apply()
	if err := kubelet.SetFeatureGates(config.Components.FeatureGates); err != nil {
		return err
	}
	api, err := loadbalancer.Listen(ctx, config.Node)
	if err != nil {
		return err
	}
	network, ready := newPodNetwork(), make(chan struct{})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return api.Run(ctx) })
	// One part waits for the API server: each attempt of each part costs the control plane
	// that it waits for a handshake.
	group.Go(func() error {
		if err := kubeletPaths(config).Identity().Wait(ctx, client.PathReady); err != nil {
			return ended(ctx, err)
		}
		close(ready)
		return nil
	})
	group.Go(func() error {
		if err := registrationOf(config, nil).Restore(ctx); err != nil {
			slog.Warn("cannot restore the node's registration", "error", err)
		}
		return kubelet.Kubelet{
			Node: config.Node, Fields: config.Components.Kubelet, Machine: machine, Paths: kubeletPaths(config),
			Starting: config.Wake, Network: network.await, Ready: ready,
		}.Run(ctx)
	})
	group.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-ready:
		}
		group.Go(func() error { return follow(ctx, config, api) })
		return components(ctx, config, network)
	})
	return group.Wait()
}

// Check returns an error if the node's components would not start with the user's
// settings. It is for a process of its own, because feature gates are global, and
// changes nothing outside of RunDir.
func Check(config Config) error {
	machine, err := kubelet.ReadMachine()
	if err != nil {
		return err
	}
	if err := kubelet.SetFeatureGates(config.Components.FeatureGates); err != nil {
		return err
	}
	node := kubelet.Kubelet{Node: config.Node, Fields: config.Components.Kubelet, Machine: machine, Paths: kubeletPaths(config)}
	if err := node.Check(); err != nil {
		return err
	}
	if config.Node.Kubernetes.Without.ServiceProxy {
		return nil
	}
	return proxy.Proxy{
		Node: config.Node, Fields: config.Components.Proxy, Identity: client.Component(config.PKIDir, "proxy"), RunDir: config.RunDir,
	}.Check()
}

// follow keeps the load balancer's backends equal to the current control planes.
func follow(ctx context.Context, config Config, b *balancer.Balancer) error {
	identity := client.Component(config.PKIDir, "network")
	api, err := kubernetes.NewForConfig(identity.Config())
	if err != nil {
		return fmt.Errorf("create the load balancer's client: %w", err)
	}
	if err := identity.Wait(ctx, client.PathList("discovery.k8s.io", "endpointslices")); err != nil {
		return ended(ctx, err)
	}
	return again(ctx, "API load balancer", func(ctx context.Context) error { return loadbalancer.Follow(ctx, api, b) })
}

// components runs the parts that need only the API server. Each waits until the
// server lets it list what it watches: after a refusal, the libraries wait longer
// each time.
func components(ctx context.Context, config Config, network *podNetwork) error {
	identity := func(name string) client.Identity { return client.Component(config.PKIDir, name) }
	group, ctx := errgroup.WithContext(ctx)
	if !config.Node.Kubernetes.Without.ServiceProxy {
		group.Go(func() error { return services(ctx, config) })
	}
	group.Go(func() error { return pods(ctx, config, network) })
	group.Go(func() error {
		api, err := kubernetes.NewForConfig(identity("volumes").Config())
		if err != nil {
			return fmt.Errorf("create the local volumes' client: %w", err)
		}
		if err := identity("volumes").Wait(ctx, client.PathList("", "persistentvolumes")); err != nil {
			return ended(ctx, err)
		}
		local := volumes.Volumes{NodeName: config.Node.Name, API: api, Dir: filepath.Join(config.StateDir, "volumes")}
		return again(ctx, "local volumes", local.Run)
	})
	return group.Wait()
}

// services runs the parts that make services answer.
func services(ctx context.Context, config Config) error {
	identity := client.Component(config.PKIDir, "proxy")
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := identity.Wait(ctx, client.PathNode(config.Node.Name)); err != nil {
			return ended(ctx, err)
		}
		return proxy.Proxy{Node: config.Node, Fields: config.Components.Proxy, Identity: identity, RunDir: config.RunDir}.Run(ctx)
	})
	group.Go(func() error {
		api, err := kubernetes.NewForConfig(identity.Config())
		if err != nil {
			return fmt.Errorf("create the node ports' client: %w", err)
		}
		if err := identity.Wait(ctx, client.PathList("", "services")); err != nil {
			return ended(ctx, err)
		}
		ports := loadbalancer.NodePorts{API: api, Node: config.Node.Network.Address.Addr()}
		return again(ctx, "node ports on the loopback interface", ports.Run)
	})
	return group.Wait()
}

// pods runs the parts that connect pods: network, policies and DNS, and what
// keeps the node registered. They share their informers.
func pods(ctx context.Context, config Config, own *podNetwork) error {
	networkID, dnsID := client.Component(config.PKIDir, "network"), client.Component(config.PKIDir, "dns")
	api, err := kubernetes.NewForConfig(networkID.Config())
	if err != nil {
		return fmt.Errorf("create the network's client: %w", err)
	}
	dnsAPI, err := kubernetes.NewForConfig(dnsID.Config())
	if err != nil {
		return fmt.Errorf("create the cluster DNS client: %w", err)
	}
	informers := network.Informers(api)
	nodes := informers.Core().V1().Nodes()
	nodes.Informer()
	without := config.Node.Kubernetes.Without
	policies := func(context.Context) error { return nil }
	if !without.Policies {
		engine, err := policy.Policy{
			NodeName: config.Node.Name, Informers: informers, AlarmFile: filepath.Join(config.AlarmsDir, alarmsFile),
		}.Engine()
		if err != nil {
			return err
		}
		policies = func(ctx context.Context) error { return again(ctx, "network policies", engine.Run) }
	}
	if err := networkID.Wait(ctx, client.PathList("networking.k8s.io", "networkpolicies")); err != nil {
		return ended(ctx, err)
	}
	informers.Start(ctx.Done())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if without.PodNetwork {
			own.reconciled(false)
			network.PrepareKernel(config.Node.Dual())
			return nil
		}
		return again(ctx, "pod network", network.Network{Node: config.Node, Nodes: nodes, CNIDir: config.CNIDir, Reconciled: own.reconciled}.Run)
	})
	group.Go(func() error { return policies(ctx) })
	group.Go(func() error { return registrationOf(config, nodes).Run(ctx) })
	if without.DNS {
		return group.Wait()
	}
	group.Go(func() error {
		if err := dnsID.Wait(ctx, client.PathList("discovery.k8s.io", "endpointslices")); err != nil {
			return ended(ctx, err)
		}
		alarm := filepath.Join(config.AlarmsDir, dnsAlarmsFile)
		server := dns.DNS{Node: config.Node, Identity: dnsID, API: dnsAPI, AlarmFile: alarm, NodeUID: func() types.UID {
			return network.NodeUID(nodes.Lister(), config.Node.Name)
		}}
		return again(ctx, "cluster DNS", server.Run)
	})
	return group.Wait()
}

// registrationOf returns what keeps the node registered, with the informer of all nodes, which
// only Run needs.
func registrationOf(config Config, nodes informerscorev1.NodeInformer) registration.Registration {
	return registration.Registration{
		Node: config.Node, Nodes: nodes, File: filepath.Join(config.RunDir, registrationFile),
		Client: func() (kubernetes.Interface, error) {
			return kubernetes.NewForConfig(kubeletPaths(config).Identity().Config())
		},
	}
}

// ended returns nil if ctx ended: a part that it interrupted has not failed.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// again runs a part until ctx ends, and restarts it when it fails: the node is
// still useful without it.
func again(ctx context.Context, name string, run func(context.Context) error) error {
	wait := time.Second
	for {
		err := run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		slog.Error("a part of the node failed, restarting it", "part", name, "error", err, "after", wait)
		if pause.For(ctx, wait) != nil {
			return nil
		}
		wait = min(2*wait, time.Minute)
	}
}

func kubeletPaths(config Config) kubelet.Paths {
	identity, server := client.Component(config.PKIDir, "kubelet"), client.Component(config.PKIDir, "kubelet-server")
	return kubelet.Paths{
		Root:               config.KubeletDir,
		ClientCA:           identity.CA,
		Certificate:        identity.Certificate,
		Key:                identity.Key,
		ServingCertificate: server.Certificate,
		ServingKey:         server.Key,
		ResolvConf:         nodeconfig.ResolvConf,
		ContainerdSocket:   config.ContainerdSocket,
	}
}
