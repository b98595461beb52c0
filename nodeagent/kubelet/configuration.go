package kubelet

import (
	"fmt"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/kubernetes/pkg/util/taints"
	"k8s.io/utils/ptr"

	"github.com/skiff-dev/skiff/nodeagent/client"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/nodeagent/registration"
)

// Machine is what the configuration depends on besides the node document.
type Machine struct {
	// MemoryBytes is the machine's whole memory.
	MemoryBytes int64
	// CgroupV2 is false on a host that still uses version 1.
	CgroupV2 bool
	// KernelDefaults is true if the kernel's settings already have the values that
	// the kubelet would set.
	KernelDefaults bool
	// SharedDisk is true in a sandbox, whose disk is the host's file system: how
	// full it is says nothing about the node.
	SharedDisk bool
}

// Paths are the files and directories that the kubelet uses.
type Paths struct {
	// Root is the kubelet's own directory, on the node's disk.
	Root string
	// ClientCA verifies the kubelet's clients.
	ClientCA string
	// ResolvConf lists the name servers for pods that do not use cluster DNS, and the
	// search domains for all.
	ResolvConf string
	// Certificate and Key are the kubelet's client certificate, which the host
	// makes and renews.
	Certificate, Key string
	// ServingCertificate and ServingKey are those of the kubelet's server, also the host's.
	ServingCertificate, ServingKey string
	// ContainerdSocket is where containerd serves CRI.
	ContainerdSocket string
}

func (p Paths) kubeconfig() string   { return filepath.Join(p.Root, "kubeconfig") }
func (p Paths) certificates() string { return filepath.Join(p.Root, "pki") }

// Identity returns the kubelet's identity.
func (p Paths) Identity() client.Identity {
	return client.Identity{CA: p.ClientCA, Certificate: p.Certificate, Key: p.Key}
}

// Server returns the whole configuration of the node's kubelet.
func Server(node nodeconfig.Node, machine Machine, paths Paths) (*options.KubeletServer, error) {
	server, err := options.NewKubeletServer()
	if err != nil {
		return nil, fmt.Errorf("make the kubelet's default configuration: %w", err)
	}
	flags, config := &server.KubeletFlags, &server.KubeletConfiguration
	flags.KubeConfig = paths.kubeconfig()
	flags.CertDirectory = paths.certificates()
	flags.RootDirectory = paths.Root
	flags.HostnameOverride = node.Name
	flags.NodeIP = nodeconfig.Joined(node.Network.Address.Addr(), node.Network.Address6.Addr())
	flags.NodeLabels = registration.Labels(node)
	if node.Kubernetes.Cloud {
		flags.CloudProvider = "external"
	}

	config.RegisterWithTaints, _, err = taints.ParseTaints(node.Kubernetes.Taints)
	if err != nil {
		return nil, fmt.Errorf("taints of node %s: %w", node.Name, err)
	}
	trust(config, node, paths)
	network(config, node, paths)
	runtime(config, machine, paths)
	// The collector counts a container that is being started as dead, and then
	// removes the one before it. Where a start takes seconds, "kubectl logs
	// --previous" would find nothing.
	flags.MinimumGCAge = metav1.Duration{Duration: time.Minute}
	pace(config)
	resources(config, node.Role, machine)
	return server, nil
}

// trust admits only clients that the cluster's CA or the API server
// authenticates, and only what RBAC allows them.
func trust(config *kubeletconfig.KubeletConfiguration, node nodeconfig.Node, paths Paths) {
	config.Authentication.Anonymous.Enabled = false
	config.Authentication.Webhook.Enabled = true
	// As in API servers (pki.Rotation), so that old tokens are refused everywhere. The
	// default is two minutes.
	config.Authentication.Webhook.CacheTTL = metav1.Duration{Duration: 10 * time.Second}
	config.Authentication.X509.ClientCAFile = paths.ClientCA
	config.Authorization.Mode = kubeletconfig.KubeletAuthorizationModeWebhook
	// The host replaces both certificates; the kubelet reads them again. No node may ask
	// for a client's.
	config.RotateCertificates = false
	config.TLSCertFile, config.TLSPrivateKeyFile = paths.ServingCertificate, paths.ServingKey
	config.TLSMinVersion = "VersionTLS13"
	config.ReadOnlyPort = 0
	config.Address = node.Network.Address.Addr().String()
	config.HealthzBindAddress = "127.0.0.1"
	config.EnableProfilingHandler = false
	config.EnableDebugFlagsHandler = false
}

func network(config *kubeletconfig.KubeletConfiguration, node nodeconfig.Node, paths Paths) {
	config.ClusterDomain = node.Kubernetes.DNSDomain
	config.ClusterDNS = []string{node.Kubernetes.DNSAddress.String()}
	config.ResolverConfig = paths.ResolvConf
	// The service proxy uses nftables. Nothing needs the kubelet's iptables chains,
	// and the node has no iptables to create them with.
	config.MakeIPTablesUtilChains = false
}

// podPIDs is how many processes and threads a pod may have.
const podPIDs = 4096

func runtime(config *kubeletconfig.KubeletConfiguration, machine Machine, paths Paths) {
	config.ContainerRuntimeEndpoint = "unix://" + paths.ContainerdSocket
	config.CgroupDriver = "cgroupfs"
	config.FailCgroupV1 = false
	config.FailSwapOn = false
	config.ProtectKernelDefaults = machine.KernelDefaults
	// The directory of out-of-tree volume programs. Its default is below /usr,
	// which is read-only.
	config.VolumePluginDir = filepath.Join(paths.Root, "volumeplugins")
	// A pod without a seccomp profile gets the container runtime's, as Docker's
	// containers do, and a fork bomb in it cannot use up the node's process IDs.
	config.SeccompDefault = true
	config.PodPidsLimit = podPIDs
	config.SerializeImagePulls = false
	config.MaxParallelImagePulls = ptr.To[int32](3)
}

// pace sets how soon the cluster learns of a change. The control plane considers
// a node lost after 40 s, and the kubelet renews its lease after a quarter of the
// lease's duration, that is, every 10 s. A change of status is noticed within
// NodeStatusUpdateFrequency; an unchanged status is sent every five minutes.
func pace(config *kubeletconfig.KubeletConfiguration) {
	config.NodeLeaseDurationSeconds = 40
	config.NodeStatusUpdateFrequency = metav1.Duration{Duration: 5 * time.Second}
	config.NodeStatusReportFrequency = metav1.Duration{Duration: 5 * time.Minute}
	config.VolumeStatsAggPeriod = metav1.Duration{Duration: 2 * time.Minute}
	config.CPUManagerReconcilePeriod = metav1.Duration{Duration: time.Minute}
	config.ContainerLogMonitorInterval = metav1.Duration{Duration: 30 * time.Second}
}

// resources keeps a small machine usable: it reserves what the node's own
// programs need, and evicts pods before the kernel has to kill processes.
func resources(config *kubeletconfig.KubeletConfiguration, role nodeconfig.Role, machine Machine) {
	config.MaxPods = 110
	config.KubeReserved = map[string]string{"memory": mebibytes(reserved(role, machine.MemoryBytes))}
	config.EvictionHard = map[string]string{
		"memory.available": mebibytes(min(100<<20, max(32<<20, machine.MemoryBytes/20))),
	}
	config.EvictionPressureTransitionPeriod = metav1.Duration{Duration: time.Minute}
	if machine.SharedDisk {
		// A host whose disk is nearly full would lose the images that were loaded
		// into the node, and its pods. 100 percent turns the collection off.
		config.ImageGCHighThresholdPercent = 100
		return
	}
	config.EvictionHard["nodefs.available"] = "5%"
	config.EvictionHard["nodefs.inodesFree"] = "3%"
	config.EvictionHard["imagefs.available"] = "5%"
	config.ImageGCHighThresholdPercent = 90
	config.ImageGCLowThresholdPercent = 85
}

// reserved returns the memory in bytes that the node's own programs need, at most
// a third of the machine's.
func reserved(role nodeconfig.Role, memory int64) int64 {
	need := int64(192 << 20)
	if role == nodeconfig.RoleControlPlane {
		need = 512 << 20
	}
	return min(need, memory/3)
}

func mebibytes(bytes int64) string { return fmt.Sprintf("%dMi", bytes>>20) }
