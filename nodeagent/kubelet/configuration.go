package kubelet

import (
	"fmt"
	"maps"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/kubernetes/pkg/util/taints"
	"k8s.io/utils/ptr"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Machine is what the configuration depends on beside the node document.
type Machine struct {
	// MemoryBytes is all of the machine's memory.
	MemoryBytes int64
	// CgroupV2 is false on a host that still has the first version.
	CgroupV2 bool
	// KernelDefaults is true if the kernel's settings are already those that
	// the kubelet wants, so that it need not change them.
	KernelDefaults bool
}

// Paths are the files and folders that the kubelet uses.
type Paths struct {
	// Root is the kubelet's own folder, on the node's disk.
	Root string
	// ClientCA verifies those who speak to the kubelet.
	ClientCA string
	// ResolvConf names the resolvers for pods that do not use cluster DNS.
	ResolvConf string
	// Certificate and Key are the kubelet's client certificate, which the host
	// makes and renews.
	Certificate, Key string
	// ContainerdSocket is where containerd serves CRI.
	ContainerdSocket string
}

func (p Paths) kubeconfig() string   { return filepath.Join(p.Root, "kubeconfig") }
func (p Paths) certificates() string { return filepath.Join(p.Root, "pki") }

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
	flags.NodeIP = node.Network.Address.Addr().String()
	flags.NodeLabels = map[string]string{names.LabelRole: string(node.Role)}
	maps.Copy(flags.NodeLabels, node.Kubernetes.Labels)

	config.RegisterWithTaints, _, err = taints.ParseTaints(node.Kubernetes.Taints)
	if err != nil {
		return nil, fmt.Errorf("taints of node %s: %w", node.Name, err)
	}
	trust(config, node, paths)
	network(config, node, paths)
	runtime(config, machine, paths)
	// The collector takes a container that is just being started for a dead one,
	// and the one before it, whose log says why, for one too many: where a start
	// takes seconds, "kubectl logs --previous" would find nothing.
	flags.MinimumGCAge = metav1.Duration{Duration: time.Minute}
	pace(config)
	resources(config, node.Role, machine)
	return server, nil
}

// trust lets in nobody but clients that the cluster's CA or the API server
// vouches for, and nothing that RBAC does not allow.
func trust(config *kubeletconfig.KubeletConfiguration, node nodeconfig.Node, paths Paths) {
	config.Authentication.Anonymous.Enabled = false
	config.Authentication.Webhook.Enabled = true
	config.Authentication.X509.ClientCAFile = paths.ClientCA
	config.Authorization.Mode = kubeletconfig.KubeletAuthorizationModeWebhook
	// The host replaces the client certificate; client-go reads it again. No node
	// may ask for one.
	config.RotateCertificates = false
	config.ServerTLSBootstrap = true
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
	// The service proxy uses nftables, nothing looks for the kubelet's
	// iptables chains, and the node has no iptables to make them with.
	config.MakeIPTablesUtilChains = false
}

func runtime(config *kubeletconfig.KubeletConfiguration, machine Machine, paths Paths) {
	config.ContainerRuntimeEndpoint = "unix://" + paths.ContainerdSocket
	config.CgroupDriver = "cgroupfs"
	config.FailCgroupV1 = false
	config.FailSwapOn = false
	config.ProtectKernelDefaults = machine.KernelDefaults
	// Where out-of-tree programs would stand: the default is below /usr,
	// which is read-only.
	config.VolumePluginDir = filepath.Join(paths.Root, "volumeplugins")
	config.SerializeImagePulls = false
	config.MaxParallelImagePulls = ptr.To[int32](3)
}

// pace is how soon the cluster learns of a change. The control plane takes a
// node for lost after 40 s, and the kubelet renews its lease after a quarter
// of its duration: here every 10 s. A change of status is seen within
// NodeStatusUpdateFrequency; an unchanged one is only sent every five minutes.
func pace(config *kubeletconfig.KubeletConfiguration) {
	config.NodeLeaseDurationSeconds = 40
	config.NodeStatusUpdateFrequency = metav1.Duration{Duration: 5 * time.Second}
	config.NodeStatusReportFrequency = metav1.Duration{Duration: 5 * time.Minute}
	config.VolumeStatsAggPeriod = metav1.Duration{Duration: 2 * time.Minute}
	config.CPUManagerReconcilePeriod = metav1.Duration{Duration: time.Minute}
	config.ContainerLogMonitorInterval = metav1.Duration{Duration: 30 * time.Second}
}

// resources keeps a small machine usable: what the node's own programs need is
// not promised to pods, and pods are evicted before the kernel has to kill.
func resources(config *kubeletconfig.KubeletConfiguration, role nodeconfig.Role, machine Machine) {
	config.MaxPods = 110
	config.KubeReserved = map[string]string{"memory": mebibytes(reserved(role, machine.MemoryBytes))}
	config.EvictionHard = map[string]string{
		"memory.available":  mebibytes(min(100<<20, max(32<<20, machine.MemoryBytes/20))),
		"nodefs.available":  "5%",
		"nodefs.inodesFree": "3%",
		"imagefs.available": "5%",
	}
	config.EvictionPressureTransitionPeriod = metav1.Duration{Duration: time.Minute}
	config.ImageGCHighThresholdPercent = 90
	config.ImageGCLowThresholdPercent = 85
}

// reserved is the memory in bytes that the node's own programs take, and never
// more than a third of the machine's.
func reserved(role nodeconfig.Role, memory int64) int64 {
	need := int64(192 << 20)
	if role == nodeconfig.RoleControlPlane {
		need = 512 << 20
	}
	return min(need, memory/3)
}

func mebibytes(bytes int64) string { return fmt.Sprintf("%dMi", bytes>>20) }
