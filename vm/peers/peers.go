// Package peers leads machines to other clusters of the same user by name: to the API
// and to load balancers, and to nothing else, of clusters that allow it. Every lookup
// and every connection asks the other cluster's files or daemon, so nothing stays
// open that is no longer allowed, and a cluster that is not running has no services.
package peers

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

const (
	// fresh is how long an answer of another cluster is kept.
	fresh = time.Second
	// askLimit bounds a question to its daemon.
	askLimit = 2 * time.Second
)

// Config of a Directory.
type Config struct {
	Home home.Home
	// Cluster is the one whose machines ask.
	Cluster string
	// Services returns what the host reaches of a cluster; an error if it is not running.
	Services func(ctx context.Context, cluster string) (daemonapi.Services, error)
}

// Directory knows the other clusters. Its methods may be called concurrently.
type Directory struct {
	config Config
	table  table

	mu    sync.Mutex // guards peers
	peers map[string]*peer
}

// New returns a Directory.
func New(config Config) *Directory { return &Directory{config: config, peers: map[string]*peer{}} }

// Resolve returns the address that stands for a name, which is fully qualified and in
// lower case; false if no cluster offers it to this one.
func (d *Directory) Resolve(name string) (netip.Addr, bool) {
	t, ok := parseName(name)
	if !ok {
		return netip.Addr{}, false
	}
	spec, ok := d.offered(t.cluster)
	if !ok || t.service != "" && d.service(t) == nil || t.service == "" && spec.APIPort == 0 {
		return netip.Addr{}, false
	}
	return d.table.address(t), true
}

// Route returns the addresses on this host, in the order in which to try them, for a
// port of an address that Resolve returned; nothing if there is no such port.
func (d *Directory) Route(to netip.AddrPort, tcp bool) []netip.AddrPort {
	t, ok := d.table.target(to.Addr())
	if !ok {
		return nil
	}
	spec, ok := d.offered(t.cluster)
	if !ok {
		return nil
	}
	if t.service == "" {
		if !tcp || to.Port() != cluster.InternalPort {
			return nil
		}
		return []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(spec.APIPort))}
	}
	return listeners(d.service(t), to.Port(), tcp)
}

// listeners returns where the host answers for a port of a service.
func listeners(service *daemonapi.Service, port uint16, tcp bool) []netip.AddrPort {
	if service == nil {
		return nil
	}
	protocol := corev1.ProtocolUDP
	if tcp {
		protocol = corev1.ProtocolTCP
	}
	var all []netip.AddrPort
	for _, p := range service.Ports {
		if p.Port != int(port) || p.Protocol != string(protocol) {
			continue
		}
		for _, text := range p.Host {
			if at, err := netip.ParseAddrPort(text); err == nil && at.Addr().IsLoopback() {
				all = append(all, at)
			}
		}
	}
	return all
}

// peer is what is known of another cluster.
type peer struct {
	mu       sync.Mutex // held while the cluster is asked; guards what follows
	read     time.Time
	spec     cluster.Spec
	offers   bool
	asked    time.Time
	services []daemonapi.Service
}

// peer returns what is known of a cluster that has a directory; nil for any other.
func (d *Directory) peer(name string) *peer {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.peers[name]; p != nil {
		return p
	}
	names, err := d.config.Home.Names()
	if err != nil || !slices.Contains(names, name) {
		return nil
	}
	for known := range d.peers { // no more than there are
		if !slices.Contains(names, known) {
			delete(d.peers, known)
		}
	}
	d.peers[name] = &peer{}
	return d.peers[name]
}

// offered returns the spec of a cluster if it lets this one reach it.
func (d *Directory) offered(name string) (cluster.Spec, bool) {
	p := d.peer(name)
	if p == nil {
		return cluster.Spec{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.read) > fresh {
		state, err := cluster.ReadState(d.config.Home.Cluster(name).State())
		p.read, p.spec = time.Now(), state.Spec
		p.offers = err == nil && (name == d.config.Cluster || cluster.Admits(state.Spec, d.config.Cluster))
	}
	return p.spec, p.offers
}

// service returns a load balancer of a running cluster, nil if there is none.
func (d *Directory) service(t target) *daemonapi.Service {
	p := d.peer(t.cluster)
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.asked) > fresh {
		ctx, cancel := context.WithTimeout(context.Background(), askLimit)
		defer cancel()
		all, err := d.config.Services(ctx, t.cluster)
		if err != nil {
			all.Services = nil
		}
		p.asked, p.services = time.Now(), all.Services
	}
	for i, s := range p.services {
		if s.Type == string(corev1.ServiceTypeLoadBalancer) && s.Namespace == t.namespace && s.Name == t.service {
			return &p.services[i]
		}
	}
	return nil
}
