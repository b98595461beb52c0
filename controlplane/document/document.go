// Package document lets a node document into a control plane only if it says all
// that one relies on. It links nothing of Kubernetes.
package document

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// maxBytes bounds a document.
const maxBytes = 8 << 20

// Read reads the document at path.
func Read(path string) (nodeconfig.Node, error) {
	f, err := os.Open(path)
	if err != nil {
		return nodeconfig.Node{}, fmt.Errorf("read the node document: %w", err)
	}
	defer f.Close()
	node, err := decode(io.LimitReader(f, maxBytes))
	if err != nil {
		return nodeconfig.Node{}, fmt.Errorf("read the node document %s: %w", path, err)
	}
	return node, nil
}

func decode(r io.Reader) (nodeconfig.Node, error) {
	var n nodeconfig.Node
	if err := json.NewDecoder(r).Decode(&n); err != nil {
		return n, fmt.Errorf("not a node document: %w", err)
	}
	k := n.Kubernetes
	switch {
	case n.APIVersion != nodeconfig.APIVersion:
		return n, fmt.Errorf("apiVersion is %q, not %q", n.APIVersion, nodeconfig.APIVersion)
	case n.Role != nodeconfig.RoleControlPlane:
		return n, fmt.Errorf("role is %q, not %q", n.Role, nodeconfig.RoleControlPlane)
	case n.Name == "" || n.Cluster == "":
		return n, fmt.Errorf("name is %q and cluster is %q; both are needed", n.Name, n.Cluster)
	case !n.Network.Address.IsValid():
		return n, fmt.Errorf("network.address is missing")
	case !k.PodCIDR.IsValid() || !k.ServiceCIDR.IsValid():
		return n, fmt.Errorf("kubernetes.podCIDR or kubernetes.serviceCIDR is missing")
	case k.PodCIDR.Overlaps(k.ServiceCIDR):
		return n, fmt.Errorf("kubernetes.podCIDR %s and kubernetes.serviceCIDR %s overlap", k.PodCIDR, k.ServiceCIDR)
	case !k.ServiceCIDR.Contains(k.DNSAddress):
		return n, fmt.Errorf("kubernetes.dnsAddress %s is not in kubernetes.serviceCIDR %s", k.DNSAddress, k.ServiceCIDR)
	case k.DNSDomain == "":
		return n, fmt.Errorf("kubernetes.dnsDomain is missing")
	case n.Etcd == nil || len(n.Etcd.Members) == 0:
		return n, fmt.Errorf("etcd.members is missing")
	}
	return n, nil
}
