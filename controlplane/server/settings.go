package server

import (
	"path/filepath"

	"github.com/skiff-dev/skiff/controlplane/apiserver"
	"github.com/skiff-dev/skiff/controlplane/controllers"
	"github.com/skiff-dev/skiff/controlplane/etcd"
	"github.com/skiff-dev/skiff/controlplane/inventory"
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

// Etcd is the control plane's share of etcd.
func (s Settings) Etcd() etcd.Settings {
	return etcd.Settings{
		Cluster: s.Node.Cluster, Name: s.Node.Name, Address: s.Node.Network.Address.Addr(),
		Members: s.Node.Etcd.Members, Join: s.Node.Etcd.Join, Emulated: s.Node.Emulated,
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
		PKIDir: s.PKIDir, AuditLog: filepath.Join(s.LogDir, "audit.log"), Inventory: inventory.Of(s.Node),
	}
}

func (s Settings) controllers() controllers.Settings {
	return controllers.Settings{
		Cluster: s.Node.Cluster, PodCIDR: s.Node.Kubernetes.PodCIDR, ServiceCIDR: s.Node.Kubernetes.ServiceCIDR,
		PKIDir: s.PKIDir, StateDir: s.StateDir,
	}
}
