// Package tunnel lets programs of this host reach a cluster's addresses through a TUN
// device. Root creates the device once, with its address and routes, and gives it to
// the user; the cluster's daemon then attaches to it without privileges. All that
// belongs to a tunnel is the device and what the kernel and the resolver keep with
// it, so that removing the device leaves nothing.
package tunnel

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/network"
)

// prefix begins the names of all devices.
const prefix = "skiff-"

// Name returns the name of a cluster's device, for which it follows links to the
// cluster's directory. Linux allows 15 characters.
func Name(dir home.Cluster) string {
	path := string(dir)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	sum := sha256.Sum256([]byte(path))
	return prefix + hex.EncodeToString(sum[:4])
}

// Plan is what root sets up for a cluster.
type Plan struct {
	Device  string
	Cluster string
	// Address is the host's own in the machines' subnet.
	Address netip.Addr
	// Ranges are those of the cluster.
	Ranges []Range
	// Nameserver is the address of cluster DNS, and Domain what it answers for.
	Nameserver netip.Addr
	Domain     string
}

// Range is a range of addresses. Key is its name in skiff.yaml.
type Range struct {
	Key    string
	Prefix netip.Prefix
}

// New returns the plan for a cluster.
func New(dir home.Cluster, n cluster.Network) (Plan, error) {
	p := Plan{
		Device: Name(dir), Cluster: dir.Name(), Address: cluster.HostAddress(n.Nodes).Addr(), Nameserver: cluster.DNSAddress(n), Domain: n.Domain,
		Ranges: []Range{{"network.nodes", n.Nodes.Masked()}, {"network.pods", n.Pods.Masked()}, {"network.services", n.Services.Masked()}},
	}
	for _, r := range p.Ranges {
		if !r.Prefix.IsValid() || !r.Prefix.Addr().Is4() {
			return Plan{}, fmt.Errorf("%s is not an IPv4 range", r.Key)
		}
	}
	return p, nil
}

// Reaches returns whether the host may reach an address through the tunnel: not what
// the daemon itself offers to machines.
func Reaches(n cluster.Network) func(netip.Addr) bool {
	own := []netip.Addr{network.Gateway(n.Nodes), network.HostServices(n.Nodes), cluster.HostAddress(n.Nodes).Addr(), n.Nodes.Masked().Addr()}
	return func(a netip.Addr) bool {
		for _, one := range own {
			if a == one {
				return false
			}
		}
		return n.Nodes.Contains(a) || n.Pods.Contains(a) || n.Services.Contains(a)
	}
}

// Route is a route of this host, or an address that it has.
type Route struct {
	Destination netip.Prefix
	Device      string
	// Alias describes the device, as Plan.alias does.
	Alias string
}

// ErrConflict means that the host already uses addresses of the cluster. Its text
// says which, and what to do.
var ErrConflict = errors.New("the host already uses addresses of the cluster")

// Check returns an error that wraps ErrConflict if the cluster's ranges overlap with
// a route of the host. The default route does not count.
func (p Plan) Check(routes []Route) error {
	for _, route := range routes {
		if route.Device == p.Device || route.Destination.Bits() == 0 {
			continue
		}
		for _, r := range p.Ranges {
			if !r.Prefix.Overlaps(route.Destination) {
				continue
			}
			if other, _, ok := parseAlias(route.Alias); ok {
				return fmt.Errorf("%w: %s %s overlaps with the cluster %q, which is connected; disconnect that first, or give one of them other ranges", ErrConflict, r.Key, r.Prefix, other)
			}
			return fmt.Errorf("%w: %s %s overlaps with the route to %s through %s; create the cluster with another %s", ErrConflict, r.Key, r.Prefix, route.Destination, route.Device, r.Key)
		}
	}
	return nil
}

// Shadowed returns another connected cluster that has the same domain, "" if there is
// none. The resolver can ask only one of them.
func (p Plan) Shadowed(routes []Route) string {
	for _, route := range routes {
		if other, domain, ok := parseAlias(route.Alias); ok && route.Device != p.Device && domain == p.Domain {
			return other
		}
	}
	return ""
}

// alias describes the device to people and to other clusters.
func (p Plan) alias() string { return "skiff cluster " + p.Cluster + ", " + p.Domain }

func parseAlias(alias string) (name, domain string, ok bool) {
	rest, ok := strings.CutPrefix(alias, "skiff cluster ")
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, ", ")
}
