package server

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/skiff-dev/skiff/controlplane/apiserver"
	"github.com/skiff-dev/skiff/controlplane/approver"
	"github.com/skiff-dev/skiff/controlplane/controllers"
	"github.com/skiff-dev/skiff/controlplane/etcd"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Settings are what a control plane needs to know.
type Settings struct {
	Node nodeconfig.Node
	// PKIDir holds the files of package pki for a control plane.
	PKIDir string
	// StateDir survives restarts; etcd's data lie below it.
	StateDir string
	// LogDir takes the audit log.
	LogDir string
	// PrivateDir takes short-lived files that hold secrets.
	PrivateDir string
	// AlarmsDir takes a file with what the user should know and do.
	AlarmsDir string
	// Ports; zero for those of nodeconfig.
	Port, EtcdClientPort, EtcdPeerPort int
	// EtcdQuotaBytes is how large the database may become; 0 is 2 GiB.
	EtcdQuotaBytes int64
	// Built, if not nil, is called once the API server is built, which is when
	// most of what stays in memory is there.
	Built func() `json:"-"`
}

// maxNodeBytes bounds the node document.
const maxNodeBytes = 8 << 20

// ReadNode reads the node document at path and checks what a control plane
// relies on.
func ReadNode(path string) (nodeconfig.Node, error) {
	f, err := os.Open(path)
	if err != nil {
		return nodeconfig.Node{}, fmt.Errorf("read the node document: %w", err)
	}
	defer f.Close()
	node, err := decodeNode(io.LimitReader(f, maxNodeBytes))
	if err != nil {
		return nodeconfig.Node{}, fmt.Errorf("read the node document %s: %w", path, err)
	}
	return node, nil
}

func decodeNode(r io.Reader) (nodeconfig.Node, error) {
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

// Etcd is the control plane's share of etcd.
func (s Settings) Etcd() etcd.Settings {
	return etcd.Settings{
		Cluster: s.Node.Cluster, Name: s.Node.Name, Address: s.Node.Network.Address.Addr(),
		Members: s.Node.Etcd.Members, Join: s.Node.Etcd.Join,
		Dir: filepath.Join(s.StateDir, "etcd"), PKIDir: s.PKIDir,
		ClientPort: s.EtcdClientPort, PeerPort: s.EtcdPeerPort, QuotaBytes: s.EtcdQuotaBytes,
	}
}

func (s Settings) apiserver() apiserver.Settings {
	port := s.Port
	if port == 0 {
		port = nodeconfig.PortKubernetes
	}
	return apiserver.Settings{
		Address: s.Node.Network.Address.Addr(), Port: port,
		ServiceCIDR: s.Node.Kubernetes.ServiceCIDR, Domain: s.Node.Kubernetes.DNSDomain,
		PKIDir: s.PKIDir, AuditLog: filepath.Join(s.LogDir, "audit.log"),
	}
}

func (s Settings) controllers() controllers.Settings {
	return controllers.Settings{
		Cluster: s.Node.Cluster, PodCIDR: s.Node.Kubernetes.PodCIDR, ServiceCIDR: s.Node.Kubernetes.ServiceCIDR,
		PKIDir: s.PKIDir, StateDir: s.StateDir,
	}
}

// fleet is what the host wrote of the cluster's machines.
func (s Settings) fleet() approver.Fleet {
	f := approver.Fleet{Subnet: s.Node.Network.Address.Masked(), Addresses: map[string]netip.Addr{}}
	for _, host := range s.Node.Network.Hosts {
		f.Addresses[host.Name] = host.Address
	}
	return f
}
