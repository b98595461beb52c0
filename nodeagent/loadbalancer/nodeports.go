package loadbalancer

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/skiff-dev/skiff/internal/balancer"
	"github.com/skiff-dev/skiff/internal/wakeup"
)

// nodePortRetry is when a port that another program uses is tried again.
const nodePortRetry = 10 * time.Second

// NodePorts serves the TCP node ports of services on the loopback interface, so
// that the node reaches, for instance, a registry in the cluster as
// localhost:30500. The service proxy does not: in nftables mode it serves the
// node's own address only.
type NodePorts struct {
	API kubernetes.Interface
	// Node is the node's own address, where the service proxy serves the ports.
	Node netip.Addr

	// listen replaces that of a net.ListenConfig in tests.
	listen func(ctx context.Context, network, address string) (net.Listener, error)
}

// Run serves until ctx ends.
func (n NodePorts) Run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(n.API, 0,
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermNotEqualSelector("spec.type", string(corev1.ServiceTypeClusterIP)).String()
		}), informers.WithTransform(func(object any) (any, error) {
			if service, ok := object.(*corev1.Service); ok {
				service.ManagedFields, service.Annotations = nil, nil
			}
			return object, nil
		}))
	services := factory.Core().V1().Services()
	changed := wakeup.New()
	notify := func(any) { changed.Send() }
	if _, err := services.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: notify, DeleteFunc: notify, UpdateFunc: func(_, object any) { notify(object) },
	}); err != nil {
		return fmt.Errorf("watch services: %w", err)
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return n.follow(ctx, services.Lister(), changed, &running)
}

// follow opens and closes ports whenever services have changed.
func (n NodePorts) follow(ctx context.Context, services corelisters.ServiceLister, changed <-chan struct{}, running *sync.WaitGroup) error {
	open := map[uint16]*nodePort{}
	failed := wakeup.New()
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-retry:
		case <-failed:
			retry = time.After(nodePortRetry)
			continue
		}
		list, err := services.List(labels.Everything())
		if err != nil {
			return fmt.Errorf("list services: %w", err)
		}
		ports := nodePorts(list)
		for port, served := range open {
			if !slices.Contains(ports, port) || served.failed.Load() {
				served.stop()
				delete(open, port)
			}
		}
		retry = nil
		for _, port := range ports {
			if open[port] != nil {
				continue
			}
			served, err := n.serve(ctx, port, failed, running)
			if err != nil {
				slog.Warn("cannot serve a node port on the loopback interface, retrying", "port", port, "error", err, "after", nodePortRetry)
				retry = time.After(nodePortRetry)
				continue
			}
			open[port] = served
		}
	}
}

// nodePort is a port that is served until stop is called, or until it fails.
type nodePort struct {
	stop   context.CancelFunc
	failed atomic.Bool
}

// serve forwards a port of the loopback interface to the same port of the node's
// address. It sends failed if forwarding ends before the port is stopped.
func (n NodePorts) serve(ctx context.Context, port uint16, failed wakeup.Signal, running *sync.WaitGroup) (*nodePort, error) {
	listen := n.listen
	if listen == nil {
		listen = (&net.ListenConfig{}).Listen
	}
	listener, err := listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		return nil, err
	}
	b := &balancer.Balancer{Listener: listener}
	b.SetBackends([]string{netip.AddrPortFrom(n.Node, port).String()})
	ctx, stop := context.WithCancel(ctx)
	served := &nodePort{stop: stop}
	running.Go(func() {
		if err := b.Run(ctx); err != nil {
			slog.Warn("serving a node port on the loopback interface failed, retrying", "port", port, "error", err, "after", nodePortRetry)
			served.failed.Store(true)
			failed.Send()
		}
	})
	return served, nil
}

// nodePorts returns the TCP node ports of services, in order.
func nodePorts(services []*corev1.Service) []uint16 {
	var ports []uint16
	for _, service := range services {
		if service.Spec.Type != corev1.ServiceTypeNodePort && service.Spec.Type != corev1.ServiceTypeLoadBalancer {
			continue
		}
		for _, port := range service.Spec.Ports {
			tcp := port.Protocol == corev1.ProtocolTCP || port.Protocol == ""
			if tcp && port.NodePort > 0 && port.NodePort <= 65535 {
				ports = append(ports, uint16(port.NodePort))
			}
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}
