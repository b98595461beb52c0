package settings

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/network/hostport"
)

// Setting is one setting of a cluster: its key in skiff.yaml, the other ways to set
// it, and its documentation. Flags, environment variables, the configuration file,
// the reference and the JSON Schema are all made from Table.
type Setting struct {
	// Key is the path in skiff.yaml, with dots between levels.
	Key string
	// Env and Flag are the environment variable and the flag; empty if there is none.
	Env, Flag string
	Type      Type
	// Description starts in lower case and has no full stop.
	Description string
	// Fixed settings cannot change while the cluster exists.
	Fixed bool
	// Minimum and Maximum bound an Integer. A Maximum of 0 means that only the host
	// sets a bound.
	Minimum, Maximum int
	// Values lists all valid values; empty if there is no such list.
	Values []string
	// path is set for a path on the host, and for a List whose values begin with one.
	// Relative ones belong to the directory of the configuration file, or of the
	// command.
	path bool

	// get returns an int, a bool, a string, a List's []string, or a mapping.
	get func(*cluster.Spec) any
	// set takes the text of a value, or the texts of a List's values, one a line.
	set func(*cluster.Spec, string) error
	// put takes the place of set if the setting has a structure. It takes a value as
	// package json decodes it, or a Document's path.
	put func(*cluster.Spec, any) error
}

// Type is the type of a setting's value.
type Type string

// Types of settings.
const (
	String   Type = "string"
	Integer  Type = "integer"
	Quantity Type = "quantity" // bytes as a Kubernetes quantity, such as 2Gi
	Range    Type = "range"    // an IPv4 range, such as 10.244.0.0/16
	List     Type = "list"     // a list of strings
	Boolean  Type = "boolean"
	Duration Type = "duration" // such as 24h or 7d
	// Settings with a structure.
	Object   Type = "mapping" // with upstream's keys
	Switches Type = "mapping to true or false"
	Texts    Type = "mapping to values"
	Document Type = "file" // the path of a YAML or JSON file
)

// Default returns the default value of the setting.
func (s Setting) Default() any {
	spec := cluster.Default()
	return s.get(&spec)
}

// Variable is an environment variable that is not a setting of a cluster.
type Variable struct{ Name, Description string }

// Variables returns the environment variables that Skiff reads beside those in
// Table.
func Variables() []Variable {
	return []Variable{
		{"SKIFF_HOME", "directory of all clusters; default ~/.skiff"},
		{"SKIFF_FILE", "configuration file that `skiff up` and `skiff run` use without -f"},
		{"SKIFF_IMAGE_DIR", "directory of the node image; default: image beside the program, or else ../lib/skiff/image"},
		{"SKIFF_PLAIN_KUBELET", "if set, `skiff up` starts nodes without Skiff's change to the kubelet, which lets a new pod wait for its volumes instead of checking for them every 300 ms"},
		{"KUBECONFIG", "kubeconfig files, as for kubectl; Skiff merges into the first"},
		{"NO_COLOR", "disables colours if it is set"},
	}
}

// Table returns all settings in the order in which they are documented.
func Table() []Setting {
	return []Setting{
		text(Setting{Key: "name", Env: "SKIFF_CLUSTER", Description: "name of the cluster: up to 40 lower-case letters, digits and dashes"},
			func(s *cluster.Spec) *string { return &s.Name }),
		number(Setting{Key: "controlPlanes", Env: "SKIFF_CONTROL_PLANES", Flag: "control-planes", Description: "number of control-plane nodes; must be odd", Minimum: 1, Maximum: 9},
			func(s *cluster.Spec) *int { return &s.ControlPlanes }),
		number(Setting{Key: "workers", Env: "SKIFF_WORKERS", Flag: "workers", Description: "number of worker nodes; without any, control planes run pods", Maximum: 107},
			func(s *cluster.Spec) *int { return &s.Workers }),
		number(Setting{Key: "cpus", Env: "SKIFF_CPUS", Flag: "cpus", Description: "number of CPUs of each node", Fixed: true, Minimum: 1},
			func(s *cluster.Spec) *int { return &s.CPUs }),
		text(Setting{Key: "memory", Env: "SKIFF_MEMORY", Flag: "memory", Type: Quantity, Description: "memory of each node", Fixed: true},
			func(s *cluster.Spec) *string { return &s.Memory }),
		text(Setting{Key: "disk", Env: "SKIFF_DISK", Flag: "disk", Type: Quantity, Description: "maximum disk size of each node; only used space is allocated", Fixed: true},
			func(s *cluster.Spec) *string { return &s.Disk }),
		number(Setting{Key: "apiPort", Env: "SKIFF_API_PORT", Flag: "api-port", Description: "port of the Kubernetes API on 127.0.0.1; 0 picks a free one and keeps it", Fixed: true, Maximum: 65535},
			func(s *cluster.Spec) *int { return &s.APIPort }),
		text(Setting{Key: "apiAddress", Env: "SKIFF_API_ADDRESS", Flag: "api-address", Description: "address of this host at which the Kubernetes API answers beside 127.0.0.1, such as 192.168.1.10, or 0.0.0.0 for all; empty for none"},
			func(s *cluster.Spec) *string { return &s.APIAddress }),
		list(Setting{Key: "apiServerSANs", Flag: "api-server-san", Description: "DNS name or address by which clients reach the Kubernetes API, for its certificate"},
			func(s *cluster.Spec) *[]string { return &s.APIServerSANs }),
		number(Setting{Key: "zones", Env: "SKIFF_ZONES", Flag: "zones", Description: "number of simulated zones, local-a, local-b and so on, over which control planes and workers are spread in turn", Fixed: true, Minimum: 1, Maximum: 26},
			func(s *cluster.Spec) *int { return &s.Zones }),
		list(Setting{
			Key: "ports", Flag: "port",
			Description: "ports of this host that lead into the cluster, [ADDRESS:]PORT:TARGET[/udp]; TARGET is svc/NAME:PORT, pod/NAME:PORT (with NAMESPACE/ before NAME unless it is default) or node:PORT; ADDRESS is 127.0.0.1 by default",
		}, func(s *cluster.Spec) *[]string { return &s.Ports }),
		boolean(Setting{Key: "nodePorts", Env: "SKIFF_NODE_PORTS", Flag: "node-ports", Description: "whether NodePorts answer on 127.0.0.1 of this host as well"},
			func(s *cluster.Spec) bool { return s.NodePorts }, func(s *cluster.Spec, on bool) { s.NodePorts = on }),
		boolean(Setting{Key: "gatewayAPI", Env: "SKIFF_GATEWAY_API", Flag: "gateway-api", Description: "install the Gateway API and the GatewayClass skiff, which cost each control plane about 100 MB of memory; changes when the cluster is stopped and started"},
			func(s *cluster.Spec) bool { return s.GatewayAPI }, func(s *cluster.Spec, on bool) { s.GatewayAPI = on }),
		text(Setting{Key: "driver", Env: "SKIFF_DRIVER", Flag: "driver", Description: "driver that runs the nodes: " + drivers.Usage(), Fixed: true, Values: drivers.Names()},
			func(s *cluster.Spec) *string { return &s.Driver }),
		list(Setting{Key: "mounts", Flag: "mount", Description: "folders of the host that every node has, each as `HOST:NODE` or HOST:NODE:ro; they change when the cluster is stopped and started", path: true},
			func(s *cluster.Spec) *[]string { return &s.Mounts }),
		prefix(Setting{Key: "network.nodes", Description: "address range of the nodes, a /24; load balancers have the upper half", Fixed: true},
			func(s *cluster.Spec) *netip.Prefix { return &s.Network.Nodes }),
		prefix(Setting{Key: "network.pods", Description: "address range of pods, /8 to /24; each node gets a /24 of it", Fixed: true},
			func(s *cluster.Spec) *netip.Prefix { return &s.Network.Pods }),
		prefix(Setting{Key: "network.services", Description: "address range of services, /12 to /24", Fixed: true},
			func(s *cluster.Spec) *netip.Prefix { return &s.Network.Services }),
		text(Setting{Key: "network.domain", Description: "DNS domain of the cluster", Fixed: true},
			func(s *cluster.Spec) *string { return &s.Network.Domain }),
		text(Setting{
			Key: "network.egress", Fixed: true, Values: cluster.Egresses(),
			Description: "what nodes and pods may reach outside of the cluster: all that the host reaches, public addresses only, or none; never the host's loopback, link-local addresses or cloud metadata",
		}, func(s *cluster.Spec) *string { return &s.Network.Egress }),
		text(Setting{
			Key: "network.ipFamily", Env: "SKIFF_IP_FAMILY", Flag: "ip-family", Fixed: true, Values: cluster.IPFamilies(),
			Description: "addresses of nodes, pods and services: ipv4, or dual for IPv4 and IPv6; IPv6 stays inside the cluster",
		}, func(s *cluster.Spec) *string { return &s.Network.IPFamily }),
		boolean(Setting{Key: "registry.enabled", Env: "SKIFF_REGISTRY", Flag: "registry", Description: "pull images through the registry on this host, which all clusters share, and to which localhost:5001 can be pushed"},
			func(s *cluster.Spec) bool { return !s.Registry.Disabled }, func(s *cluster.Spec, on bool) { s.Registry.Disabled = !on }),
		list(Setting{Key: "registry.mirrors", Flag: "registry-mirror", Description: "mirror of a registry, such as docker.io=https://mirror.example; asked before the registry itself"},
			func(s *cluster.Spec) *[]string { return &s.Registry.Mirrors }),
		list(Setting{Key: "registry.insecure", Flag: "insecure-registry", Description: "registry that may use HTTP or a certificate that cannot be verified, such as registry.example:5000"},
			func(s *cluster.Spec) *[]string { return &s.Registry.Insecure }),
		boolean(Setting{Key: "records.enabled", Env: "SKIFF_RECORDS", Flag: "records", Description: "record the cluster's past on this host, for graphs and searches that also cover what has been deleted"},
			func(s *cluster.Spec) bool { return !s.Records.Disabled }, func(s *cluster.Spec, on bool) { s.Records.Disabled = !on }),
		text(Setting{Key: "records.keep", Env: "SKIFF_RECORDS_KEEP", Flag: "records-keep", Type: Duration, Description: "how long records are kept, such as 24h or 7d"},
			func(s *cluster.Spec) *string { return &s.Records.Keep }),
		text(Setting{Key: "records.metricsSize", Env: "SKIFF_RECORDS_METRICS_SIZE", Flag: "records-metrics-size", Type: Quantity, Description: "maximum disk space for recorded metrics; the oldest are deleted first"},
			func(s *cluster.Spec) *string { return &s.Records.MetricsSize }),
		text(Setting{Key: "records.logsSize", Env: "SKIFF_RECORDS_LOGS_SIZE", Flag: "records-logs-size", Type: Quantity, Description: "maximum disk space for recorded logs; the oldest are deleted first"},
			func(s *cluster.Spec) *string { return &s.Records.LogsSize }),
		ports(Setting{
			Key: "hostPorts", Flag: "host-port",
			Description: "ports on the host's 127.0.0.1 that pods reach at host.skiff.internal: a port, a range such as 8000-8100, or all",
		}, func(s *cluster.Spec) *[]string { return &s.HostPorts }),
		list(Setting{Key: "peers", Flag: "peer", Description: "cluster of the same user whose nodes and pods may reach this cluster's API and load balancers by name, or all"},
			func(s *cluster.Spec) *[]string { return &s.Peers }),
		text(Setting{Key: "proxy.http", Flag: "http-proxy", Description: "proxy for HTTP URLs, such as http://proxy.example:3128, or none; if empty, HTTP_PROXY in the environment of skiff up"},
			func(s *cluster.Spec) *string { return &s.Proxy.HTTP }),
		text(Setting{Key: "proxy.https", Flag: "https-proxy", Description: "proxy for HTTPS URLs, or none; if empty, HTTPS_PROXY in the environment of skiff up"},
			func(s *cluster.Spec) *string { return &s.Proxy.HTTPS }),
		text(Setting{Key: "proxy.no", Flag: "no-proxy", Description: "hosts, domains and address ranges that are reached without the proxy, with commas between them, or none; if empty, NO_PROXY in the environment of skiff up; the cluster's own are always added"},
			func(s *cluster.Spec) *string { return &s.Proxy.No }),
		boolean(Setting{Key: "proxy.pods", Flag: "pod-proxy", Description: "whether containers of new pods get the variables HTTP_PROXY, HTTPS_PROXY and NO_PROXY"},
			func(s *cluster.Spec) bool { return s.Proxy.Pods }, func(s *cluster.Spec, on bool) { s.Proxy.Pods = on }),
		switches(Setting{Key: "kubernetes.featureGates", Description: "feature gates, for all components that know them, such as `ClusterTrustBundle: true`"},
			func(s *cluster.Spec) *map[string]bool { return &s.Kubernetes.FeatureGates }),
		texts(Setting{Key: "kubernetes.runtimeConfig", Description: "APIs that are on or off: GROUP/VERSION, GROUP/VERSION/RESOURCE, api/beta, api/alpha or api/all, each with true or false"},
			func(s *cluster.Spec) *map[string]string { return &s.Kubernetes.RuntimeConfig }),
		texts(Setting{Key: "kubernetes.apiServer.args", Description: "flags of kube-apiserver without dashes"},
			func(s *cluster.Spec) *map[string]string { return &s.Kubernetes.APIServer.Args }),
		list(Setting{Key: "kubernetes.apiServer.admissionPlugins.enable", Description: "admission plugins that are off by default"},
			func(s *cluster.Spec) *[]string { return &s.Kubernetes.APIServer.AdmissionPlugins.Enable }),
		list(Setting{Key: "kubernetes.apiServer.admissionPlugins.disable", Description: "admission plugins that are on by default"},
			func(s *cluster.Spec) *[]string { return &s.Kubernetes.APIServer.AdmissionPlugins.Disable }),
		document(Setting{Key: "kubernetes.apiServer.auditPolicy", Description: "audit policy (audit.k8s.io/v1, Policy) instead of Skiff's"},
			func(s *cluster.Spec) *map[string]any { return &s.Kubernetes.APIServer.AuditPolicy }),
		document(Setting{Key: "kubernetes.apiServer.authenticationConfig", Description: "further ways to authenticate, such as OIDC (apiserver.config.k8s.io/v1, AuthenticationConfiguration)"},
			func(s *cluster.Spec) *map[string]any { return &s.Kubernetes.APIServer.AuthenticationConfig }),
		texts(Setting{Key: "kubernetes.controllerManager.args", Description: "flags of kube-controller-manager without dashes"},
			func(s *cluster.Spec) *map[string]string { return &s.Kubernetes.ControllerManager.Args }),
		document(Setting{Key: "kubernetes.scheduler.config", Description: "scheduler's configuration (kubescheduler.config.k8s.io/v1, KubeSchedulerConfiguration)"},
			func(s *cluster.Spec) *map[string]any { return &s.Kubernetes.Scheduler.Config }),
		object(Setting{Key: "kubernetes.kubelet", Description: "fields of a KubeletConfiguration (kubelet.config.k8s.io/v1beta1), such as `maxPods: 50`; objects are merged with Skiff's"},
			func(s *cluster.Spec) *map[string]any { return &s.Kubernetes.Kubelet }),
		object(Setting{Key: "kubernetes.proxy", Description: "fields of a KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1); objects are merged with Skiff's"},
			func(s *cluster.Spec) *map[string]any { return &s.Kubernetes.Proxy }),
		text(Setting{Key: "caBundle", Flag: "ca-bundle", Description: "file with certificates in PEM of authorities that nodes trust when they pull images, read by each skiff up", path: true},
			func(s *cluster.Spec) *string { return &s.CABundle }),
	}
}

func text(s Setting, at func(*cluster.Spec) *string) Setting {
	if s.Type == "" {
		s.Type = String
	}
	s.get = func(spec *cluster.Spec) any { return *at(spec) }
	s.set = func(spec *cluster.Spec, text string) error {
		*at(spec) = text
		return nil
	}
	return s
}

func number(s Setting, at func(*cluster.Spec) *int) Setting {
	s.Type = Integer
	s.get = func(spec *cluster.Spec) any { return *at(spec) }
	s.set = func(spec *cluster.Spec, text string) error {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		*at(spec) = int(n)
		return nil
	}
	return s
}

func boolean(s Setting, get func(*cluster.Spec) bool, put func(*cluster.Spec, bool)) Setting {
	s.Type = Boolean
	s.get = func(spec *cluster.Spec) any { return get(spec) }
	s.set = func(spec *cluster.Spec, text string) error {
		switch text {
		case "true", "false":
			put(spec, text == "true")
			return nil
		}
		return fmt.Errorf("%q is not true or false", text)
	}
	return s
}

func list(s Setting, at func(*cluster.Spec) *[]string) Setting {
	s.Type = List
	s.get = func(spec *cluster.Spec) any { return append([]string{}, *at(spec)...) }
	s.set = func(spec *cluster.Spec, text string) error {
		*at(spec) = nil
		if text != "" {
			*at(spec) = strings.Split(text, "\n")
		}
		return nil
	}
	return s
}

// ports is a list in the notation of package hostport.
func ports(s Setting, at func(*cluster.Spec) *[]string) Setting {
	s = list(s, at)
	set := s.set
	s.set = func(spec *cluster.Spec, text string) error {
		if err := set(spec, text); err != nil {
			return err
		}
		_, err := hostport.Parse(*at(spec))
		return err
	}
	return s
}

func prefix(s Setting, at func(*cluster.Spec) *netip.Prefix) Setting {
	s.Type = Range
	s.get = func(spec *cluster.Spec) any { return at(spec).String() }
	s.set = func(spec *cluster.Spec, text string) error {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("%q is not an address range such as 10.244.0.0/16", text)
		}
		*at(spec) = p
		return nil
	}
	return s
}
