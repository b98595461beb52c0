// Package nodeconfig defines the node document, which makes a booted node image a
// particular node. The host writes it and the node only reads it.
package nodeconfig

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/internal/names"
)

// APIVersion is the version of Node. A node refuses any other.
const APIVersion = "skiff.dev/node/v1"

// Ports on which node programs listen, on the node's own address unless noted.
const (
	// PortNodeAPI is the node API of package nodeapi (mutual TLS).
	PortNodeAPI = 10240
	// PortKubernetes is the Kubernetes API server (TLS).
	PortKubernetes = 6443
	// PortAPILoadBalancer leads to a control plane that answers; on 127.0.0.1 of every
	// node.
	PortAPILoadBalancer = 7443
	// PortEtcdClient and PortEtcdPeer are the embedded etcd's (mutual TLS).
	PortEtcdClient = 2379
	PortEtcdPeer   = 2380
	// PortCloud is the cluster's cloud (mutual TLS), at the gateway.
	PortCloud = 10258
	// PortRegistry is the port of the gateway, not of a node, at which the host's
	// registry serves pulls.
	PortRegistry = 5001
)

// Paths inside a node.
const (
	// Dir has the document and the files unpacked from it; a tmpfs, mode 0700.
	Dir = "/run/skiff"
	// Path is the document itself, mode 0600.
	Path = Dir + "/node.json"
	// PKIDir has Node.Files, mode 0700, files 0600.
	PKIDir = Dir + "/pki"
	// AlarmsDir has a file for each program with messages for the user, named like the
	// program, one message per line.
	AlarmsDir = Dir + "/alarms"
	// ControlSocket is where a control plane serves package controlapi, mode 0600.
	ControlSocket = Dir + "/controlplane.sock"
	// BuilderSocket is where the builder serves BuildKit's API, while it runs.
	BuilderSocket = Dir + "/builder.sock"
	// BuilderStart is where PID 1 waits for a connection before it starts the builder.
	BuilderStart = Dir + "/builder-start.sock"
	// StateDir is on the node's own disk and survives reboots.
	StateDir = "/var/lib/skiff"
	// BuilderDir has the builder's program, which the host sends, and its cache.
	BuilderDir = StateDir + "/builder"
	// BuilderProgram is a link to the program that the host sent last.
	BuilderProgram = BuilderDir + "/program"
	// LogDir has a log file for each supervised program.
	LogDir = "/var/log/skiff"
	// KubeletDir is the kubelet's own directory, on the node's disk; its certificates
	// are in its subdirectory "pki".
	KubeletDir = "/var/lib/kubelet"
	// ContainerdSocket is where containerd serves CRI.
	ContainerdSocket = "/run/containerd/containerd.sock"
	// ResolvConf has the name servers and search domains for the node itself and for
	// pods that do not use cluster DNS; cluster DNS adds its own to the latter.
	ResolvConf = "/etc/resolv.conf"
	// AuthoritiesFile has Host.Authorities. Programs that look at all files of that
	// directory trust them, such as those written in Go.
	AuthoritiesFile = "/etc/ssl/certs/skiff-host.pem"
	// ProxyFile has Proxy.Environment, one variable a line, mode 0600.
	ProxyFile = Dir + "/proxy.env"
)

// What a node of the sandbox driver has instead of a machine's kernel command line,
// document disk and initramfs.
const (
	// SandboxVariable has the value SandboxValue in the environment of PID 1
	// (https://systemd.io/CONTAINER_INTERFACE/).
	SandboxVariable = "container"
	SandboxValue    = "skiff"
	// SandboxDocument is the node document, mode 0600.
	SandboxDocument = "/dev/skiff-node.json"
	// InitPath is PID 1's program in the root. With the argument ModeSandbox it first
	// turns the namespaces that it is started in into a node.
	InitPath    = "/usr/lib/skiff/skiff-init"
	ModeSandbox = "sandbox"
)

// Sandbox is the JSON on that program's standard input, once its link and cgroups
// exist. The program writes an error to descriptor 3, or closes it on success.
type Sandbox struct {
	// Root is the mount point of the root.
	Root string `json:"root"`
	// Data is the directory that becomes the node's own disk.
	Data string `json:"data"`
	// Document is the node document.
	Document []byte `json:"document"`
	// Folders of the host, in the order of the node document.
	Folders []HostFolder `json:"folders,omitempty"`
}

// HostFolder is a folder of the host that a sandbox has.
type HostFolder struct {
	// Host is the absolute path on the host.
	Host     string `json:"host"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// SandboxFolder returns where the n-th folder of the host, from 0, is mounted when
// PID 1 of a sandbox starts. PID 1 moves it to its path.
func SandboxFolder(n int) string { return "/dev/skiff-folders/" + strconv.Itoa(n) }

// Role determines what runs on a node.
type Role string

// The roles.
const (
	RoleControlPlane Role = "control-plane"
	RoleWorker       Role = "worker"
)

// The groups that every cluster has. Nodes of other groups are workers.
const (
	GroupControlPlanes = "control-plane"
	GroupWorkers       = "worker"
)

// SplitName returns the group of the node with the given name, GROUP-INDEX, and its
// index, which is at least 1. ok is false for a name that the host gives to no node.
func SplitName(name string) (group string, index int, ok bool) {
	at := strings.LastIndexByte(name, '-')
	if at < 1 || !isLabel(name) || !isLabel(name[:at]) {
		return "", 0, false
	}
	number, err := strconv.ParseUint(name[at+1:], 10, 16)
	if err != nil || number == 0 || name[at+1] == '0' {
		return "", 0, false
	}
	return name[:at], int(number), true
}

// RoleOf returns the role of the node with the given name, which the host chose. The
// name in a node's certificate is proof of it.
func RoleOf(name string) (Role, bool) {
	group, _, ok := SplitName(name)
	switch {
	case !ok:
		return "", false
	case group == GroupControlPlanes:
		return RoleControlPlane, true
	}
	return RoleWorker, true
}

// MadeByHost reports whether the host made the node with the given name and labels, which may
// be those of a simulated node. Only nodes that the host made may have the names of control
// planes and plain workers. Those of other groups register with a label, which a kubelet can
// only set for its own node.
func MadeByHost(name string, labels map[string]string) bool {
	group, _, ok := SplitName(name)
	return ok && (group == GroupControlPlanes || group == GroupWorkers || labels[names.LabelRole] == string(RoleWorker))
}

// Node is the whole document.
type Node struct {
	APIVersion string `json:"apiVersion"`
	// Cluster is the cluster's name, a DNS label.
	Cluster string `json:"cluster"`
	// Name is the node's and the machine's name, a DNS label.
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Emulated is true if the cluster's machines are emulated: a healthy one may not
	// answer for seconds.
	Emulated bool `json:"emulated,omitempty"`

	Network    Network    `json:"network"`
	Kubernetes Kubernetes `json:"kubernetes"`
	Host       Host       `json:"host,omitzero"`

	// ControlPlanes are the addresses of all control planes, this one included.
	ControlPlanes []Peer `json:"controlPlanes"`
	// Etcd is set on control planes only.
	Etcd *Etcd `json:"etcd,omitempty"`

	// Folders of the host that the node mounts before anything uses them.
	Folders []Folder `json:"folders,omitempty"`

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
	// Address6 is the node's IPv6 address with the length of the subnet in which
	// package addressing gives every node one. A cluster with IPv4 only has neither it
	// nor the IPv6 ranges of Kubernetes. The gateway has no IPv6.
	Address6 netip.Prefix `json:"address6,omitzero"`
	Gateway  netip.Addr   `json:"gateway"`
	// Nameservers answer for names outside the cluster.
	Nameservers []netip.Addr `json:"nameservers"`
	MTU         int          `json:"mtu"`
	// Hosts are all machines of the cluster, for /etc/hosts.
	Hosts []Peer `json:"hosts"`
}

// Folder is a folder of the host.
type Folder struct {
	// Tag is that of the virtiofs device; sandboxes have none.
	Tag string `json:"tag,omitempty"`
	// Path on the node, absolute.
	Path     string `json:"path"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// Host is what a node takes over from the host. Unlike the rest of the document it
// may change while the node runs.
type Host struct {
	// Search are the domains in which names without dots are looked up.
	Search []string `json:"search,omitempty"`
	// Proxy leads the container runtime to other registries.
	Proxy Proxy `json:"proxy,omitzero"`
	// Authorities are certificates in PEM that the node trusts beside the usual ones.
	Authorities string `json:"authorities,omitempty"`
}

// IsZero reports whether there is nothing to take over.
func (h Host) IsZero() bool { return len(h.Search) == 0 && h.Proxy == Proxy{} && h.Authorities == "" }

// Proxy is how programs reach the outside; the zero value means directly. The fields
// are values of the usual variables.
type Proxy struct {
	HTTP  string `json:"http,omitempty"`
	HTTPS string `json:"https,omitempty"`
	No    string `json:"no,omitempty"`
}

// Environment returns the variables for programs in NAME=VALUE form, in both
// spellings, because some programs read only one of them.
func (p Proxy) Environment() []string {
	var all []string
	for _, v := range []struct{ name, value string }{{"HTTP_PROXY", p.HTTP}, {"HTTPS_PROXY", p.HTTPS}, {"NO_PROXY", p.No}} {
		if v.value != "" {
			all = append(all, v.name+"="+v.value, strings.ToLower(v.name)+"="+v.value)
		}
	}
	return all
}

// Kubernetes is what all nodes of one cluster agree on, and the kubelet's own
// registration.
type Kubernetes struct {
	PodCIDR     netip.Prefix `json:"podCIDR"`
	ServiceCIDR netip.Prefix `json:"serviceCIDR"`
	// PodCIDR6 and ServiceCIDR6 are the IPv6 ranges beside them.
	PodCIDR6     netip.Prefix `json:"podCIDR6,omitzero"`
	ServiceCIDR6 netip.Prefix `json:"serviceCIDR6,omitzero"`
	// DNSAddress is the ClusterIP of the kube-dns service.
	DNSAddress netip.Addr `json:"dnsAddress"`
	// DNSDomain is usually cluster.local.
	DNSDomain string            `json:"dnsDomain"`
	Labels    map[string]string `json:"labels,omitempty"`
	// PlainKubelet turns off Skiff's changes to the kubelet: that a new pod waits for its
	// volumes instead of checking for them every 300 ms, and that a node that starts again
	// waits for its pod network instead of reporting that it is not ready.
	PlainKubelet bool `json:"plainKubelet,omitempty"`
	// Cloud is true if the control planes initialize nodes with the metadata that the
	// cluster's cloud, at the gateway, has of them. Until then a new node takes no pods.
	Cloud bool `json:"cloud,omitempty"`
	// GatewayAPI makes the control planes install the definitions of the Gateway API.
	GatewayAPI bool `json:"gatewayAPI,omitempty"`
	// Runtimes are the names of the container runtimes beside runc, as in Runtimes.
	Runtimes []string `json:"runtimes,omitempty"`
	// Without has the parts of Skiff that the cluster does not use.
	Without Without `json:"without,omitzero"`
	// Taints in kubectl's notation, "key=value:Effect" or "key:Effect".
	Taints []string `json:"taints,omitempty"`
}

// Without is set for the parts of Skiff that users replace with their own or leave out.
type Without struct {
	PodNetwork   bool `json:"podNetwork,omitempty"`
	Policies     bool `json:"policies,omitempty"`
	ServiceProxy bool `json:"serviceProxy,omitempty"`
	DNS          bool `json:"dns,omitempty"`
}

// Dual reports whether the cluster has IPv6 beside IPv4.
func (n Node) Dual() bool { return n.Network.Address6.IsValid() }

// Joined returns those addresses or ranges that are valid, separated by commas: what
// upstream's options have for one family or for both.
func Joined[T interface {
	IsValid() bool
	String() string
}](all ...T) string {
	var texts []string
	for _, one := range all {
		if one.IsValid() {
			texts = append(texts, one.String())
		}
	}
	return strings.Join(texts, ",")
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
