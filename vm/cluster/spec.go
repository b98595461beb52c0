// Package cluster defines the desired cluster (Spec), the observed one (Observed),
// the plan that leads from one to the other, and the state that the host keeps.
// Apart from reading and writing that state it does no I/O.
package cluster

import (
	"cmp"
	"net/netip"
	"reflect"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Spec is the desired cluster: the content of skiff.yaml.
type Spec struct {
	// Name is a DNS label of at most 40 characters, which limits the length of
	// socket paths.
	Name          string `json:"name" mapstructure:"name"`
	ControlPlanes int    `json:"controlPlanes" mapstructure:"controlPlanes"`
	Workers       int    `json:"workers" mapstructure:"workers"`
	// WorkersSpan is the range within which the number of workers is scaled; zero if it is
	// fixed.
	WorkersSpan Span `json:"workersSpan,omitzero"`
	// CPUs of each machine, unless its group has its own number.
	CPUs int `json:"cpus" mapstructure:"cpus"`
	// Memory and Disk of each machine, unless its group has its own sizes, as Kubernetes
	// quantities ("2Gi").
	Memory string `json:"memory" mapstructure:"memory"`
	Disk   string `json:"disk" mapstructure:"disk"`
	// Nodes are additional groups of workers. An entry with the name of the control planes'
	// or the plain workers' group configures that group.
	Nodes []Group `json:"nodes,omitempty"`
	// Simulated is the number of simulated nodes, which have no machine.
	Simulated int `json:"simulated,omitempty"`
	// APIPort is the host's port for the Kubernetes API on 127.0.0.1; 0 picks a
	// free one once and keeps it.
	APIPort int `json:"apiPort,omitempty" mapstructure:"apiPort"`
	// APIAddress is an address of the host at which the API answers beside 127.0.0.1,
	// on the same port; empty if there is none.
	APIAddress string `json:"apiAddress,omitempty"`
	// APIServerSANs are further names and addresses in the API servers' certificates.
	APIServerSANs []string `json:"apiServerSANs,omitempty"`
	// Zones is the number of zones that control planes and workers are spread over,
	// each in turn.
	Zones int `json:"zones,omitempty" mapstructure:"zones"`
	// Ports of the host that lead into the cluster, in the form of ParsePort.
	Ports []string `json:"ports,omitempty" mapstructure:"ports"`
	// NodePorts opens the NodePorts of all services on 127.0.0.1.
	NodePorts bool `json:"nodePorts,omitempty" mapstructure:"nodePorts"`
	// GatewayAPI installs the definitions of the Gateway API and a class that the host
	// serves.
	GatewayAPI bool `json:"gatewayAPI,omitempty"`
	// Runtimes are the names of container runtimes that pods can choose beside runc.
	Runtimes []string `json:"runtimes,omitempty"`
	// Driver names an entry of the catalogue in package drivers.
	Driver string `json:"driver,omitempty" mapstructure:"driver"`
	// Mounts are folders of the host that every node has, as ParseFolder reads them.
	Mounts   []string `json:"mounts,omitempty" mapstructure:"mounts"`
	Network  Network  `json:"network" mapstructure:"network"`
	Registry Registry `json:"registry,omitzero" mapstructure:"registry"`
	Records  Records  `json:"records,omitzero"`
	// HostPorts are the ports of the host's loopback that pods may use, in the
	// notation of package hostport.
	HostPorts []string `json:"hostPorts,omitempty" mapstructure:"hostPorts"`
	// Peers are the clusters whose machines may reach this one, or AllPeers.
	Peers []string `json:"peers,omitempty"`
	Proxy Proxy    `json:"proxy,omitzero"`
	// CABundle is the path of a file with authorities that nodes trust.
	CABundle string `json:"caBundle,omitempty"`
	// KubernetesVersion is the minor version that nodes run, as in "1.36"; if empty, it
	// becomes that of the default node image, and stays.
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	// Kubernetes has settings of Kubernetes' components, including the content of files.
	Kubernetes nodeconfig.Components `json:"kubernetes,omitzero"`
	// Addons are applied by each `skiff up`, in this order.
	Addons []Addon `json:"addons,omitempty"`
	// Repair is RepairAuto, RepairOff, or how long a node must be unhealthy until it is
	// repaired.
	Repair      string      `json:"repair,omitempty"`
	Autoscaling Autoscaling `json:"autoscaling,omitzero"`
	Pause       Pause       `json:"pause,omitzero"`
	// Environment comes with a Spec from the host on which `skiff up` runs.
	Environment Environment `json:"environment,omitzero"`
}

// Network holds the cluster's address ranges. They cannot change once the cluster
// exists.
type Network struct {
	// Nodes is the machines' subnet, a /24.
	Nodes netip.Prefix `json:"nodes" mapstructure:"nodes"`
	// Pods is split into a /24 for each node.
	Pods netip.Prefix `json:"pods" mapstructure:"pods"`
	// Services: the API server uses the first address, cluster DNS the tenth.
	Services netip.Prefix `json:"services" mapstructure:"services"`
	// Domain is the domain of cluster DNS, by default cluster.local.
	Domain string `json:"domain" mapstructure:"domain"`
	// Egress is what nodes and pods may reach outside of the cluster, one of
	// Egresses.
	Egress string `json:"egress,omitempty" mapstructure:"egress"`
	// IPFamily is what nodes, pods and services have addresses of, one of IPFamilies.
	IPFamily string `json:"ipFamily,omitempty" mapstructure:"ipFamily"`
	// CNI is the pod network, Policy what enforces NetworkPolicies, Proxy the service proxy
	// and DNS cluster DNS, each one of Parts.
	CNI    string `json:"cni,omitempty"`
	Policy string `json:"policy,omitempty"`
	Proxy  string `json:"proxy,omitempty"`
	DNS    string `json:"dns,omitempty"`
	// MTU is the largest packet of the links of nodes and pods, in bytes; 0 is the largest
	// possible.
	MTU int `json:"mtu,omitempty"`
}

// The values of the parts of Network that users may replace.
const (
	PartDefault = "default" // Skiff's
	PartNone    = "none"    // none until users install one
)

// Parts returns the values of the parts of Network that users may replace.
func Parts() []string { return []string{PartDefault, PartNone} }

// Without returns the parts that the nodes do without. Skiff's NetworkPolicies are part of
// its pod network.
func (n Network) Without() nodeconfig.Without {
	return nodeconfig.Without{
		PodNetwork: n.CNI == PartNone, Policies: n.Policy == PartNone || n.CNI == PartNone,
		ServiceProxy: n.Proxy == PartNone, DNS: n.DNS == PartNone,
	}
}

// withDefaults returns n with the defaults of fields that an older state file lacks.
func (n Network) withDefaults() Network {
	n.Egress, n.IPFamily = cmp.Or(n.Egress, EgressAll), cmp.Or(n.IPFamily, FamilyIPv4)
	for _, part := range []*string{&n.CNI, &n.Policy, &n.Proxy, &n.DNS} {
		*part = cmp.Or(*part, PartDefault)
	}
	return n
}

// The values of IPFamily.
const (
	FamilyIPv4 = "ipv4"
	// FamilyDual is IPv4 and IPv6, IPv4 first.
	FamilyDual = "dual"
)

// IPFamilies lists the values of Network.IPFamily.
func IPFamilies() []string { return []string{FamilyIPv4, FamilyDual} }

// The IPv6 ranges are the same in every cluster, because IPv6 does not leave it. They
// are unique local addresses (RFC 4193) whose global ID spells "skiff".
var (
	nodes6    = netip.MustParsePrefix("fd73:6b69:6666::/64")
	pods6     = netip.MustParsePrefix("fd73:6b69:6666:100::/56")
	services6 = netip.MustParsePrefix("fd73:6b69:6666:200::/112")
)

// Ranges6 are the IPv6 ranges of a cluster, beside those of Network.
type Ranges6 struct {
	// Nodes contains an address for each IPv4 address (package addressing).
	Nodes netip.Prefix
	// Pods is split into a /64 for each node.
	Pods     netip.Prefix
	Services netip.Prefix
}

// Ranges6 returns the cluster's IPv6 ranges, none if it has only IPv4.
func (n Network) Ranges6() Ranges6 {
	if n.IPFamily != FamilyDual {
		return Ranges6{}
	}
	return Ranges6{Nodes: nodes6, Pods: pods6, Services: services6}
}

// Registry is how the cluster uses the user's registry. It can change while the
// cluster exists.
type Registry struct {
	// Disabled lets nodes pull directly.
	Disabled bool `json:"disabled,omitempty"`
	// Mirrors and Insecure are lists as package mirror reads them.
	Mirrors  []string `json:"mirrors,omitempty"`
	Insecure []string `json:"insecure,omitempty"`
}

// Records configures what the host records of the cluster. It can change while the
// cluster exists.
type Records struct {
	// Disabled turns recording off.
	Disabled bool `json:"disabled,omitempty"`
	// Keep is how long records are kept, as ParseKeep reads it.
	Keep string `json:"keep,omitempty"`
	// MetricsSize is how much disk space metrics may use, as a Kubernetes quantity.
	MetricsSize string `json:"metricsSize,omitempty"`
	// LogsSize is how much disk space logs may use, as a Kubernetes quantity.
	LogsSize string `json:"logsSize,omitempty"`
}

// DefaultRecords returns the defaults of Records.
func DefaultRecords() Records { return Records{Keep: "24h", MetricsSize: "200Mi", LogsSize: "200Mi"} }

// The egress policies. Package network enforces them.
const (
	EgressAll    = "all"    // whatever the host reaches
	EgressPublic = "public" // public addresses only
	EgressNone   = "none"   // nothing
)

// Egresses lists the egress policies.
func Egresses() []string { return []string{EgressAll, EgressPublic, EgressNone} }

// Default returns the Spec that file, environment and flags change.
func Default() Spec {
	return Spec{
		Name: "skiff", ControlPlanes: 1, Workers: 2, Zones: 1,
		CPUs: 2, Memory: "2Gi", Disk: "20Gi", Driver: "lima",
		Network: Network{
			Nodes:    netip.MustParsePrefix("192.168.104.0/24"),
			Pods:     netip.MustParsePrefix("10.244.0.0/16"),
			Services: netip.MustParsePrefix("10.96.0.0/16"),
			Domain:   "cluster.local",
			Egress:   EgressAll,
			IPFamily: FamilyIPv4,
			CNI:      PartDefault, Policy: PartDefault, Proxy: PartDefault, DNS: PartDefault,
		},
		Records: DefaultRecords(), Repair: RepairAuto, Autoscaling: Autoscaling{Idle: defaultScaleIdle}, Pause: Pause{Idle: PauseOff},
	}
}

// Same reports whether both describe the same cluster. An API port of 0 matches any
// port, and an empty version of Kubernetes any version.
func (s Spec) Same(other Spec) bool {
	if s.APIPort == 0 || other.APIPort == 0 {
		s.APIPort, other.APIPort = 0, 0
	}
	if s.KubernetesVersion == "" || other.KubernetesVersion == "" {
		s.KubernetesVersion, other.KubernetesVersion = "", ""
	}
	return reflect.DeepEqual(s, other)
}
