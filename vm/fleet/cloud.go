package fleet

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"

	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-dev/skiff/controlplane/cloud/cloudapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cloud"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/edge/web/gateway"
	"github.com/skiff-dev/skiff/vm/machine"
)

// provider is the cloud of the cluster: it tells control planes about machines and
// gives services their load balancers.
type provider struct {
	core
	listen    func(port uint16) (net.Listener, error)
	balancers *cloud.Balancers
}

// newProvider reads the cluster's load balancers. listen listens at the gateway.
func newProvider(c core, listen func(uint16) (net.Listener, error)) (*provider, error) {
	pool := cluster.BalancerAddresses(c.state.spec().Network.Nodes)
	balancers, err := cloud.OpenBalancers(c.dir.LoadBalancers(), pool, c.log)
	if err != nil {
		return nil, err
	}
	return &provider{core: c, listen: listen, balancers: balancers}, nil
}

// serve serves control planes until ctx ends.
func (p *provider) serve(ctx context.Context) error {
	config := p.credentials.ServerConfig(credentials.CloudCA, credentials.Cloud)
	listener, err := p.listen(nodeconfig.PortCloud)
	if err != nil {
		return err
	}
	return cloud.Serve(ctx, listener, cloud.Config{TLS: config, Instances: p, LoadBalancers: p.balancers, Log: p.log})
}

// assign returns the addresses of Gateways. complete means that there are no others, so that
// the addresses of all others are free.
func (p *provider) assign(claims []gateway.Claim, complete bool) map[types.UID]gateway.Address {
	if complete {
		var uids []string
		for _, c := range claims {
			uids = append(uids, string(c.UID))
		}
		if err := p.balancers.RetainGateways(uids); err != nil {
			p.log.Warn("cannot release the addresses of Gateways", "error", err)
		}
	}
	addresses := map[types.UID]gateway.Address{}
	for _, c := range claims {
		if c.Problem != "" {
			addresses[c.UID] = gateway.Address{Problem: c.Problem}
			continue
		}
		ip, err := p.balancers.EnsureGateway(cloudapi.LoadBalancer{
			Namespace: c.Name.Namespace, Name: c.Name.Name, UID: string(c.UID), Requested: c.Requested, Previous: c.Previous,
		})
		if err != nil {
			addresses[c.UID] = gateway.Address{Problem: err.Error()}
			continue
		}
		addresses[c.UID] = gateway.Address{IP: ip}
	}
	return addresses
}

// Instance implements cloud.Instances. A machine that may exist exists: its node
// would otherwise be deleted.
func (p *provider) Instance(ctx context.Context, name string) (cloudapi.Instance, error) {
	state := p.state.current()
	n, ok := state.Find(name)
	if !ok {
		return cloudapi.Instance{}, fmt.Errorf("machine %.100q: %w", name, cloud.ErrNotFound)
	}
	found, err := p.machines.driver.State(ctx, name)
	if err != nil {
		return cloudapi.Instance{}, fmt.Errorf("read the state of machine %s: %w", name, err)
	}
	if found == machine.StateAbsent && !state.IsDesired(name) {
		return cloudapi.Instance{}, fmt.Errorf("machine %s was removed: %w", name, cloud.ErrNotFound)
	}
	m, _ := state.Machine(name)
	return cloudapi.Instance{
		Name: name, ProviderID: cloudapi.ProviderID(cmp.Or(m.Cluster, state.Spec.Name), name),
		Type: cluster.InstanceType(state.Spec, n), Region: cluster.Region, Zone: n.Zone,
		Address: n.Address.Addr(), Address6: n.Address6.Addr(), Shutdown: found == machine.StateStopped || found == machine.StateAbsent,
	}, nil
}

// Admits implements cloud.Instances.
func (p *provider) Admits(name string, address netip.Addr) bool {
	n, ok := p.state.find(name)
	return ok && n.Role == nodeconfig.RoleControlPlane && n.Address.Addr() == address
}
