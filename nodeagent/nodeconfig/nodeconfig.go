// Package nodeconfig is the document that makes a booted node image one
// particular node. The host writes it, the node only reads it: nothing in it
// is ever decided on the node.
package nodeconfig

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// APIVersion names the shape of Node. A node refuses any other.
const APIVersion = "skiff.dev/node/v1"

// Ports on which node programs listen, all bound to the node's own address
// unless said otherwise.
const (
	// PortNodeAPI is the node API of package nodeapi (mutual TLS).
	PortNodeAPI = 10240
	// PortKubernetes is the Kubernetes API server (TLS).
	PortKubernetes = 6443
	// PortAPILoadBalancer is the node's own way to whichever control plane answers;
	// bound to 127.0.0.1 on every node.
	PortAPILoadBalancer = 7443
	// PortEtcdClient and PortEtcdPeer are the embedded etcd's (mutual TLS).
	PortEtcdClient = 2379
	PortEtcdPeer   = 2380
)

// Paths inside a node.
const (
	// Dir holds the document and what is unpacked from it; a tmpfs, mode 0700.
	Dir = "/run/skiff"
	// Path is the document itself, mode 0600.
	Path = Dir + "/node.json"
	// PKIDir holds Node.Files, mode 0700, files 0600.
	PKIDir = Dir + "/pki"
	// AlarmsDir holds one file for each program that has something to say to the
	// user now, named like the program, a line each.
	AlarmsDir = Dir + "/alarms"
	// StateDir is on the node's own disk and survives reboots.
	StateDir = "/var/lib/skiff"
	// LogDir holds one log file for each supervised program.
	LogDir = "/var/log/skiff"
	// KubeletDir is the kubelet's own folder, on the node's own disk; its
	// certificates are in "pki" below it.
	KubeletDir = "/var/lib/kubelet"
	// ContainerdSocket is where containerd serves CRI.
	ContainerdSocket = "/run/containerd/containerd.sock"
)

// What a node that is namespaces of the host (the sandbox driver) has in place
// of a machine's kernel command line, document disk and initramfs.
const (
	// SandboxVariable is in the environment of PID 1, its value SandboxValue
	// (https://systemd.io/CONTAINER_INTERFACE/).
	SandboxVariable = "container"
	SandboxValue    = "skiff"
	// SandboxDocument is the node document, mode 0600.
	SandboxDocument = "/dev/skiff-node.json"
	// InitPath is PID 1's program in the root; with the argument ModeSandbox it
	// makes the namespaces that it is started in into the node first.
	InitPath    = "/usr/lib/skiff/skiff-init"
	ModeSandbox = "sandbox"
)

// Sandbox is what that program is told on its standard input as JSON, once its
// link and cgroups are there. Descriptor 3 takes what goes wrong, and closes
// when nothing did.
type Sandbox struct {
	// Root is where the root is mounted.
	Root string `json:"root"`
	// Data is the directory that becomes the node's own disk.
	Data string `json:"data"`
	// Document is the node document.
	Document []byte `json:"document"`
}

// Role says what runs on a node.
type Role string

// The roles.
const (
	RoleControlPlane Role = "control-plane"
	RoleWorker       Role = "worker"
)

// RoleOf returns the role of the node with the given name, which the host chose:
// ROLE-NUMBER. The name in a node's certificate is proof of it.
func RoleOf(name string) (Role, bool) {
	for _, role := range []Role{RoleControlPlane, RoleWorker} {
		number, ok := strings.CutPrefix(name, string(role)+"-")
		if _, err := strconv.ParseUint(number, 10, 16); ok && err == nil {
			return role, true
		}
	}
	return "", false
}

// Node is the whole document.
type Node struct {
	APIVersion string `json:"apiVersion"`
	// Cluster is the cluster's name, a DNS label.
	Cluster string `json:"cluster"`
	// Name is the node's and the machine's name, a DNS label.
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Emulated says that the cluster's machines are: one may be silent for seconds
	// and be well.
	Emulated bool `json:"emulated,omitempty"`

	Network    Network    `json:"network"`
	Kubernetes Kubernetes `json:"kubernetes"`

	// ControlPlanes are the addresses of all control planes, this one included.
	ControlPlanes []Peer `json:"controlPlanes"`
	// Etcd is set on control planes only.
	Etcd *Etcd `json:"etcd,omitempty"`

	// Files are certificates and keys in PEM and other small secrets, by path
	// below PKIDir, named as in package pki.
	Files map[string][]byte `json:"files"`
	// Written is the host's time when it wrote the document. A node whose own
	// clock is behind it sets its clock to it.
	Written time.Time `json:"written"`
}

// Peer is another machine of the cluster.
type Peer struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
}

// Network is the node's own link.
type Network struct {
	// MAC finds the interface.
	MAC string `json:"mac"`
	// Address with the length of the subnet that all nodes share.
	Address netip.Prefix `json:"address"`
	Gateway netip.Addr   `json:"gateway"`
	// Nameservers answer for names outside the cluster.
	Nameservers []netip.Addr `json:"nameservers"`
	MTU         int          `json:"mtu"`
	// Hosts are all machines of the cluster, for /etc/hosts.
	Hosts []Peer `json:"hosts"`
}

// Kubernetes is what all nodes of one cluster agree on, and the kubelet's own
// registration.
type Kubernetes struct {
	PodCIDR     netip.Prefix `json:"podCIDR"`
	ServiceCIDR netip.Prefix `json:"serviceCIDR"`
	// DNSAddress is the ClusterIP of the kube-dns service.
	DNSAddress netip.Addr `json:"dnsAddress"`
	// DNSDomain is usually cluster.local.
	DNSDomain string            `json:"dnsDomain"`
	Labels    map[string]string `json:"labels,omitempty"`
	// PlainKubelet turns off Skiff's one change to the kubelet: that a new pod waits
	// for its volumes instead of checking for them every 300 ms.
	PlainKubelet bool `json:"plainKubelet,omitempty"`
	// Taints in kubectl's notation, "key=value:Effect" or "key:Effect".
	Taints []string `json:"taints,omitempty"`
}

// Etcd is a control plane's place in the etcd cluster.
type Etcd struct {
	// Members are the peers to form or join the cluster with, this one
	// included. Peer URLs are https://ADDRESS:PortEtcdPeer.
	Members []Peer `json:"members"`
	// Join is true for a member that joins a cluster which exists already, as
	// a learner; false for those that form it.
	Join bool `json:"join,omitempty"`
}
