package fleet

import (
	"net"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/edge/catalog"
	"github.com/skiff-dev/skiff/vm/edge/web"
	"github.com/skiff-dev/skiff/vm/edge/web/route"
	"github.com/skiff-dev/skiff/vm/network"
)

// newWeb makes the cluster's part of the web entry. listen listens at the gateway.
func newWeb(c core, services *catalog.Catalog, listen func(uint16) (net.Listener, error)) (*web.Server, error) {
	status, err := c.api.client(c.credentials, credentials.Ingress)
	if err != nil {
		return nil, err
	}
	spec := c.state.spec()
	config := web.Config{
		Home: c.dir.Home(), Cluster: spec.Name, Dial: web.DialFunc(c.machines.reach), Frozen: c.frozen,
		Objects: func() (route.Objects, <-chan struct{}) {
			snapshot, changed := services.Watch()
			return objects(snapshot), changed
		},
		Reserved: func() []int { return hostPorts(c.state.spec()) },
		Secret:   c.api.kube.TLSSecret, Status: status.SetIngressAddresses, Log: c.log,
	}
	if listen != nil {
		config.Gateway = network.Gateway(spec.Network.Nodes)
		config.Listen = func(port int) (net.Listener, error) { return listen(uint16(port)) }
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

// objects returns what the web entry routes by.
func objects(s *catalog.Snapshot) route.Objects {
	o := route.Objects{Services: s.Services, Ingresses: s.Ingresses, Classes: s.IngressClasses}
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
