package server

import (
	"path/filepath"

	"github.com/skiff-dev/skiff/controlplane/apiserver"
	"github.com/skiff-dev/skiff/controlplane/controllers"
	"github.com/skiff-dev/skiff/controlplane/etcd"
	"github.com/skiff-dev/skiff/controlplane/inventory"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Settings of a control plane.
type Settings struct {
	Node nodeconfig.Node
	// Components are the user's settings.
	Components nodeconfig.Components
	// PKIDir holds the files of package pki for a control plane.
	PKIDir string
	// StateDir survives restarts; it contains etcd's data.
	StateDir string
	// LogDir is for the audit log.
	LogDir string
	// PrivateDir is for short-lived files with secrets, and for the control socket.
	PrivateDir string
	// Ports; zero means those of nodeconfig.
	Port, EtcdClientPort, EtcdPeerPort int
	// EtcdQuotaBytes bounds the size of the database; 0 means 2 GiB.
	EtcdQuotaBytes int64
	// Built, if not nil, is called once the API server is built, when most of the
	// memory that stays in use has been allocated.
	Built func() `json:"-"`
}

// hostFolder returns the path of the first folder of the host that can have volumes;
// empty if there is none.
func (s Settings) hostFolder() string {
	for _, folder := range s.Node.Folders {
		if !folder.ReadOnly {
			return folder.Path
		}
	}
	return ""
}

// ControlSocket is where the process serves package controlapi.
func (s Settings) ControlSocket() string {
	return filepath.Join(s.PrivateDir, filepath.Base(nodeconfig.ControlSocket))
}

// Etcd returns the settings of the control plane's etcd member.
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
		ServiceCIDR: s.Node.Kubernetes.ServiceCIDR, ServiceCIDR6: s.Node.Kubernetes.ServiceCIDR6, Domain: s.Node.Kubernetes.DNSDomain,
		PKIDir: s.PKIDir, AuditLog: filepath.Join(s.LogDir, "audit.log"), Inventory: inventory.Of(s.Node),
		Components: s.Components,
	}
}

func (s Settings) controllers() controllers.Settings {
	return controllers.Settings{
		Cluster: s.Node.Cluster, PodCIDR: s.Node.Kubernetes.PodCIDR, ServiceCIDR: s.Node.Kubernetes.ServiceCIDR,
		PodCIDR6: s.Node.Kubernetes.PodCIDR6, ServiceCIDR6: s.Node.Kubernetes.ServiceCIDR6,
		PKIDir: s.PKIDir, StateDir: s.StateDir, Args: s.Components.ControllerManager.Args,
	}
}
