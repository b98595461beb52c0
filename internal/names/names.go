// Package names holds the names that host, nodes and control plane must agree
// on: labels, finalizers, users, groups and objects of the Kubernetes API.
package names

import "strings"

// Labels and taints of nodes.
const (
	// LabelRole carries a node's role. The kubelet sets it, so it is
	// information for users and must not be trusted.
	LabelRole = "skiff.dev/role"
	// LabelNodeRolePrefix begins Kubernetes' own role labels, which kubelets
	// may not set (KEP-279).
	LabelNodeRolePrefix = "node-role.kubernetes.io/"
	// TaintControlPlane keeps ordinary pods off control planes.
	TaintControlPlane = LabelNodeRolePrefix + "control-plane"
	// TaintUninitialized is on nodes that the cloud controllers have not initialized
	// yet (TaintExternalCloudProvider in k8s.io/cloud-provider/api).
	TaintUninitialized = "node.cloudprovider.kubernetes.io/uninitialized"
)

// Storage classes and their volumes.
const (
	// StandardStorageClass is another name of the default storage class, for
	// manifests that insist on it.
	StandardStorageClass = "standard"
	// HostStorageClass has volumes in a folder of the host that all nodes mount.
	HostStorageClass = "host"
	// HostProvisioner provisions its volumes.
	HostProvisioner = "skiff.dev/host"
	// LocalStorageClass is the default storage class.
	LocalStorageClass = "local"
	// LocalProvisioner provisions its volumes.
	LocalProvisioner = "skiff.dev/local"
	// LocalVolumeFinalizer keeps a volume until its directory is removed.
	LocalVolumeFinalizer = "skiff.dev/local-volume"
	// LocalVolumesDir holds the directories of a node's volumes.
	LocalVolumesDir = "/var/lib/skiff/volumes"
)

// Ingresses.
const (
	// IngressClass is the default class.
	IngressClass = "skiff"
	// IngressController is the controller of this class, and of every other class whose
	// Ingresses the host serves.
	IngressController = "skiff.dev/ingress"
)

// Gateways.
const (
	// GatewayClass is the class of Gateways that the host serves.
	GatewayClass = "skiff"
	// GatewayController is the controller of this class, and of every other class whose
	// Gateways the host serves.
	GatewayController = "skiff.dev/gateway"
)

// Cluster DNS.
const (
	// DNSService is the service of the cluster's DNS servers, in kube-system.
	DNSService = "kube-dns"
	// DNSManager is the value of the managed-by label on its endpoint slices.
	DNSManager = "dns.skiff.dev"
	// CustomDNS is the ConfigMap, in kube-system, with the user's own configuration of
	// cluster DNS. ForeignDNS is kubeadm's, which nothing reads.
	CustomDNS  = "coredns-custom"
	ForeignDNS = "coredns"
)

// Simulated nodes, which have no machine. The label, the annotation and the taint are those
// of kwok's documentation (https://kwok.sigs.k8s.io/docs/user/kwok-manage-nodes-and-pods/).
const (
	LabelSimulated      = "type"
	ValueSimulated      = "kwok"
	SimulatedSelector   = LabelSimulated + "=" + ValueSimulated
	AnnotationSimulated = "kwok.x-k8s.io/node"
	TaintSimulated      = "kwok.x-k8s.io/node"
	ValueTaintSimulated = "fake"
	// SimulatedPods is the range of the addresses of pods on these nodes. It is in the class
	// that no host uses (RFC 1112, section 4), to which machines can send nothing under any
	// egress policy, and large enough for the pods of 5,000 nodes.
	SimulatedPods = "240.0.0.0/12"
)

// Simulated reports whether the labels are those of a simulated node.
func Simulated(labels map[string]string) bool { return labels[LabelSimulated] == ValueSimulated }

// LabelLoaded is the label, in containerd, of images that the host has loaded. Nodes that join
// later get those that were loaded onto all nodes.
const (
	LabelLoaded       = "skiff.dev/loaded"
	ValueLoadedOnAll  = "all"
	ValueLoadedOnSome = "some"
)

// ControlPlaneLease is the lease, in kube-system, whose holder runs the
// controllers and the scheduler.
const ControlPlaneLease = "skiff-controlplane"

// Groups and users that Kubernetes defines.
const (
	GroupNodes            = "system:nodes"
	UserNodePrefix        = "system:node:"
	UserKubeProxy         = "system:kube-proxy"
	UserControllerManager = "system:kube-controller-manager"
	UserScheduler         = "system:kube-scheduler"
	// UserCloudController has the role of the same name, which is Skiff's.
	UserCloudController = "system:cloud-controller-manager"
)

// Groups and users that only Skiff has.
const (
	GroupClusterAdmins  = "skiff:cluster-admins"
	GroupKubeletClients = "skiff:kubelet-clients"
	UserAdmin           = "skiff-admin"

	// Parts of the node agent. A part's user on one node is OfNode(group, node).
	GroupNetwork = "system:skiff:network"
	GroupDNS     = "system:skiff:dns"
	GroupVolumes = "system:skiff:volumes"

	// Parts of the control plane. Each has the role of the same name.
	UserLeader      = "system:skiff:leader"
	UserLabeller    = "system:skiff:labeller"
	UserProvisioner = "system:skiff:provisioner"
	UserSimulator   = "system:skiff:simulator"
	UserProbe       = "system:skiff:probe"

	// UserIngress is the user as which the host writes the status of Ingresses and of the
	// Gateway API's objects. It has the role of the same name.
	UserIngress = "system:skiff:ingress"
	// UserLogs is the user as which the host reads events and the labels of pods for its
	// log store.
	UserLogs = "system:skiff:logs"
	// UserMetrics is the user as which the host reads the metrics of the cluster's programs
	// and finds the pods to scrape.
	UserMetrics = "system:skiff:metrics"
)

// Reserved reports whether a user or group belongs to Kubernetes or to Skiff.
func Reserved(name string) bool {
	return strings.HasPrefix(name, "system:") || strings.HasPrefix(name, "skiff:") || name == UserAdmin
}

// OfNode returns the user that a part of the node agent is on one node. group is
// the part's group.
func OfNode(group, node string) string { return group + ":" + node }

// NodeOf returns the node of a user that OfNode returned for the group.
func NodeOf(group, user string) (node string, ok bool) {
	if node, ok = strings.CutPrefix(user, group+":"); !ok || node == "" {
		return "", false
	}
	return node, true
}
