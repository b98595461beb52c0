package fleet

import (
	"context"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/edge/catalog"
	"github.com/skiff-dev/skiff/vm/edge/web"
	"github.com/skiff-dev/skiff/vm/edge/web/gateway"
	"github.com/skiff-dev/skiff/vm/edge/web/route"
	"github.com/skiff-dev/skiff/vm/kube"
	"github.com/skiff-dev/skiff/vm/network"
	"github.com/skiff-dev/skiff/vm/standby"
)

// newWeb makes the cluster's part of the web entry. opened listens in the machines'
// network, and cloud gives Gateways their addresses there.
func newWeb(c core, services *catalog.Catalog, cloud *provider, opened drivers.Machines) (*web.Server, error) {
	status, err := c.api.client(c.credentials, credentials.Ingress)
	if err != nil {
		return nil, err
	}
	spec := c.state.spec()
	config := web.Config{
		Home: c.dir.Home(), Cluster: spec.Name, Dial: web.DialFunc(c.machines.reach), Frozen: c.frozen, Use: c.standby.User(standby.Names),
		Objects: func() (web.Objects, <-chan struct{}) {
			snapshot, changed := services.Watch()
			return objects(snapshot), changed
		},
		Reserved: func() []int { return hostPorts(c.state.spec()) },
		Secret:   c.api.kube.TLSSecret, Status: status.SetIngressAddresses, GatewayStatus: setStatus(status), Log: c.log,
	}
	if opened.Listen != nil {
		config.Gateway = network.Gateway(spec.Network.Nodes)
		config.Listen = opened.ListenAt
		config.Assign = cloud.assign
	}
	return web.New(config)
}

// hostPorts returns the ports of the host that the user gave to the cluster.
func hostPorts(spec cluster.Spec) []int {
	ports, _ := cluster.ParsePorts(spec.Ports) // checked before
	var all []int
	for _, p := range ports {
		all = append(all, int(p.Host))
	}
	return all
}

// setStatus returns a function that writes statuses of the Gateway API.
func setStatus(client *kube.Client) web.GatewayStatusFunc {
	return func(ctx context.Context, s gateway.Status) error {
		return client.SetGatewayStatus(ctx, kube.GatewayObject{Resource: s.Resource, Name: s.Name, Version: s.Version}, s.Content)
	}
}

// objects returns what the web entry routes by.
func objects(s *catalog.Snapshot) web.Objects {
	o := web.Objects{
		Objects: route.Objects{Services: s.Services, Ingresses: s.Ingresses, Classes: s.IngressClasses, Namespaces: s.Namespaces},
		Gateways: gateway.Objects{
			Classes: s.GatewayClasses, Gateways: s.Gateways, HTTPRoutes: s.HTTPRoutes, GRPCRoutes: s.GRPCRoutes,
			TLSRoutes: s.TLSRoutes, Grants: s.ReferenceGrants, Namespaces: s.Namespaces,
		},
		Complete: s.Synced,
	}
	for _, service := range s.Services {
		o.Slices = append(o.Slices, s.EndpointSlices(catalog.NameOf(service))...)
	}
	return o
}

// webURLs returns the URLs of the cluster's Services on the host, with
// SERVICE.NAMESPACE for the name of one; nothing if they are not served.
func (c *core) webURLs() (plain, secure string) {
	ports, ok := web.ReadPorts(c.dir.Home())
	if !ok {
		return "", ""
	}
	return ports.URLs(c.state.spec().Name)
}

// Web is the cluster's part of the web entry.
func (f *Fleet) Web() *web.Server { return f.web }
