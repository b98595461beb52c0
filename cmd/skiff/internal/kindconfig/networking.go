package kindconfig

import (
	"net/netip"
	"strings"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/skiff-dev/skiff/vm/cluster"
)

func (c *converter) networking(n v1alpha4.Networking) {
	network := &c.spec.Network
	switch n.IPFamily {
	case v1alpha4.DualStackFamily:
		network.IPFamily = cluster.FamilyDual
		c.remark(Mapped, "networking.ipFamily", "network.ipFamily: dual; IPv6 stays inside the cluster")
	case v1alpha4.IPv6Family:
		network.IPFamily = cluster.FamilyDual
		c.remark(Cannot, "networking.ipFamily", "ipv6: the cluster has both families")
	}
	if n.APIServerPort > 0 {
		c.spec.APIPort = int(n.APIServerPort)
		c.remark(Mapped, "networking.apiServerPort", "apiPort")
	}
	if address := n.APIServerAddress; address != "" && address != "127.0.0.1" {
		c.spec.APIAddress = address
		c.remark(Mapped, "networking.apiServerAddress", "apiAddress")
	}
	c.subnet("networking.podSubnet", "network.pods", n.PodSubnet, &network.Pods)
	c.subnet("networking.serviceSubnet", "network.services", n.ServiceSubnet, &network.Services)
	if n.DisableDefaultCNI {
		network.CNI = cluster.PartNone
		c.remark(Mapped, "networking.disableDefaultCNI", "network.cni: none")
	}
	switch n.KubeProxyMode {
	case "":
	case "none":
		network.Proxy = cluster.PartNone
		c.remark(Mapped, "networking.kubeProxyMode", "network.proxy: none")
	default:
		c.remark(Ignored, "networking.kubeProxyMode", "%s: the service proxy uses nftables", n.KubeProxyMode)
	}
	if n.DNSSearch != nil {
		c.remark(Cannot, "networking.dnsSearch", "nodes have the search domains of this host")
	}
}

// subnet converts the IPv4 range in text, a comma-separated list.
func (c *converter) subnet(key, setting, text string, to *netip.Prefix) {
	if text == "" {
		return
	}
	for _, one := range strings.Split(text, ",") {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(one))
		switch {
		case err != nil:
			c.remark(Cannot, key, "%q is not an address range", one)
		case prefix.Addr().Is6():
			c.remark(Ignored, key, "%s: the IPv6 ranges are fixed", prefix)
		default:
			*to = prefix
			c.remark(Mapped, key, "%s: %s", setting, prefix)
		}
	}
}
