package settings

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
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
	// Minimum and Maximum bound an Integer or a Count. A Maximum of 0 means that only the host
	// sets a bound.
	Minimum, Maximum int
	// Values lists all valid values, of a List those of its elements; empty if there is no
	// such list.
	Values []string
	// Short is set if a single value may replace the mapping that contains Key, and is then
	// the value of this setting.
	Short bool
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
	// locate makes paths that put has set absolute; nil if it sets none.
	locate func(spec *cluster.Spec, dir string) error
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
	Count    Type = "number or range" // of nodes: 2, 1..5 or {min: 1, max: 5}
	Duration Type = "duration"        // such as 24h or 7d
	// Settings with a structure.
	Object   Type = "mapping" // with upstream's keys
	Switches Type = "mapping to true or false"
	Texts    Type = "mapping to values"
	Document Type = "file" // the path of a YAML or JSON file
	Groups   Type = "list of groups"
	Addons   Type = "list of addons"
	// Values are those of a chart, or the path of a file with them.
	Values Type = "mapping or file"
)

// HasDefault reports whether the setting is one of a cluster, and not a key of a group.
func (s Setting) HasDefault() bool { return s.get != nil }

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
		{"SKIFF_TEMPLATES", "disk space for templates, such as 8Gi; default 4Gi; `off` neither makes nor uses them"},
		{"SKIFF_PLAIN_KUBELET", "if set, `skiff up` starts nodes without Skiff's changes to the kubelet: that a new pod waits for its volumes instead of checking for them every 300 ms, and a node that starts again for its pod network instead of reporting that it is not ready"},
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
		count(Setting{Key: "workers", Env: "SKIFF_WORKERS", Flag: "workers", Description: "`number` of worker nodes, or a range within which nodes are added for pods that do not fit and removed when they are not needed, such as 1..5 or {min: 1, max: 5}; without any, control planes run pods", Maximum: 107},
			func(s *cluster.Spec) (*int, *cluster.Span) { return &s.Workers, &s.WorkersSpan }),
		number(Setting{Key: "cpus", Env: "SKIFF_CPUS", Flag: "cpus", Description: "number of CPUs of each node; a change restarts one node after another", Minimum: 1},
			func(s *cluster.Spec) *int { return &s.CPUs }),
		text(Setting{Key: "memory", Env: "SKIFF_MEMORY", Flag: "memory", Type: Quantity, Description: "memory of each node; a change restarts one node after another"},
			func(s *cluster.Spec) *string { return &s.Memory }),
		text(Setting{Key: "disk", Env: "SKIFF_DISK", Flag: "disk", Type: Quantity, Description: "maximum disk size of each node, which can only grow; only used space is allocated"},
			func(s *cluster.Spec) *string { return &s.Disk }),
		groups(Setting{Key: "nodes", Description: "groups of additional nodes, with the keys below"},
			func(s *cluster.Spec) *[]cluster.Group { return &s.Nodes }),
		number(Setting{Key: "simulated", Env: "SKIFF_SIMULATED", Flag: "simulated", Description: "number of simulated nodes, which have no machine and on which pods only seem to run, for tests of what watches or schedules many; pods need the toleration of kwok.x-k8s.io/node", Maximum: 5000},
			func(s *cluster.Spec) *int { return &s.Simulated }),
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
		list(Setting{Key: "runtimes", Flag: "runtime", Description: "container `runtime` that pods can choose beside runc by a RuntimeClass of the same name: " + strings.Join(nodeconfig.RuntimeNames(), ", ") + "; changes when the cluster is stopped and started", Values: nodeconfig.RuntimeNames()},
			func(s *cluster.Spec) *[]string { return &s.Runtimes }),
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
		text(Setting{Key: "network.cni", Fixed: true, Values: cluster.Parts(), Description: "pod network: none leaves nodes NotReady until you install one"},
			func(s *cluster.Spec) *string { return &s.Network.CNI }),
		text(Setting{Key: "network.policy", Fixed: true, Values: cluster.Parts(), Description: "what enforces NetworkPolicies; also none without Skiff's pod network"},
			func(s *cluster.Spec) *string { return &s.Network.Policy }),
		text(Setting{Key: "network.proxy", Fixed: true, Values: cluster.Parts(), Description: "service proxy; without one, no service answers, not even from this host"},
			func(s *cluster.Spec) *string { return &s.Network.Proxy }),
		text(Setting{Key: "network.dns", Fixed: true, Values: cluster.Parts(), Description: "cluster DNS at the tenth address of network.services, which pods ask; if none, create a service with that address"},
			func(s *cluster.Spec) *string { return &s.Network.DNS }),
		number(Setting{Key: "network.mtu", Fixed: true, Description: "largest packet of the links of nodes and pods, at least 1280 bytes; 0 for the largest possible"},
			func(s *cluster.Spec) *int { return &s.Network.MTU }),
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
		text(Setting{Key: "repair", Env: "SKIFF_REPAIR", Flag: "repair", Description: "whether nodes that stay unhealthy are restarted, then replaced: auto (after 5 minutes, 15 if they are emulated), off, or how long they must be unhealthy, such as 10m"},
			func(s *cluster.Spec) *string { return &s.Repair }),
		text(Setting{Key: "autoscaling.idle", Env: "SKIFF_AUTOSCALING_IDLE", Flag: "autoscaling-idle", Type: Duration, Description: "how long a node of a group with a range must not have been needed until it is removed, such as 10m"},
			func(s *cluster.Spec) *string { return &s.Autoscaling.Idle }),
		text(Setting{Key: "pause.idle", Env: "SKIFF_PAUSE_IDLE", Flag: "pause-idle", Description: "how long nobody must have used the cluster until it is paused, such as 15m or 2d; the next connection to its API, ports or names wakes it; off never pauses it"},
			func(s *cluster.Spec) *string { return &s.Pause.Idle }),
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
		text(Setting{
			Key: "kubernetes.version", Env: "SKIFF_KUBERNETES", Flag: "kubernetes", Fixed: true, Short: true,
			Description: "minor `version` of Kubernetes, such as " + kubenames.Default + "; if empty, that of the default node image; a single value for kubernetes means the same",
		}, func(s *cluster.Spec) *string { return &s.KubernetesVersion }),
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
		authorization(Setting{Key: "kubernetes.apiServer.authorizationConfig", Description: "order of authorizers, and webhooks (apiserver.config.k8s.io/v1, AuthorizationConfiguration); Node and RBAC stay, and kubeconfig files are read on this host"},
			func(s *cluster.Spec) *nodeconfig.APIServer { return &s.Kubernetes.APIServer }),
		texts(Setting{Key: "kubernetes.controllerManager.args", Description: "flags of kube-controller-manager without dashes"},
			func(s *cluster.Spec) *map[string]string { return &s.Kubernetes.ControllerManager.Args }),
		document(Setting{Key: "kubernetes.scheduler.config", Description: "scheduler's configuration (kubescheduler.config.k8s.io/v1, KubeSchedulerConfiguration)"},
			func(s *cluster.Spec) *map[string]any { return &s.Kubernetes.Scheduler.Config }),
		object(Setting{Key: "kubernetes.kubelet", Description: "fields of a KubeletConfiguration (kubelet.config.k8s.io/v1beta1), such as `maxPods: 50`; objects are merged with Skiff's"},
			func(s *cluster.Spec) *map[string]any { return &s.Kubernetes.Kubelet }),
		object(Setting{Key: "kubernetes.proxy", Description: "fields of a KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1); objects are merged with Skiff's"},
			func(s *cluster.Spec) *map[string]any { return &s.Kubernetes.Proxy }),
		addons(Setting{Key: "addons", Description: "manifests and charts that each skiff up applies once the cluster is ready, each a path or a mapping with the keys below; what is removed here is deleted"},
			func(s *cluster.Spec) *[]cluster.Addon { return &s.Addons }),
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

// count is a number of nodes or a range, as cluster.ParseCount reads it.
func count(s Setting, at func(*cluster.Spec) (*int, *cluster.Span)) Setting {
	s.Type = Count
	s.get = func(spec *cluster.Spec) any {
		number, span := at(spec)
		return cluster.FormatCount(*number, *span)
	}
	s.set = func(spec *cluster.Spec, text string) (err error) {
		number, span := at(spec)
		*number, *span, err = cluster.ParseCount(text)
		return err
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
